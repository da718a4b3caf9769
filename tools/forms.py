"""The tools as an agent's model calls them: plain values in, images by id, texts and scores out.

Signature and docstring of a form are what the model reads.
"""

import inspect
import json
from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from ctgi.errors import ArgumentError
from ctgi.retrieval.ranking import Candidate, Refinement
from ctgi.settings_tables import MtiSettings
from ctgi.tools.desk import Answer, Desk, text_block
from ctgi.tools.types import Fact

_K = 10
_MTI = MtiSettings()

ImageId = Annotated[str, Field(description="Id of an image, as search_gallery returns it.")]
MaybeImageId = Annotated[str | None, Field(description="Id of an image that this is about; null for none.")]
Facts = Annotated[
    list[Fact],
    Field(
        min_length=1,
        description="What was found out: each question, its answer, and as `statement` the answer as a whole sentence, "
        "like 'The shoes are white.'",
    ),
]


async def caption_image(
    desk: Desk, image_id: ImageId, show: Annotated[bool, Field(description="Return the picture too.")] = False
) -> Answer:
    """Describe the person in an image."""
    said, artifact = await desk.call("caption_image", image_id)
    return [text_block(said.text), *await desk.shown([image_id])] if show else said.text, artifact


async def answer_question(
    desk: Desk, image_id: ImageId, question: Annotated[str, Field(description="A question about the person.")]
) -> Answer:
    """Answer a question about the person in an image."""
    said, artifact = await desk.call("answer_question", image_id, question=_worded("question", question))
    return said.text, artifact


async def verify_match(
    desk: Desk, image_id: ImageId, description: Annotated[str, Field(description="What the person looks like.")]
) -> Answer:
    """Judge whether an image shows the person described: match, and its probability from 0 to 1 where known."""
    verdict, artifact = await desk.call("verify_match", image_id, description=_worded("description", description))
    return {"match": verdict.match, "probability": verdict.probability}, artifact


async def propose_questions(
    desk: Desk,
    query: Annotated[str, Field(description="The description to be made more precise.")],
    image_id: MaybeImageId = None,
    count: Annotated[int, Field(ge=1, le=20, description="The most questions wanted, 1 to 20.")] = _MTI.questions,
    asked: Annotated[list[str], Field(description="Attributes that need not be asked about any more.")] = [],  # noqa: B006
) -> Answer:
    """Propose questions about what a description leaves open, most telling first, each with its attribute."""
    proposed, artifact = await desk.call(
        "propose_questions", image_id, image=None, query=_worded("query", query), count=count, asked=asked
    )
    return [{"attribute": attribute, "question": question} for attribute, question in proposed.items], artifact


async def reconstruct_caption(
    desk: Desk, description: Annotated[str, Field(description="What was said of the image first.")], facts: Facts
) -> Answer:
    """Merge a description of an image and what was found out since into one dense caption."""
    said, artifact = await desk.call(
        "reconstruct_caption", description=_worded("description", description), facts=facts
    )
    return said.text, artifact


async def aggregate_query(
    desk: Desk, query: Annotated[str, Field(description="What was searched for first.")], facts: Facts
) -> Answer:
    """Refine a query with what was found out about the person; search_gallery takes it as refined_query."""
    said, artifact = await desk.call("aggregate_query", query=_worded("query", query), facts=facts)
    return said.text, artifact


async def search_gallery(
    desk: Desk,
    query: Annotated[str, Field(description="What the person looks like, in the words first used.")],
    k: Annotated[int, Field(ge=1, le=100, description="How many images to return, 1 to 100.")] = _K,
    refined_query: Annotated[str | None, Field(description="The query with what was found out since.")] = None,
    anchors: Annotated[
        list[str], Field(description="Ids of images that surely show the person; they rise. Needs refined_query.")
    ] = [],  # noqa: B006
    weight: Annotated[
        float, Field(ge=0, le=1, description="Share of query against refined_query in the score, 0 to 1.")
    ] = _MTI.lam,
    where: Annotated[
        str | None,
        Field(
            description="Condition of SQL that an image must meet to be ranked, over what is known of it, "
            "like \"camera = 'north' and time >= '2026-11-01'\"; an unknown column is answered with all there are."
        ),
    ] = None,
    show: Annotated[int, Field(ge=0, le=10, description="How many of the best to return as pictures, 0 to 10.")] = 0,
) -> Answer:
    """Find people by a description: the k best images with their ids and scores (cosines, -1 to 1), best first.

    With refined_query the score is weight * query + (1 - weight) * refined_query, in which anchors count as certain;
    rank_before is the place by the query alone.
    """
    refinement = _refinement(desk, refined_query, anchors, weight)
    narrowed = {} if where is None else {"where": where}
    ranking = await desk.tools["search_gallery"](_worded("query", query), k, refinement=refinement, **narrowed)
    found = ranking.candidates
    if len(found) < k != _K and where is None:  # the default asks for ten or all there are
        raise ArgumentError(f"k is {k}: expected 1 to {len(found)}, for so many images are in the gallery")
    told = [_told(desk, candidate, refined=refinement is not None) for candidate in found]
    files = [
        one | {"path": candidate.image.path, "sha256": candidate.image.sha256, "score_before": candidate.score_before}
        for one, candidate in zip(told, found, strict=True)
    ]
    pictures = await desk.shown([one["image_id"] for one in told[:show]])
    content = [text_block(json.dumps(told)), *pictures] if pictures else told
    return content, {
        "found": files,
        "query": query,
        "refinement": asdict(refinement) if refinement else None,
        **narrowed,
        "truncated_tokens": ranking.truncated_tokens,
    }


async def ask_user(
    desk: Desk,
    question: Annotated[str, Field(description="What to ask, about the person who is searched for.")],
    image_id: MaybeImageId = None,
) -> Answer:
    """Ask the person who is searching."""
    said, artifact = await desk.call("ask_user", image_id, question=_worded("question", question))
    return said.text, artifact


async def detect_people(desk: Desk, image_id: ImageId) -> Answer:
    """Find the people in an image: the box of each (left, top, right, bottom in px) and its score from 0 to 1."""
    found, artifact = await desk.call("detect_people", image_id)
    told = [{"box": [round(edge) for edge in one.box], "score": one.score} for one in found.people]
    return told, artifact


def arguments_of(form: Callable[..., Any], name: str, *, without: Collection[str] = ()) -> type[BaseModel]:
    """The arguments of a form as a pydantic model: its JSON schema has their descriptions, units and ranges.

    without: arguments that the model is not to know of; the desk is never one of them.
    """
    parameters = [one for one in inspect.signature(form).parameters.values() if one.name not in ("desk", *without)]
    fields: dict[str, Any] = {
        one.name: (one.annotation, ... if one.default is one.empty else one.default) for one in parameters
    }
    return create_model(name, __config__=ConfigDict(extra="forbid"), __doc__=inspect.getdoc(form), **fields)


def _refinement(desk: Desk, query: str | None, anchors: list[str], weight: float) -> Refinement | None:
    if query is None:
        if anchors:
            raise ArgumentError("anchors are given without refined_query: say what was found out, or leave them out")
        return None
    sure = tuple(dict.fromkeys(desk.find(image_id).sha256 for image_id in anchors))
    return Refinement(_worded("refined_query", query), sure, weight, _MTI.fusion)


def _told(desk: Desk, candidate: Candidate, *, refined: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"image_id": desk.id_of(candidate.image), "score": round(candidate.score, 6)}
    return told | {"rank_before": candidate.rank_before} if refined else told


def _worded(name: str, text: str) -> str:
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise ArgumentError(f"{name} is empty: say in words what is meant")
    return text
