"""The shortlist, and what is exported from it."""

import csv
import io
import os
from pathlib import Path

import pytest

from ctgi.testing import ScriptedMllm
from tests.support.page import visited

pytestmark = pytest.mark.anyio


async def test_what_is_marked_is_exported_with_its_note(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        address = await visit.finished(asks="nobody")
        first, second, third = (await visit.see(address)).order[:3]
        await visit.post(f"{address}/keep", image=second, note="seen twice")
        await visit.post(f"{address}/keep", image=first)
        await visit.post(f"{address}/keep", image=third)
        await visit.post(f"{address}/drop", image=third)
        await visit.post(f"{address}/keep", image=first, note="=1+1")
        exact = (await visit.get(f"{address}/shortlist.json")).json()
        table = (await visit.get(f"{address}/shortlist.csv")).content.decode("utf-8-sig")
    assert exact["query"] == "a man"
    assert [(one["sha256"], one["rank"], one["note"]) for one in exact["images"]] == [
        (second, 2, "seen twice"), (first, 1, "=1+1"),
    ]  # fmt: skip
    assert all(Path(one["path"]).is_file() for one in exact["images"])
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["note"] for row in rows] == ["seen twice", "'=1+1"], "a spreadsheet calculates nothing"


async def test_a_path_that_is_not_utf8_keeps_its_bytes(people: Path, tmp_path: Path) -> None:
    odd = os.fsencode((people / "0_a.png").rename(people / "\udcff.png"))
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        address = await visit.finished(asks="nobody")
        (image,) = [ref.sha256 for ref in visit.site.gallery.refs() if os.fsencode(ref.path) == odd]
        await visit.post(f"{address}/keep", image=image)
        assert "\\udcff.png" in (await visit.see(address)).text
        (exact,) = (await visit.get(f"{address}/shortlist.json")).json()["images"]
        assert os.fsencode(exact["path"]) == odd
        assert odd in (await visit.get(f"{address}/shortlist.csv")).content


async def test_the_star_changes_in_its_place(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        address = await visit.finished(asks="nobody")
        image = (await visit.see(address)).order[0]
        form, headers = {"image": image}, {"origin": "http://127.0.0.1:8321", "x-part": "star"}
        parts = (await visit.client.post(f"{address}/keep", data=form, headers=headers)).json()
        assert set(parts) == {"shortlist", f"star-{image[:16]}"}
        assert 'aria-pressed="true"' in parts[f"star-{image[:16]}"]


async def test_a_search_that_goes_on_from_another_keeps_its_shortlist(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        address = await visit.finished(asks="nobody")
        first, second = (await visit.see(address)).order[:2]
        await visit.post(f"{address}/keep", image=first)
        child = (await visit.post(f"{address}/not", image=second)).url.path
        assert [one["sha256"] for one in (await visit.get(f"{child}/shortlist.json")).json()["images"]] == [first]


async def test_the_search_as_a_page_that_stands_alone(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        address = await visit.finished()
        page = await visit.get(f"{address}/report.html")
        assert "data:image/jpeg;base64," in page.text
        assert "img-src data:" in page.headers["content-security-policy"]
