"""What goes wrong around an open page: each is a clear state there, and nothing is lost."""

import asyncio
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ctgi.config import load_settings
from ctgi.corrections import corrected_captions, corrections_path
from ctgi.retrieval.gallery import build_gallery
from ctgi.retrieval.images import digest, picture_at
from ctgi.testing import ScriptedMllm
from tests.support import page as support
from tests.support.caption_records import record, write
from tests.support.color_encoder import ColorEncoder
from tests.support.page import Seen, Visit, seen, visited

pytestmark = pytest.mark.anyio


class Other(ColorEncoder):
    fingerprint, spec = "other", "double:other"


def looks(request: Any) -> str:
    """A model that opens the image, as all but the scripted ones do."""
    for part in (request.image, *getattr(request, "images", ())):
        if part:
            with picture_at(part.path, part.sha256):
                pass
    return "yes"


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows beyond 100 bytes."""
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


def question(page: Seen) -> str:
    return page.all("input", name="question")[0]["value"]


def kept(page: Seen) -> dict[str, str]:
    """What the form of a page that says what is wrong would send."""
    return {one["name"]: one["value"] for one in page.all("input", type="hidden")}


async def exported(visit: Visit, address: str) -> list[tuple[str, str]]:
    images = (await visit.get(f"{address}/shortlist.json")).json()["images"]
    return [(one["sha256"], one["note"]) for one in images]


async def test_a_search_whose_steps_are_gone(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        address = await visit.finished(asks="person")
        page = await visit.see(address)
        asked, first = question(page), page.order[0]
        await visit.post(f"{address}/keep", image=first, note="seen twice")
    for file in (people / ".ctgi/page").glob("threads*"):
        file.unlink()
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        page = await visit.see(address)
        assert "The steps of this search are no longer kept here" in page.text
        assert page.all("input", name="query")[0]["value"] == "a man"
        assert not page.all("input", name="question")
        assert await exported(visit, address) == [(first, "seen twice")]
        for verb, form in (("answer", {"question": asked, "answer": "blue"}), ("is", {"image": first})):
            assert (await visit.post(f"{address}/{verb}", **form)).status_code in (200, 409)
        assert '"status"' in (await visit.get(f"{address}/stream")).text


async def test_a_gallery_that_is_deleted_while_it_is_open(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        address, dialogue = await visit.finished(), await visit.finished(asks="person")
        asked = question(await visit.see(dialogue))
        first, second = (await visit.see(address)).order[:2]
        await visit.post(f"{address}/keep", image=first, note="seen twice")
        shutil.rmtree(people / ".ctgi")
        deleted = "was deleted while the page was open"
        for where, form, told in (
            ("/searches", {"query": "a man in blue", "asks": "nobody"}, "ctgi index"),
            (f"{address}/keep", {"image": second, "note": "seen once"}, deleted),
            (f"{dialogue}/answer", {"question": asked, "answer": "blue"}, deleted),
        ):
            shown = await visit.post(where, **form)
            assert shown.status_code == 409
            assert told in seen(shown.text).text
            assert form.items() <= kept(seen(shown.text)).items()
        assert await exported(visit, address) == [(first, "seen twice")]
        assert (await visit.see(address)).order[:2] == [first, second]


async def test_images_that_are_gone_are_not_called_no_match(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(looks), tmp_path) as visit:
        for file in people.glob("*.png"):
            file.unlink()
        page = await visit.see(await visit.finished())
        assert "none of 8 candidates was confirmed; 8 could not be looked at (" in page.text
        assert "no such file" in page.text
        assert page.text.count("Not judged") == 8


async def test_an_image_that_is_renamed_while_it_is_shown(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(looks), tmp_path) as visit:
        address = await visit.finished(asks="nobody")
        chosen = (await visit.see(address)).order[2]
        file = Path(visit.site.pictures.path(chosen))
        file.rename(tmp_path / "elsewhere.png")
        assert (await visit.get(f"/images/{chosen}/full")).status_code == 410
        assert file.name in (await visit.see(f"{address}/images/{chosen}")).text
        child = (await visit.post(f"{address}/is", image=chosen)).url.path
        await visit.get(f"{child}/stream")
        stopped = await visit.see(child)
        assert f"The search stopped: {file}: no such file" in stopped.text
        (tmp_path / "elsewhere.png").rename(file)
        await visit.post(f"{child}/again")
        await visit.get(f"{child}/stream")
        assert "You confirmed the match" in (await visit.see(child)).text


async def test_an_encoder_that_has_changed(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        done, dialogue = await visit.finished(), await visit.finished(asks="person")
        asked = question(await visit.see(dialogue))
        await visit.post(f"{dialogue}/answer", question=asked, answer="blue jeans")
        asked = question(await visit.see(dialogue))
    monkeypatch.setattr(support, "ColorEncoder", Other)
    build_gallery([str(people)], people / ".ctgi", Other(), load_settings().retriever)
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        page = await visit.see(dialogue)
        assert "Another encoder made this ranking" in page.text
        assert "blue jeans" in page.text
        assert not page.all("input", name="question")
        refused = await visit.post(f"{dialogue}/answer", question=asked, answer="white shoes")
        assert "the encoder has changed since this search began" in refused.text
        child = await visit.see((await visit.post(f"{dialogue}/differently", turn=0)).url.path)
        assert "Another encoder" not in child.text
        assert "Another encoder" not in (await visit.see(await visit.search())).text
        assert len((await visit.see(done)).order) == 8


async def test_five_thousand_words_are_searched_and_what_is_cut_is_said(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        page = await visit.see(await visit.finished("red shoes " * 2500, asks="nobody"))
        assert len(page.order) == 8
        assert "The query is longer than the encoder reads: its end, 4,923 tokens" in page.text


async def test_nothing_can_be_uploaded(people: Path, tmp_path: Path) -> None:
    """Not even where a form is expected; and an image that is replaced by a huge one is not read."""
    Image.new("1", (20_000, 10_000)).save(tmp_path / "huge.png")
    huge = (tmp_path / "huge.png").read_bytes()
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        sent = {"origin": support.PAGE}
        for size, status in ((len(huge), 422), (300_000, 413)):
            files = {"query": ("a.png", huge.ljust(size, b"\0"))}
            assert (await visit.client.post("/searches", files=files, headers=sent)).status_code == status
        address = await visit.finished(asks="nobody")
        first = (await visit.see(address)).order[0]
        Path(visit.site.pictures.path(first)).write_bytes(huge)
        assert (await visit.get(f"/images/{first}/full")).status_code == 410


async def test_a_full_disk_loses_nothing_that_was_typed(people: Path, tmp_path: Path) -> None:
    first = str(sorted(people.glob("*.png"))[0])
    captions = write(tmp_path / "captions.jsonl", record(first, sha256=digest(first)))
    place = f"/captions/0/{digest(first)}"
    async with visited(people, ScriptedMllm(), tmp_path / "traces", captions=(captions,)) as visit:
        address, dialogue = await visit.finished(), await visit.finished(asks="person")
        asked, image = question(await visit.see(dialogue)), (await visit.see(address)).order[1]
        await visit.post(place, caption="A man in boots.", caption_seen="", by="Ann")
        before = corrections_path(captions).read_bytes()
        forms = {
            "/searches": {"query": "a man in blue", "asks": "nobody"},
            f"{address}/keep": {"image": image, "note": "seen twice"},
            f"{dialogue}/answer": {"question": asked, "answer": "blue jeans"},
            place: {"caption": "A woman in boots.", "caption_seen": "A man in boots.", "by": "Bob"},
        }
        for where, form in forms.items():
            with full_disk():
                shown = await visit.post(where, **form)
            assert shown.status_code == 409, where
            assert form.items() <= kept(seen(shown.text)).items()
        assert corrections_path(captions).read_bytes() == before
        assert "The search stopped" in (await visit.see(dialogue)).text
        for where, form in forms.items():  # there is space again, and each is sent once more
            assert (await visit.post(where, **form)).status_code == 200
        assert await exported(visit, address) == [(image, "seen twice")]
        page = await visit.see(dialogue)
        assert "blue jeans" in page.text
        assert "The search stopped" not in page.text
    assert next(corrected_captions(captions)).caption == "A woman in boots."


async def test_two_corrections_of_a_caption_at_once_are_both_kept(people: Path, tmp_path: Path) -> None:
    first = str(sorted(people.glob("*.png"))[0])
    captions = write(tmp_path / "captions.jsonl", record(first, sha256=digest(first)))
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        place, was = f"/captions/0/{digest(first)}", record(first)["caption"]
        both = (("A woman.", "Ann"), ("A girl.", "Bob"))
        sent = [visit.post(place, caption=now, caption_seen=was, by=by) for now, by in both]
        shown = [seen(page.text).text for page in await asyncio.gather(*sent)]
        last = next(corrected_captions(captions)).caption
        (won,) = [by for now, by in both if now == last]
        (other,) = [by for now, by in both if now != last]
        assert any(f"In the meantime {other} had changed the same caption" in text for text in shown)
        history = (await visit.see(place)).text
        assert f"{won}, 20" in history
        assert f"{other}, 20" in history
