"""What an evaluation tells of any xi and lambda, against searches that were run with them."""

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ctgi.agents.answerer import Answerer
from ctgi.agents.judge import Judge
from ctgi.agents.pool import load_pool
from ctgi.agents.questioner import TemplateQuestioner
from ctgi.agents.verifier import Verifier
from ctgi.agents.writers import TemplateAggregator
from ctgi.config import MtgSettings, MtiSettings
from ctgi.errors import ToolError
from ctgi.graphs.mti import MtiContext
from ctgi.retrieval.encoder import TextFeatures
from ctgi.retrieval.images import ImageRef
from ctgi.runs.evaluate_dialogue import anchor_turns, oracle_turns
from ctgi.runs.interactions import choose, fused_blocks, interact_all
from ctgi.runs.query import search
from ctgi.runs.split_search import SplitSearch
from ctgi.testing import ScriptedMllm
from ctgi.tools.backends import ChatRequest

QUERIES = [f"person {number}" for number in range(6)]
IMAGES = [ImageRef(f"im{number}", f"sha{number}") for number in range(12)]


class WrittenVectors:
    """A test double of an encoder: a text's vector is drawn from the text."""

    def encode_texts(self, texts: list[str]) -> TextFeatures:
        rows = [np.random.default_rng(list(text.encode())).normal(size=8) for text in texts]
        return TextFeatures(_unit(np.array(rows)), (0,) * len(texts))


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def gallery() -> SplitSearch:
    encoder: Any = WrittenVectors()
    features = _unit(np.random.default_rng(1).normal(size=(len(IMAGES), 8)))
    return SplitSearch(QUERIES, encoder.encode_texts(QUERIES).vectors, IMAGES, features, encoder)


def build(found: SplitSearch, *, broken: str = "", **settings: Any) -> MtiContext:
    def script(request: ChatRequest) -> str:
        assert request.image is not None
        if request.image.path == broken and not request.choices:
            raise ToolError(f"{broken}: gone")
        if request.choices:
            return "yes" if int(request.image.path[2:]) % 3 == 0 else "no"
        return f"a bag of kind {request.image.path}" if "carrying" in request.prompt else "not visible"

    mllm = ScriptedMllm(script, limit=5000)
    return MtiContext(
        search_gallery=found,
        verify_match=Verifier(mllm),
        answer_question=Answerer(mllm),
        propose_questions=TemplateQuestioner(load_pool()),
        aggregate_query=TemplateAggregator(),
        pool=load_pool(),
        judge=Judge(MtgSettings()),
        settings=MtiSettings(wave_growth=1, **settings),
    )


def interact(context: MtiContext) -> tuple[list[Any], list[tuple[int, str]]]:
    return asyncio.run(interact_all(context, QUERIES, in_flight=4, on_progress=lambda done: None))


@pytest.mark.parametrize("anchors", [1, 2])
@pytest.mark.parametrize("xi", [-1.0, 0.6, 1.0])
def test_one_dialogue_tells_what_a_search_at_any_xi_gives(anchors: int, xi: float) -> None:
    found = gallery()
    context = build(found, max_anchors=anchors, k=8)
    interactions, failed = interact(context)
    assert failed == []
    at_xi = replace(context, settings=context.settings.model_copy(update={"xi": xi}))
    for query, interaction in zip(QUERIES, interactions, strict=True):
        chosen = choose(interaction, xi, "ctgi", 8)
        wanted = asyncio.run(search(at_xi, query, 10))
        assert chosen.anchors == tuple(anchor.sha256 for anchor in wanted.anchors)
        assert chosen.refined_query == wanted.refined_query
        assert chosen.early is wanted.early_stop
        assert chosen.calls == wanted.calls


@pytest.mark.parametrize(("lam", "mode"), [(0.0, "refined"), (0.3, "refined"), (0.8, "final"), (1.0, "refined")])
def test_fused_scores_rank_as_the_search_does(lam: float, mode: str) -> None:
    found = gallery()
    context = build(found, lam=lam, fusion=mode)
    choices = [choose(one, 0.85, "ctgi", 12) for one in interact(context)[0]]
    assert any(choice.refined_query for choice in choices)
    vectors = np.stack([found.known_vector(query) for query in QUERIES])
    scores = np.concatenate(list(fused_blocks(vectors, found, choices, lam, mode)))
    for query, row in zip(QUERIES, scores, strict=True):
        results = asyncio.run(search(context, query, 12)).results
        order = np.argsort(-row, kind="stable")
        assert [result.path for result in results] == [IMAGES[column].path for column in order]
        np.testing.assert_allclose([result.score for result in results], row[order], atol=1e-6)


def test_a_query_whose_anchor_cannot_be_asked_is_left_as_it_is() -> None:
    found = gallery()
    anchors = [one.full.anchors[0].path for one in interact(build(found))[0]]
    interactions, failed = interact(build(found, broken=anchors[0]))
    assert [query for query, _ in failed] == [row for row, path in enumerate(anchors) if path == anchors[0]]
    assert interactions[0] is None
    vectors = np.stack([found.known_vector(query) for query in QUERIES])
    scores = np.concatenate(list(fused_blocks(vectors, found, [None] * len(QUERIES), 0.5, "refined")))
    np.testing.assert_array_equal(scores, vectors @ found.features.T)


def test_turns_add_one_answer_each() -> None:
    found = gallery()
    context = build(found)
    searches = [one.full for one in interact(context)[0]]
    turns = asyncio.run(anchor_turns(context, QUERIES, [*searches[:-1], None]))
    assert turns[-1].texts == (QUERIES[-1],)
    assert turns[0].texts[0] == QUERIES[0]
    assert turns[0].texts[-1] == searches[0].refined_query
    assert len(turns[0].texts) == 7
    assert len(set(turns[0].texts)) == 2  # one answer of six was kept
    assert turns[0].anchors == (searches[0].anchors[0].sha256,)


def test_the_oracle_asks_the_target_and_no_anchor() -> None:
    context = build(gallery(), broken="im4")
    targets = [IMAGES[number] for number in (1, 2, 4, 5, 7, 8)]  # none of them would be confirmed
    turns, failed = asyncio.run(oracle_turns(context, QUERIES, targets, in_flight=3, on_progress=lambda done: None))
    assert failed == [(2, "im4: gone")]
    assert turns[2].texts == (QUERIES[2],)
    assert "kind im1" in turns[0].texts[-1]
    assert {one.anchors for one in turns} == {()}
