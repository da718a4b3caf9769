"""MTI over a ranking that is written down here (a test double of the retriever) and a scripted model."""

import asyncio
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ctgi.agents.abilities import EmbeddedVerifier
from ctgi.agents.answerer import Answerer
from ctgi.agents.judge import Judge
from ctgi.agents.pool import load_pool
from ctgi.agents.questioner import TemplateQuestioner
from ctgi.agents.trust import Trust
from ctgi.agents.verifier import Verifier
from ctgi.agents.writers import TemplateAggregator
from ctgi.config import MtgSettings, MtiSettings
from ctgi.errors import CtgiError, ToolError
from ctgi.graphs.mti import MtiContext, build_mti
from ctgi.graphs.mti_state import dialogue
from ctgi.graphs.thread_data import PlainData
from ctgi.records import DialogueTurn, SearchRecord
from ctgi.retrieval.images import ImageRef
from ctgi.runs.query import converse, search
from ctgi.testing import ScriptedMllm
from ctgi.tools.backends import ChatRequest
from ctgi.tools.types import Candidate, Ranking, Refinement, Reply, Verdict
from tests.support.clock import run_timed


@dataclass
class WrittenRanking:
    """Images im0, im1 ... in this order; scores fall from `best` by 0.01. A refinement puts its anchors first."""

    size: int = 30
    best: float = 0.6
    asked: list[Refinement | None] = field(default_factory=list)

    async def __call__(
        self, query: str, k: int, *, refinement: Refinement | None = None, where: str | None = None
    ) -> Ranking:
        self.asked.append(refinement)
        order = list(range(self.size))
        if refinement:
            order.sort(key=lambda i: f"sha{i}" not in refinement.anchors)
        found = (
            Candidate(ImageRef(f"im{i}", f"sha{i}"), self.best - 0.01 * i, self.best - 0.01 * i, i + 1) for i in order
        )
        return Ranking(tuple(found)[:k])


def build(
    yes: set[int],
    *,
    size: int = 30,
    best: float = 0.6,
    interactive: bool = False,
    latency_s: float = 0.0,
    **settings: Any,
) -> tuple[MtiContext, WrittenRanking, ScriptedMllm]:
    def script(request: ChatRequest) -> str:
        assert request.image is not None
        if request.choices:
            if request.image.path == "im7":
                raise ToolError("im7: the file is gone")
            return "yes" if int(request.image.path[2:]) in yes else "no"
        return "white sneakers" if "kind of shoes" in request.prompt else "not visible"

    retriever, mllm = WrittenRanking(size, best), ScriptedMllm(script, latency_s=latency_s)
    context = MtiContext(
        search_gallery=retriever,
        verify_match=Verifier(mllm),
        answer_question=Answerer(mllm),
        propose_questions=TemplateQuestioner(load_pool()),
        aggregate_query=TemplateAggregator(),
        pool=load_pool(),
        judge=Judge(MtgSettings()),
        settings=MtiSettings(**({"questions": 40} | settings)),
        interactive=interactive,
    )
    return context, retriever, mllm


def run(yes: set[int], query: str = "a man", **settings: Any) -> tuple[SearchRecord, WrittenRanking, ScriptedMllm]:
    context, retriever, mllm = build(yes, **settings)
    return asyncio.run(search(context, query, 10)), retriever, mllm


def test_the_first_yes_is_the_anchor_and_refines_the_query() -> None:
    result, retriever, _ = run({3, 5})
    assert [anchor.path for anchor in result.anchors] == ["im3"]
    assert result.anchors[0].rank == 4
    assert result.no_match is None
    assert result.refined_query == "A man. The person wears white sneakers."
    assert retriever.asked == [None, Refinement(str(result.refined_query), ("sha3",), 0.8, "refined")]
    assert result.results[0].to_json() == {
        "path": "im3", "sha256": "sha3", "score": pytest.approx(0.57), "score_before": pytest.approx(0.57),
        "rank_before": 4, "rank": 1,
    }  # fmt: skip
    assert {turn.anchor for turn in result.dialogue} == {"im3"}
    reasons = {turn.reason for turn in result.dialogue if "kind of shoes" not in turn.question}
    assert reasons == {"unusable: not visible"}


