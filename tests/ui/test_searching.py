"""The page: ranking, dialogue, marks; each search is a thread with an address of its own."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctgi.errors import EndpointDownError
from ctgi.retrieval.columns import update_columns
from ctgi.testing import ScriptedMllm
from ctgi.tools.traces.reader import open_trace
from ctgi.ui.parts import PARTS, Parts
from ctgi.ui.searches import begun_of, view_of
from tests.support.page import Visit, seen, visited

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


async def test_with_captions_the_person_is_asked_what_tells_the_candidates_apart(people: Path, tmp_path: Path) -> None:
    lines = [
        {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "caption": f"A man in {shoes}."}
        for path, shoes in zip(sorted(people.glob("*.png")), ("boots", "sandals") * 4, strict=True)
    ]
    captions = tmp_path / "captions.jsonl"
    captions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        asked = (await visit.see(await visit.finished("a man", asks="person"))).all("input", name="question")
        assert asked[0]["value"] == "What kind of shoes is the person wearing?"
        captions.write_text(captions.read_text().replace("boots", "jeans").replace("sandals", "a skirt"))
        asked = (await visit.see(await visit.finished("a man", asks="person"))).all("input", name="question")
        assert asked[0]["value"].startswith("What type of trousers")
        captions.write_text("no captions at all")
        asked = (await visit.see(await visit.finished("a man", asks="person"))).all("input", name="question")
        assert asked[0]["value"].startswith("What color"), "the pool's first question"


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


async def test_this_is_the_person_asks_about_that_image(people: Path, tmp_path: Path) -> None:
    model = ScriptedMllm({"kind of shoes": "white sneakers", "": "no"})
    async with visited(people, model, tmp_path) as visit:
        parent = await visit.finished()
        before = await visit.see(parent)
        assert "No confident match: none of 8 candidates was confirmed" in before.text
        chosen = before.order[5]
        shown = await visit.post(f"{parent}/is", image=chosen)
        child = shown.url.path
        await visit.get(f"{child}/stream")
        after = await visit.see(child)
        assert child != parent
        assert after.order[0] == chosen, after.text
        assert "You confirmed the match" in after.text
        assert after.all("a", href=parent), "the search before is one click away"
        assert (await visit.see(parent)).order == before.order, "and is as it was"


async def test_not_this_one_is_gone_from_the_ranking_and_from_all_that_follows(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(SAYS), tmp_path) as visit:
        address = await visit.finished()
        for _ in range(2):
            gone = (await visit.see(address)).order[0]
            address = (await visit.post(f"{address}/not", image=gone)).url.path
            await visit.get(f"{address}/stream")
            assert gone not in (await visit.see(address)).order
        left = await visit.see(address)
        assert len(left.order) == 6
        assert "2 set aside" in left.text


async def test_one_answer_is_changed_and_the_others_stay(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(SAYS), tmp_path) as visit:
        parent = await visit.finished()
        before = await answers(visit, parent)
        asked = before.index("yes")
        child = (await visit.post(f"{parent}/differently", turn=asked)).url.path
        await visit.get(f"{child}/stream")
        question = (await visit.see(child)).all("input", name="question")[0]["value"]
        await visit.post(f"{child}/answer", question=question, answer="a green coat")
        await visit.get(f"{child}/stream")
        others = before[:asked] + before[asked + 1 :]
        assert await answers(visit, child) == [*others, "a green coat"]
        assert await answers(visit, parent) == before


async def answers(visit: Visit, address: str) -> list[str]:
    begun = visit.site.store.search(address.rsplit("/", 1)[1])
    assert begun
    moment, _ = await visit.site.desk.moment(begun)
    assert moment
    return [turn.answer for turn in moment.found.dialogue]


async def test_without_questions_no_model_is_asked(people: Path, tmp_path: Path) -> None:
    model = ScriptedMllm()
    async with visited(people, model, tmp_path) as visit:
        address = await visit.finished(asks="nobody")
        shown = await visit.see(address)
        assert len(shown.order) == 8
        assert not shown.all("body")[0].get("data-stream")
        assert model.seen == []


@pytest.mark.parametrize("query", ["", "   "])
async def test_an_empty_query_is_a_page_that_says_so(query: str, people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        shown = await visit.post("/searches", query=query)
        assert shown.status_code in (409, 422)
        assert "That did not work" in shown.text


async def test_a_model_that_fails_is_said_and_tried_again(people: Path, tmp_path: Path) -> None:
    down = [EndpointDownError("http://model: no answer: start the server")]

    def says(request: Any) -> Any:
        return down[0] if down else SAYS["kind of shoes"] if "kind of shoes" in request.prompt else "yes"

    async with visited(people, ScriptedMllm(says), tmp_path) as visit:
        address = await visit.finished()
        stopped = await visit.see(address)
        assert "The search stopped: http://model: no answer: start the server" in stopped.text
        assert len(stopped.order) == 8, "the ranking is still there"
        down.clear()
        await visit.post(f"{address}/again")
        await visit.get(f"{address}/stream")
        assert "A match was confirmed" in (await visit.see(address)).text


async def test_a_restart_in_the_middle_loses_nothing(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        mine = await visit.finished("a man", asks="person")
        first = (await visit.see(mine)).all("input", name="question")[0]["value"]
        await visit.post(f"{mine}/answer", question=first, answer="blue jeans")
        second = (await visit.see(mine)).all("input", name="question")[0]["value"]
        broken_off = await visit.search("a woman")
    async with visited(people, ScriptedMllm(SAYS), tmp_path) as visit:
        again = await visit.see(mine)
        assert "blue jeans" in again.text
        assert again.all("input", name="question")[0]["value"] == second
        await visit.post(f"{mine}/answer", question=second, answer="red shoes")
        assert "red shoes" in (await visit.see(mine)).text
        await visit.get(f"{broken_off}/stream")
        assert "A match was confirmed" in (await visit.see(broken_off)).text


async def test_two_people_at_once_do_not_disturb_each_other(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        both = [await visit.finished(query, asks="person") for query in ("a man", "a woman")]
        for address, answer in zip(both, ("blue jeans", "green skirt"), strict=True):
            question = (await visit.see(address)).all("input", name="question")[0]["value"]
            await visit.post(f"{address}/answer", question=question, answer=answer)
        seen_by = [(await visit.see(address)).text for address in both]
        assert ["blue jeans" in text for text in seen_by] == [True, False]
        assert ["green skirt" in text for text in seen_by] == [False, True]


async def test_each_search_is_recorded(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(SAYS), tmp_path / "traces") as visit:
        address = await visit.finished()
        order = (await visit.see(address)).order
    (file,) = (tmp_path / "traces").rglob("*.jsonl")
    trace = open_trace(file)
    ((number, item),) = trace.items.items()
    done = trace.done(number)
    assert (trace.header.command, trace.header.graph, item.item.input["query"]) == ("search", "mti", "a man")
    assert done and done.output
    assert [one["sha256"] for one in done.output["results"]] == order


async def test_an_unknown_search_is_a_page_that_says_so(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        for address in ("/searches/0000000000000000", "/nowhere"):
            shown = await visit.get(address)
            assert shown.status_code == 404
            assert seen(shown.text).all("a", href="/")


async def test_what_the_page_came_with_is_not_sent_again(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(SAYS), tmp_path) as visit:
        view = await view_of(visit.site, begun_of(visit.site, (await visit.finished()).split("/")[-1]))
        macros = visit.site.macros(PARTS)
        mark = Parts(macros).mark(view)
        known, changed = Parts(macros, mark), replace(view, stage="Ranking again", running=True)
        assert known.changed(view) == {}
        assert known.changed(changed).keys() == {"status", "trust", "dialogue"}
        assert "ranking" in Parts(macros, mark).changed(changed), "a view that moved on meanwhile is sent whole"
        assert "ranking" in Parts(macros).changed(view)


async def test_a_filter_holds_for_the_search_and_for_what_goes_on_from_it(people: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in people.glob("*.png"))
    async with visited(people, ScriptedMllm(SAYS), tmp_path) as visit:
        assert not (await visit.see("/")).all("input", name="where"), "nothing is known to filter by"
        table = tmp_path / "seen.csv"
        table.write_text("path,camera\n" + "".join(f"{name},{row % 2}\n" for row, name in enumerate(names)))
        update_columns(visit.site.gallery.home, names, [table], people)
        assert (await visit.see("/")).all("input", name="where")
        address = await visit.finished("a man", where="camera = 0")
        shown = await visit.see(address)
        assert len(shown.order) == 4
        assert "Only pictures for which camera = 0" in " ".join(shown.text.split())
        again = (await visit.post(f"{address}/not", image=shown.order[0])).url.path
        await visit.get(f"{again}/stream")
        later = await visit.see(again)
        assert set(later.order) == set(shown.order[1:])
        assert later.all("input", name="where")[0]["value"] == "camera = 0"
        assert len((await visit.see(await visit.finished("a man", group="camera"))).order) == 2
        wrong = await visit.post("/searches", query="a man", where='camera = "<b>"')
        assert wrong.status_code == 409
        assert "no column &lt;b&gt;" in wrong.text
        assert "the columns are path, camera" in wrong.text
