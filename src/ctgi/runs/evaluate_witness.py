"""The dialogue with a witness (Interactive-PEDES): after each answer the gallery is searched anew and measured.

The witness remembers a detailed description and sees no image. Questions are asked in view of the best candidates.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctgi.agents.abilities import is_embedded
from ctgi.agents.assemble import Role, open_tools
from ctgi.agents.languages import without_yes
from ctgi.agents.pool import QuestionPool, load_pool
from ctgi.agents.statements import tells_nothing_seen
from ctgi.agents.witness import AmongProposer, Witness, WordsWitness
from ctgi.config import Settings
from ctgi.errors import ToolError
from ctgi.retrieval.dialogue_metrics import dialogue_curves
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.evaluate import EncodedSplit
from ctgi.retrieval.images import ImageRef
from ctgi.retrieval.metrics import QueryMetrics, measure_features
from ctgi.runs.batch import run_many
from ctgi.runs.evaluate_dialogue import Turns
from ctgi.runs.evaluation import NotRefined, TurnCurves
from ctgi.runs.events import Events
from ctgi.runs.recording import Act, Recording, recording
from ctgi.runs.split_search import SplitSearch
from ctgi.tools.candidate_sheet import MAX_CANDIDATES, candidate_sheet
from ctgi.tools.chat_cache import open_chat_cache

TOOLS = ("propose_questions", "answer_question")


@dataclass(frozen=True)
class WitnessRun:
    """The dialogues of all queries, and the metrics after each round."""

    curves: TurnCurves
    rounds: tuple[QueryMetrics, ...]
    """From the first description alone on."""
    failed: tuple[NotRefined, ...]
    """Queries whose dialogue ended with an error; they keep what they had."""


async def run_witness(
    encoded: EncodedSplit, encoder: Encoder, memories: Mapping[str, str], rounds: int, settings: Settings,
    folder: Path, events: Events, *, trace: bool = True,
) -> WitnessRun:  # fmt: skip
    """Question a witness about every query of a split, `rounds` times each, many at once.

    Replies of models are kept in `folder`, and come from it where it has them.

    Args:
        encoded: the split; its captions are the first descriptions.
        encoder: encodes what has been said so far.
        memories: path of an image -> what its witness remembers.
        rounds: questions per query.
        settings: bindings of propose_questions and answer_question.
        folder: the run's.
        events: hears how far it is, and what failed.
        trace: record every call.

    Raises:
        CtgiError: a binding that cannot do its tool.
        EndpointDownError: a server is gone; run the same again to go on.
    """
    gallery = SplitSearch(
        encoded.split.captions, encoded.text_features, encoded.images, encoded.image_features, encoder
    )
    act = Act("evaluate", "witness", TOOLS, {"split": encoded.split.name, "rounds": rounds})
    kept = open_chat_cache(folder / "calls.sqlite")
    if is_embedded(settings, "answer_question"):
        events.announce(
            "the witness answers with parts of the description, word for word: bind answer_question to a model, like "
            "--bind answer_question=openai:gpt-4o, for one who understands the question"
        )
    with recording(act, settings, events, trace=trace, cache=kept) as run:
        async with _opened(settings, run) as tools:
            dialogue = _Dialogue(tools, gallery, encoded, memories, rounds, _sheets(settings, folder))
            turns, failed = await _question_all(dialogue, run, in_flight(settings), events)
    for one in failed:
        events.warn(f"not questioned to the end: caption {one.caption}: {one.reason}")
    measured = tuple([await _measured(encoded, gallery, turns, number) for number in range(rounds + 1)])
    ranks = np.stack([one.first for one in measured], axis=1)
    per_query = sum(one.calls for one in turns) / len(turns)
    curves = TurnCurves("witness", tuple(one.mean() for one in measured), dialogue_curves(ranks), per_query)
    return WitnessRun(curves, measured, tuple(failed))


def in_flight(settings: Settings) -> int:
    """Dialogues at once."""
    return 2 * max(settings.endpoint(settings.binding(tool)).at_once for tool in TOOLS)


async def _question_all(
    dialogue: "_Dialogue", run: Recording, at_once: int, events: Events
) -> tuple[list[Turns], list[NotRefined]]:
    """The dialogue of each query; one that fails keeps its description."""
    queries = dialogue.encoded.split.captions
    turns, failed = [Turns((query,)) for query in queries], []

    async def work(query: int) -> Turns:
        with run.interceptor.item({"query": queries[query], "caption": query}) as done:
            found = await dialogue(query)
            done({"texts": list(found.texts)})
        return found

    with events.progress("question", len(queries)) as update:
        asked = 0
        async for query, result in run_many(range(len(queries)), work, in_flight=at_once):
            if isinstance(result, ToolError):
                failed.append(NotRefined(query, str(result)))
            else:
                turns[query] = result
            update(asked := asked + 1)
    return turns, failed


def _opened(settings: Settings, run: Recording) -> AbstractAsyncContextManager[dict[str, Any]]:
    pool = load_pool(settings.mtg.question_pool)
    roles: dict[str, Role] = {"propose_questions": AmongProposer, "answer_question": _witness(settings, pool)}
    return open_tools(settings, TOOLS, pool, cache=run.cache, roles=roles, interceptor=run.interceptor)


def _witness(settings: Settings, pool: QuestionPool) -> Role:
    """The embedded model cannot read descriptions: its witness goes by words."""
    return (lambda _: WordsWitness(pool)) if is_embedded(settings, "answer_question") else Witness


def _sheets(settings: Settings, folder: Path) -> Path | None:
    """Where the candidates are put side by side; None where nobody looks at them."""
    return None if settings.binding("propose_questions").endpoint == "templates" else folder / "candidates"


@dataclass(frozen=True)
class _Dialogue:
    """One query's rounds."""

    tools: Mapping[str, Callable[..., Any]]
    gallery: SplitSearch
    encoded: EncodedSplit
    memories: Mapping[str, str]
    rounds: int
    sheets: Path | None

    async def __call__(self, query: int) -> Turns:
        """What was known after each round. Raises ToolError if a call failed for good."""
        split = self.encoded.split
        target = self.encoded.images[split.caption_images[query]]
        texts, asked = [split.captions[query]], list[str]()
        for _ in range(self.rounds):
            image = await self._candidates(texts[-1])
            proposed = await self.tools["propose_questions"](image, texts[-1], count=1, asked=asked)
            if not proposed.items:
                break
            attribute, question = proposed.items[0]
            asked.append(attribute)
            memory = self.memories[split.images[split.caption_images[query]]]
            said = await self.tools["answer_question"](target, question, description=memory)
            texts.append(_with_answer(texts[-1], said.text))
        return Turns(tuple(texts), calls=len(asked))

    async def _candidates(self, text: str) -> ImageRef | None:
        if self.sheets is None:
            return None
        ranking = await self.gallery(text, MAX_CANDIDATES)
        return await asyncio.to_thread(candidate_sheet, [one.image for one in ranking.candidates], self.sheets)


def _with_answer(text: str, answer: str) -> str:
    """The description with the answer after it; one that the witness does not know adds nothing."""
    told = without_yes(" ".join(answer.split()))
    if not told or tells_nothing_seen(told):
        return text
    ended = text if text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}."
    return f"{ended} {told[0].upper()}{told[1:].rstrip('.')}."


async def _measured(encoded: EncodedSplit, gallery: SplitSearch, turns: Sequence[Turns], number: int) -> QueryMetrics:
    """The metrics after some rounds."""
    texts = [one.texts[min(number, len(one.texts) - 1)] for one in turns]
    vectors = np.stack([await gallery.vector(text) for text in texts])
    split = encoded.split
    return measure_features(vectors, encoded.image_features, split.caption_pids, split.image_pids)
