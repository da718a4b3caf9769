"""A gallery that is indexed again while its page is open: the next search sees it, what goes on keeps the old one."""

from pathlib import Path

import pytest
from PIL import Image

from ctgi.config import load_settings
from ctgi.retrieval.gallery import build_gallery
from ctgi.retrieval.images import digest
from ctgi.testing import ScriptedMllm
from tests.support.color_encoder import ColorEncoder
from tests.support.page import visited

pytestmark = pytest.mark.anyio


class OtherEncoder(ColorEncoder):
    spec = "double:others"
    fingerprint = "others"


def index(people: Path, encoder: ColorEncoder | None = None) -> None:
    build_gallery([str(people)], people / ".ctgi", encoder or ColorEncoder(), load_settings().retriever)


def newcomer(people: Path) -> str:
    """One image more; returns its id."""
    path = people / "new.png"
    Image.new("RGB", (48, 96), "orange").save(path)
    return digest(str(path))


async def test_the_next_search_sees_what_was_added_and_removed_and_says_so(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        before = await visit.see(await visit.search(asks="nobody"))
        new, gone = newcomer(people), digest(str(people / "0_a.png"))
        (people / "0_b.png").unlink()
        (people / "0_a.png").unlink()
        index(people)
        after = await visit.see(await visit.search(asks="nobody"))
        assert (len(before.order), len(after.order)) == (8, 7)
        assert new in after.order
        assert gone not in after.order
        assert "The gallery was indexed again; this search saw it as it is now: 7 images, 8 before." in after.text
        assert "indexed again" not in before.text
        assert (await visit.get(f"/images/{new}/small")).status_code == 200
        assert (await visit.get(f"/images/{gone}/small")).status_code == 404
        assert "7 images" in (await visit.see("/gallery")).text


async def test_a_search_under_way_ends_on_the_gallery_it_began_with(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        address = await visit.finished(asks="person")
        new = newcomer(people)
        index(people)
        assert new in (await visit.see(await visit.search(asks="nobody"))).order
        question = (await visit.see(address)).all("input", name="question")[0]["value"]
        await visit.post(f"{address}/answer", question=question, answer="blue jeans")
        question = (await visit.see(address)).all("input", name="question")[0]["value"]
        await visit.post(f"{address}/answer", question=question, stop="1")
        await visit.get(f"{address}/stream")
        last = await visit.see(address)
        assert "blue jeans" in last.text
        assert "Ranking after the dialogue" in last.text
        assert len(last.order) == 8
        assert new not in last.order


async def test_a_gallery_of_another_encoder_or_none_is_told_until_it_is_back(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        for header in people.glob(".ctgi/*.json*"):
            header.unlink()
        gone = await visit.post("/searches", query="a man", asks="nobody")
        assert (gone.status_code, "gallery.json is missing" in gone.text) == (409, True), gone.text
        index(people, OtherEncoder())
        other = await visit.post("/searches", query="a man", asks="nobody")
        assert other.status_code == 409
        assert "double:others" in other.text
        for file in filter(Path.is_file, (people / ".ctgi").iterdir()):
            file.unlink()
        index(people)
        assert len((await visit.see(await visit.search(asks="nobody"))).order) == 8