def test_what_the_refinement_moved_out_of_the_results_is_kept_with_its_rank() -> None:
    result, _, _ = run({14})
    assert result.results[0].path == "im14"
    assert [(one.path, one.rank, one.score) for one in result.left] == [("im9", 10, pytest.approx(0.51))]
    assert run(set())[0].left == ()


def test_no_anchor_leaves_the_ranking_as_it_was() -> None:
    result, retriever, _ = run(set())
    assert result.anchors == result.dialogue == ()
    assert result.refined_query is None
    assert retriever.asked == [None]
    assert [found.path for found in result.results] == [f"im{i}" for i in range(10)]
    assert result.calls == {"search_gallery": 1, "verify_match": 20}
    assert result.no_match == "none of 20 candidates was confirmed; 1 could not be looked at (im7: the file is gone)"


def test_a_yes_that_is_not_sure_enough_for_its_rank_is_no_anchor_and_the_reason_is_told() -> None:
    sure = {"im2": 0.7, "im12": 0.75, "im15": 0.9}

    async def verify(image: ImageRef, description: str) -> Verdict:
        return Verdict(image.path in sure, sure.get(image.path, 0.1), "", threshold=0.6)

    def found(trust: Trust) -> SearchRecord:
        context, _, _ = build(set())
        return asyncio.run(search(replace(context, verify_match=verify, trust=trust), "a man", 10))

    assert [anchor.path for anchor in found(Trust(near=3, deep=0.8)).anchors] == ["im2"]
    assert [anchor.path for anchor in found(Trust(near=2, deep=0.8)).anchors] == ["im15"]
    none = found(Trust(near=2, deep=0.95))
    assert none.anchors == none.dialogue == ()
    assert none.no_match == (
        "none of 20 candidates was confirmed; the likeliest, im15, has P(yes) 0.90 at rank 16, where more than 0.95 "
        "is needed"
    )
    assert [one.doubt is None for one in none.verified if one.match] == [False, False, False]


def test_a_query_of_words_unknown_to_the_embedded_model_has_no_confident_match() -> None:
    context, _, mllm = build({0})
    result = asyncio.run(
        search(replace(context, verify_match=EmbeddedVerifier(mllm)), "an elephant riding a spaceship", 10)
    )
    assert result.anchors == ()
    assert "none of 20 candidates was confirmed; not judged" in str(result.no_match)
    assert "elephant, spaceship" in str(result.no_match)


def test_waves_find_the_anchors_of_a_one_by_one_loop() -> None:
    """Sequential semantics: for random verdicts, every wave growth gives the same anchors in the same order."""
    draw = random.Random(0)
    for _ in range(12):
        yes = {i for i in range(30) if draw.random() < 0.15} - {7}
        count = draw.choice([1, 2, 3])
        expected = [f"im{i}" for i in sorted(yes) if i < 20][:count]
        for growth in (1, 2, 4, 20):
            result, _, _ = run(yes, max_anchors=count, wave_growth=growth)
            assert [anchor.path for anchor in result.anchors] == expected


def test_waves_take_a_fraction_of_the_round_trips() -> None:
    def round_trips(growth: int) -> float:
        context, _, _ = build(set(), wave_growth=growth, latency_s=1)
        return run_timed(search(context, "a man", 10))[1]

    assert (round_trips(4), round_trips(1)) == (3, 20)


def test_one_by_one_stops_at_the_first_yes() -> None:
    result, _, _ = run({2}, wave_growth=1)
    assert result.calls["verify_match"] == 3


