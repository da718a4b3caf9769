"""The gallery: its images in pieces, by name, one by one, and as pictures that are found by content."""

import shutil
from pathlib import Path

import pytest

from ctgi.retrieval.images import digest, image_size
from ctgi.testing import ScriptedMllm
from tests.support.caption_records import record, write
from tests.support.page import visited

pytestmark = pytest.mark.anyio


async def test_the_gallery_in_pieces_with_pictures_by_content(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctgi.ui.gallery.CHUNK", 5)
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        first = await visit.see("/gallery")
        more = first.all("a", rel="next")[0]["href"]
        rest = await visit.see(more)
        assert (len(first.order), len(rest.order), rest.all("a", rel="next")) == (5, 3, [])
        for size in ("small", "full"):
            picture = await visit.get(f"/images/{first.order[0]}/{size}")
            assert picture.headers["content-type"] == "image/jpeg"
            assert picture.content[:2] == b"\xff\xd8"
        kept = list((people / ".ctgi" / "page").rglob("*.jpg"))
        assert [file.stem for file in kept] == [first.order[0]], "made once, and only what was looked at"


async def test_an_image_that_was_moved_has_a_placeholder(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        gone = (await visit.see("/gallery")).order[0]
        Path(visit.site.pictures.path(gone)).rename(tmp_path / "elsewhere.png")
        picture = await visit.get(f"/images/{gone}/small")
        assert (picture.status_code, picture.headers["content-type"]) == (410, "image/svg+xml")


async def test_of_copies_the_one_that_is_there_is_shown(people: Path, tmp_path: Path) -> None:
    copy = shutil.copy(people / "0_a.png", people / "9_copy.png")
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        sha256 = digest(str(copy))
        assert "2 copies" in (await visit.see(f"/gallery/{sha256}")).text
        (people / "0_a.png").unlink()
        assert (await visit.get(f"/images/{sha256}/small")).status_code == 200
        assert visit.site.pictures.path(sha256) == str(copy)


async def test_images_are_found_by_a_part_of_their_path(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctgi.ui.gallery.CHUNK", 3)
    (people / "0_a.png").rename(people / "Größe & 1_x.png")
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        found = await visit.see("/gallery?name=GRÖSSE %26")
        assert found.order == [digest(str(people / "Größe & 1_x.png"))]
        first = await visit.see("/gallery?name=_A")
        assert first.order == [digest(str(people / name)) for name in ("1_a.png", "2_a.png", "3_a.png")]
        both = await visit.see("/gallery?name=_")
        rest = await visit.see(both.all("a", rel="next")[0]["href"])
        assert (len(both.order), len(rest.order)) == (3, 3)
        none = await visit.see("/gallery?name=<b>")
        assert "No path in this gallery holds “<b>”." in none.text
        assert not none.all("b")


async def test_one_image_has_a_page_with_its_captions(people: Path, tmp_path: Path) -> None:
    first, second = (str(path) for path in sorted(people.glob("*.png"))[:2])
    captions = write(tmp_path / "captions.jsonl", record(second, sha256=digest(second), caption="A girl."))
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        page = await visit.see(f"/gallery/{digest(second)}")
        assert "2 of 8" in page.text
        assert "A girl." in page.text
        assert page.all("a", rel="prev")[0]["href"] == f"/gallery/{digest(first)}"
        address = await visit.finished(asks="nobody")
        assert "A girl." in (await visit.see(f"{address}/images/{digest(second)}")).text
        assert (await visit.get(f"/gallery/{'0' * 64}")).status_code == 404


async def test_an_image_that_was_cut_out_leads_back_to_the_whole_picture(people: Path, tmp_path: Path) -> None:
    from ctgi.reading import dump

    shutil.copy(people / "1_a.png", tmp_path / "street.png")
    size = [*image_size(str(people / "1_a.png"))]
    row = {
        "path": "0_a.png", "sha256": "", "source": "../street.png", "frame": None, "time_s": None,
        "time": "2026-11-01T10:00:00", "box": [2, 4, 20, 40], "size": size, "track": "street/1",
        "score": 0.9, "worth": 0.5, "camera": "north", "site": None, "place": None,
    }  # fmt: skip
    (people / "sources.jsonl").write_bytes(dump(row) + b"\n")
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        sha256 = digest(str(people / "0_a.png"))
        page = (await visit.get(f"/gallery/{sha256}")).text
        assert "street.png, box 2, 4, 20, 40, 2026-11-01T10:00:00, north" in page
        picture = await visit.get(f"/images/{sha256}/scene")
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
        other = digest(str(people / "2_a.png"))
        assert "Where it is from" not in (await visit.get(f"/gallery/{other}")).text
        assert (await visit.get(f"/images/{other}/scene")).status_code == 410
