"""The page: ranking, dialogue, marks; each search is a thread with an address of its own."""

import json
from pathlib import Path

import pytest

from ctgi.testing import ScriptedMllm
from tests.support.page import visited

pytestmark = pytest.mark.anyio
SAYS = {"kind of shoes": "white sneakers", "": "yes"}


def events(stream: str) -> list[tuple[str, dict[str, str]]]:
    blocks = [block.split("\n") for block in stream.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


async def test_the_ranking_comes_at_once_and_the_rest_streams_in(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(SAYS), tmp_path) as visit:
        address = await visit.search("a man with a bag")
        first = await visit.see(address)
        assert len(first.order) == 8
        told = events((await visit.get(f"{address}/stream")).text)
        assert told[-1][0] == "end"
        verdicts = [parts for _, parts in told if any(name.startswith("verdict-") for name in parts)]
        assert verdicts or any("Match" in parts.get("ranking", "") for _, parts in told)
        last = await visit.see(address)
        assert "Ranking after the dialogue" in last.text
        assert "A match was confirmed at rank 1" in last.text
        assert not last.all("body")[0].get("data-stream")


async def test_a_person_answers_and_the_ranking_follows(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        address = await visit.finished("a man", asks="person")
        asked = 0
        while (field := (await visit.see(address)).all("input", name="question")) and asked < 9:
            await visit.post(f"{address}/answer", question=field[0]["value"], answer="blue jeans")
            await visit.get(f"{address}/stream")
            asked += 1
        last = await visit.see(address)
        assert asked > 1
        assert "blue jeans" in last.text
        assert "Ranking after the dialogue" in last.text


async def test_an_answer_that_is_sent_twice_counts_once(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        address = await visit.finished("a man", asks="person")
        question = (await visit.see(address)).all("input", name="question")[0]["value"]
        for answer in ("blue jeans", "blue jeans", "something else"):
            await visit.post(f"{address}/answer", question=question, answer=answer)
        after = await visit.see(address)
        assert after.text.count("blue jeans") == 1
        assert "something else" not in after.text
        assert after.all("input", name="question")[0]["value"] != question