@pytest.mark.parametrize(("best", "early"), [(0.9, True), (0.8, False)])
def test_early_stop_needs_the_similarity_and_the_yes(best: float, early: bool) -> None:
    result, _, _ = run({0, 1}, best=best, max_anchors=2)
    assert result.early_stop is early
    assert [anchor.path for anchor in result.anchors] == (["im0"] if early else ["im0", "im1"])
    result, _, _ = run({1}, best=0.9)
    assert result.early_stop is False


def test_a_candidate_that_cannot_be_judged_is_said_and_is_no_anchor() -> None:
    result, _, _ = run({7, 9})
    assert [anchor.path for anchor in result.anchors] == ["im9"]
    assert [asked.error for asked in result.verified if asked.path == "im7"] == ["im7: the file is gone"]


def test_a_candidate_that_exhausts_the_memory_is_no_anchor_and_the_search_goes_on() -> None:
    context, _, _ = build({7, 9})
    judge = context.verify_match

    async def verify(image: ImageRef, description: str) -> Verdict:
        if image.path == "im2":
            raise MemoryError
        return await judge(image, description)

    result = asyncio.run(search(replace(context, verify_match=verify), "a man", 10))
    assert [anchor.path for anchor in result.anchors] == ["im9"]
    errors = {asked.path: asked.error for asked in result.verified if asked.error}
    assert errors["im2"] == "it takes more memory than there is"


def test_only_k_candidates_are_verified() -> None:
    result, _, _ = run({6}, k=5)
    assert result.anchors == ()
    assert result.calls["verify_match"] == 5


def test_a_gallery_smaller_than_k() -> None:
    result, _, _ = run(set(), size=3)
    assert result.calls["verify_match"] == 3
    assert len(result.results) == 3


def test_an_empty_gallery_gives_no_results() -> None:
    assert run(set(), size=0)[0].results == ()


@pytest.mark.parametrize("asks", [True, False])
def test_an_anchor_that_tells_nothing_is_promoted_all_the_same(asks: bool) -> None:
    """No answer is kept, or nothing is left to ask: the confirmed image rises, the query stays as it is."""
    query = "a person in white sneakers"
    context, retriever, _ = build({3})
    if not asks:
        context = replace(context, propose_questions=TemplateQuestioner(replace(load_pool(), questions=())))
    result = asyncio.run(search(context, query, 10))
    assert result.refined_query is None
    assert bool(result.dialogue) is asks
    assert not any(turn.kept for turn in result.dialogue)
    assert retriever.asked == [None, Refinement(query, ("sha3",), 0.8, "refined")]
    assert [(one.path, one.rank_before) for one in result.results[:2]] == [("im3", 4), ("im0", 1)]
    assert "aggregate_query" not in result.calls


def test_a_person_who_answers_nothing_leaves_the_ranking(tmp_path: Path) -> None:
    result, _ = talk(tmp_path / "threads.sqlite", "a man", ["stop"])
    assert result.refined_query is None
    assert result.calls["search_gallery"] == 1


def test_a_round_with_nothing_left_to_ask_sums_nothing_up_again() -> None:
    result, _, _ = run({0}, rounds=3, questions=40)
    assert result.rounds == 3
    assert result.calls["aggregate_query"] == 1
    assert result.refined_query == "A man. The person wears white sneakers."


def test_anchors_that_disagree_are_settled_by_vote() -> None:
    context, _, _ = build({0, 1, 2}, max_anchors=3, questions=2)
    told = {"im0": "a red skirt", "im1": "blue jeans", "im2": "jeans"}

    async def answer(image: ImageRef, question: str, **_: Any) -> Reply:
        return Reply(told[image.path] if "lower-body" in question else "not visible")

    result = asyncio.run(search(replace(context, answer_question=answer), "a man", 10))
    assert result.refined_query == "A man. The person wears blue jeans on the lower body."
    assert [turn.reason for turn in result.dialogue if turn.answer == "a red skirt"] == [
        "outvoted: 2 of 3 anchors say otherwise"
    ]


