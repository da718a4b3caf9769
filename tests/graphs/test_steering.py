"""A search that goes on from another one: what a person confirmed, set aside, or answered before."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ctgi.graphs.mti import build_mti
from ctgi.graphs.mti_state import Steering, confirmed
from ctgi.graphs.thread_file import threads_to_read, threads_to_write
from ctgi.records import DialogueTurn, Found, SearchRecord
from ctgi.runs.query import FREE, converse, search
from tests.graphs.test_mti import Stopped, build

SHOES = DialogueTurn(
    attribute="shoes", question="What kind of shoes?", answer="red boots", confidence=None,
    statement="The person wears red boots.", kept=True, reason=None,
)  # fmt: skip
BAG = ("carried_objects", "What does the person carry?")


def image(number: int) -> Found:
    return Found(path=f"im{number}", sha256=f"sha{number}", score=0.5, score_before=0.5, rank_before=number + 1)


def steered(yes: set[int], steering: Steering, **settings: Any) -> SearchRecord:
    context, _, _ = build(yes, **settings)
    return asyncio.run(search(context, "a man", 10, steering=steering))


def test_a_confirmed_image_is_asked_without_being_verified() -> None:
    result = steered({1}, Steering(anchors=(confirmed(image(12), 13),)))
    assert result.verified == ()
    assert [(anchor.path, anchor.rank, anchor.by_person, anchor.weak) for anchor in result.anchors] == [
        ("im12", 13, True, None)
    ]
    assert {turn.anchor for turn in result.dialogue} == {"im12"}
    assert result.results[0].path == "im12"


def test_what_was_set_aside_is_neither_ranked_nor_verified_nor_an_anchor() -> None:
    aside = Steering(excluded=("sha0", "sha3"), anchors=(confirmed(image(0), 1),))
    result = steered({0, 3, 5}, aside)
    assert [anchor.path for anchor in result.anchors] == ["im5"]
    seen = {one.path for one in (*result.results, *result.verified)}
    assert not seen & {"im0", "im3"}
    assert len(result.results) == 10
    assert result.results[1].rank_before == 2, "ranks of plain retrieval stay those of the whole gallery"


def test_as_many_results_as_wanted_whatever_was_set_aside() -> None:
    result = steered(set(), Steering(excluded=tuple(f"sha{i}" for i in range(15))), k=5)
    assert [found.path for found in result.results] == [f"im{i}" for i in range(15, 25)]


def test_earlier_turns_are_kept_and_not_asked_again() -> None:
    result = steered(set(), Steering(anchors=(confirmed(image(2), 3),), dialogue=(SHOES,)))
    assert result.dialogue[0] == SHOES
    assert [turn.attribute for turn in result.dialogue].count("shoes") == 1
    assert result.refined_query == "A man. The person wears red boots."


@pytest.mark.parametrize("yes", [{4}, set()])
def test_questions_that_come_with_the_search_are_the_ones_asked(yes: set[int]) -> None:
    given = Steering(questions=(BAG,), anchors=() if yes else (confirmed(image(4), 5),))
    result = steered(yes, given)
    assert [(turn.attribute, turn.anchor) for turn in result.dialogue] == [("carried_objects", "im4")]


def test_what_a_person_confirmed_is_the_anchor_of_every_round() -> None:
    result = steered(set(), Steering(anchors=(confirmed(image(2), 3),)), rounds=3, questions=14)
    assert result.verified == ()
    assert {turn.round for turn in result.dialogue} == {1, 2, 3}


def talk(threads: Path, answers: list[str], steering: Steering = FREE, query: str | None = "a man") -> Any:
    context, _, _ = build(set(), interactive=True, questions=3)
    asked: list[str] = []

    async def ask(question: str, left: int) -> str:
        asked.append(question)
        if not answers:
            raise Stopped
        return answers.pop(0)

    found = converse(context, query, 10, threads=threads, thread="t", ask=ask, steering=steering)
    return asyncio.run(found), asked


def test_a_steered_dialogue_outlasts_its_process(tmp_path: Path) -> None:
    threads = tmp_path / "threads.sqlite"
    given = Steering(
        dialogue=(SHOES,), questions=(BAG, ("hat", "A hat?")), excluded=("sha1",), anchors=(confirmed(image(6), 7),)
    )
    with pytest.raises(Stopped):
        talk(threads, ["a bag"], given)
    result, asked = talk(threads, ["a red cap"], query=None)
    assert asked == ["A hat?"]
    assert [turn.answer for turn in result.dialogue] == ["red boots", "a bag", "a red cap"]
    assert "im1" not in {found.path for found in result.results}
    assert [anchor.path for anchor in result.anchors] == ["im6"]


def test_a_search_that_verifies_is_kept_step_by_step_too(tmp_path: Path) -> None:
    """The page keeps every search as a thread, also one in which the anchor answers."""

    async def kept() -> tuple[Any, int]:
        context, _, _ = build({5})
        config: Any = {"configurable": {"thread_id": "t"}}
        async with threads_to_write(tmp_path / "page.sqlite") as saver:
            given: Any = {"query": "a man", "length": 10, **Steering(excluded=("sha2",)).state()}
            await build_mti(saver).ainvoke(given, config, context=context)
        async with threads_to_read(tmp_path / "page.sqlite") as saver:
            history = [one async for one in build_mti(saver).aget_state_history(config)]
            return history[0].values, len(history)

    values, steps = asyncio.run(kept())
    assert values["refined_query"] == "A man. The person wears white sneakers."
    assert steps > 6
