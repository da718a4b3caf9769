"""Recorded calls answered again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ctgi.errors import ImageError, ToolError
from ctgi.retrieval.images import ImageRef
from ctgi.tools.traces.player import MissError, Replay
from ctgi.tools.traces.reader import open_trace
from ctgi.tools.types import Reply
from tests.support.recording import HERE, IMAGE, MODEL, answer, record, serve


async def ask_all(replay: Replay, item: int, questions: list[str]) -> list[Any]:
    ask = serve(replay, "answer_question", answer)
    with replay.at(item):
        said = await asyncio.gather(*(ask(HERE, question) for question in questions), return_exceptions=True)
    return [one.text if isinstance(one, Reply) else one for one in said]


def test_concurrent_calls_get_their_own_answers_again(tmp_path: Path) -> None:
    questions = ["slow", "same", "same", "other"]
    replay = Replay(open_trace(record(tmp_path, questions)))
    assert asyncio.run(ask_all(replay, 1, questions)) == ["slow 1", "same 1", "same 2", "other 1"]
    assert asyncio.run(ask_all(replay, 2, ["other", "same", "slow", "same"])) == [
        "other 2",
        "same 3",
        "slow 2",
        "same 4",
    ]


def test_recorded_failures_are_raised_and_a_server_that_went_down_is_no_answer(tmp_path: Path) -> None:
    replay = Replay(open_trace(record(tmp_path, ["broken", "down"])))
    broken, down = asyncio.run(ask_all(replay, 1, ["broken", "down"]))
    assert isinstance(broken, ToolError)
    assert str(broken) == "refused"
    assert isinstance(down, MissError)


def test_a_miss_names_the_nearest_recording(tmp_path: Path) -> None:
    replay = Replay(open_trace(record(tmp_path, ["what color is the coat?", "any shoes?"])))
    (miss,) = asyncio.run(ask_all(replay, 1, ["what color is the hat?"]))
    assert isinstance(miss, MissError)
    assert 'question is "what color is the hat?", recorded was "what color is the coat?"' in str(miss)
    used_up = asyncio.run(ask_all(replay, 1, ["any shoes?", "any shoes?"]))[1]
    assert "more often with these arguments than recorded (recorded: 1)" in str(used_up)


def test_a_miss_may_go_live_and_a_tool_may_be_live(tmp_path: Path) -> None:
    trace = open_trace(record(tmp_path, ["one", "two"]))
    assert asyncio.run(ask_all(Replay(trace, on_miss="live"), 1, ["one", "three"])) == ["one 1", "three 0"]
    assert asyncio.run(ask_all(Replay(trace, live={"answer_question"}), 1, ["one"])) == ["one 0"]
    assert asyncio.run(ask_all(Replay(trace, computed={"answer_question"}), 1, ["three"])) == ["three 0"]


def test_from_a_node_on_calls_go_live_also_where_nothing_is_recorded(tmp_path: Path) -> None:
    replay = Replay(open_trace(record(tmp_path, ["one", "two"])), from_node="dedupe")

    async def work() -> list[str]:
        ask = serve(replay, "answer_question", answer)
        with replay.at(1):
            with replay.node("ask", 1):
                said = [await ask(HERE, "one")]
            with replay.node("dedupe", 2):
                pass
            with replay.node("ask", 3):
                return [one.text for one in [*said, await ask(HERE, "two")]]

    assert asyncio.run(work()) == ["one 1", "two 0"]


def test_a_live_call_is_about_the_recorded_image_or_fails(tmp_path: Path) -> None:
    replay = Replay(open_trace(record(tmp_path, ["one"])), live={"answer_question"})
    gone, other = tmp_path / "gone.png", tmp_path / "other.png"
    other.write_bytes(b"other")

    async def ask(path: Path) -> None:
        tool = serve(replay, "answer_question", answer)
        with replay.at(1):
            await tool(ImageRef(str(path), IMAGE.sha256), "one")

    for path, told in ((gone, "no such file"), (other, "the path holds another image")):
        with pytest.raises(ImageError, match=told):
            asyncio.run(ask(path))


def test_a_recorded_tool_is_not_opened(tmp_path: Path) -> None:
    def explode() -> Any:
        raise AssertionError("a backend was opened")

    replay = Replay(open_trace(record(tmp_path, ["one"])))

    async def work() -> Reply:
        ask = replay.serve("answer_question", MODEL, explode)
        with replay.at(1):
            found: Reply = await ask(HERE, "one")
        return found

    assert asyncio.run(work()).text == "one 1"