def test_rounds_ask_on_and_ask_nothing_twice() -> None:
    result, retriever, _ = run({0}, rounds=3, questions=14)
    questions = [turn.attribute for turn in result.dialogue]
    assert len(questions) == len(set(questions))
    assert {turn.round for turn in result.dialogue} == {1, 2, 3}
    assert [asked.anchors for asked in retriever.asked if asked] == [("sha0",)] * (len(retriever.asked) - 1)


@pytest.mark.parametrize("query", ["", "  \n"])
def test_an_empty_query_is_refused(query: str) -> None:
    with pytest.raises(CtgiError, match="query is empty"):
        run(set(), query=query)


def test_the_shape_of_the_graph() -> None:
    edges = {(edge.source, edge.target) for edge in build_mti().get_graph().edges}
    assert edges == {
        ("__start__", "retrieve"), ("retrieve", "verify"), ("retrieve", "propose"), ("retrieve", "__end__"),
        ("verify", "verify"), ("verify", "propose"), ("verify", "__end__"),
        ("propose", "ask_anchor"), ("propose", "ask_person"), ("propose", "aggregate"),
        ("ask_anchor", "aggregate"), ("ask_person", "ask_person"), ("ask_person", "aggregate"),
        ("aggregate", "rerank"), ("aggregate", "__end__"), ("rerank", "next_round"), ("rerank", "__end__"),
        ("next_round", "verify"), ("next_round", "propose"), ("next_round", "__end__"),
    }  # fmt: skip


class Stopped(Exception):
    """The person closed the terminal."""


def talk(threads: Path, query: str | None, answers: list[str], thread: str = "t") -> tuple[SearchRecord, list[str]]:
    context, _, mllm = build(set(), interactive=True, questions=3)
    questions: list[str] = []

    async def ask(question: str, left: int) -> str:
        questions.append(question)
        if not answers:
            raise Stopped
        return answers.pop(0)

    result = asyncio.run(converse(context, query, 10, threads=threads, thread=thread, ask=ask))
    assert mllm.seen == []
    return result, questions


def test_a_person_answers_instead_of_the_anchor(tmp_path: Path) -> None:
    result, questions = talk(tmp_path / "threads.sqlite", "a man", ["red", "I don't know", "a bag"])
    assert len(questions) == 3
    assert [turn.kept for turn in result.dialogue] == [True, False, True]
    assert result.refined_query == "A man. The person carries a bag. The upper-body clothing is red."
    assert result.calls["ask_user"] == 3


def test_stop_ends_the_questions(tmp_path: Path) -> None:
    result, questions = talk(tmp_path / "threads.sqlite", "a man", ["red", "Stop!"])
    assert len(questions) == 2
    assert result.refined_query == "A man. The upper-body clothing is red."


def test_an_interrupted_thread_goes_on_with_its_next_question(tmp_path: Path) -> None:
    threads = tmp_path / "threads.sqlite"
    with pytest.raises(Stopped):
        talk(threads, "a man", ["red"])
    result, questions = talk(threads, None, ["jeans", "a bag"])
    assert len(questions) == 2
    assert [turn.answer for turn in result.dialogue] == ["red", "jeans", "a bag"]
    with pytest.raises(CtgiError, match="is a search for 'a man'"):
        talk(threads, "a woman", [])
    with pytest.raises(CtgiError, match="no thread 'other'"):
        talk(threads, None, [], thread="other")


def test_a_thread_holds_plain_json_as_before_and_is_read_as_records() -> None:
    turn = DialogueTurn(
        attribute="shoes", question="What shoes?", answer="brown", confidence=None, statement="The shoes are brown.",
        kept=True, reason=None, anchor="crops/\udcff.png", round=1,
    )  # fmt: skip
    kept = PlainData().dumps_typed({"dialogue": [turn]})
    assert kept == PlainData().dumps_typed({"dialogue": [turn.to_json()]})
    assert dialogue(PlainData().loads_typed(kept)) == [turn]
