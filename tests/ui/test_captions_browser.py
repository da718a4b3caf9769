"""Captions in a real browser: a correction, its use in an export, and what must never happen there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ctgi.captions import read_captions
from ctgi.config import load_settings
from ctgi.retrieval.gallery import build_gallery
from ctgi.retrieval.images import digest
from ctgi.runs.events import Logged
from ctgi.runs.export import export_all
from ctgi.testing import ScriptedMllm
from tests.support.browser import Served, browser
from tests.support.caption_records import SHOES, record, turn, write
from tests.support.color_encoder import ColorEncoder

pytestmark = pytest.mark.slow
EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture
def captions(people: Path, tmp_path: Path) -> Path:
    records = [record(str(path), sha256=digest(str(path))) for path in sorted(people.glob("*.png"))]
    records[1] |= {"caption": f"A man. {EVIL}", "turns": [turn(SHOES, EVIL)]}
    return write(tmp_path / "captions.jsonl", *records)


@pytest.fixture
def served(people: Path, captions: Path, tmp_path: Path) -> Iterator[Served]:
    other = write(tmp_path / "other.jsonl", *[line.fields | {"caption": EVIL} for line in read_captions(captions)])
    build_gallery([str(people)], people / ".ctgi", ColorEncoder(), load_settings().retriever)
    page = Served(people, ScriptedMllm(), tmp_path / "traces", (captions, other)).start()
    yield page
    page.stop()


@pytest.fixture
def visit(chromium: Any, served: Served) -> Iterator[Any]:
    """A tab at the captions that fails where the page logs an error or asks another machine for anything."""
    tab = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    tab.on("request", lambda request: None if request.url.startswith(served.url) else wrong.append(request.url))
    tab.on("dialog", lambda dialog: wrong.append(dialog.message))
    tab.goto(f"{served.url}/captions")
    yield tab
    assert "owned" not in tab.title()
    tab.context.close()
    assert wrong == []


def first(tab: Any) -> None:
    tab.click(".records > li:first-child >> text=Correct")
    tab.wait_for_selector("#caption")


def save(tab: Any) -> None:
    with tab.expect_navigation():  # what an earlier one said is gone
        tab.click("text=Save the correction")
    tab.wait_for_selector("[role=status] .say")


def test_a_correction_and_its_use_in_an_export(visit: Any, people: Path, captions: Path) -> None:
    first(visit)
    visit.fill("#answer-0", "black boots")
    visit.fill("#by", "Ann")
    save(visit)
    assert "Saved: 2 corrections" in visit.inner_text("[role=status]")
    assert visit.input_value("#caption") == "A man. The person wears black boots."
    visit.fill("#caption", "A woman in black boots.")
    save(visit)
    assert visit.input_value("#by") == "Ann"
    visit.click("text=← captions.jsonl")
    assert visit.inner_text(".records > li:first-child .said") == "A woman in black boots."
    (exported,) = export_all(captions, ["rstp"], Logged(), images_root=people)
    objects = {one["img_path"]: one["captions"] for one in json.loads(Path(exported).read_text())}
    assert objects[Path(next(read_captions(captions)).path).name] == ["A woman in black boots."]


def test_two_people_correct_the_same_caption(visit: Any) -> None:
    first(visit)
    other = visit.context.new_page()
    other.goto(visit.url)
    other.fill("#caption", "A girl.")
    other.fill("#by", "Bob")
    save(other)
    visit.fill("#caption", "A woman.")
    save(visit)
    assert "In the meantime Bob had changed the same caption to “A girl.”" in visit.inner_text("[role=status]")
    assert visit.locator("#history ~ *, section:has(#history) li").count() >= 2


def test_hostile_captions_are_text(visit: Any) -> None:
    assert EVIL in visit.inner_text(".records > li:nth-child(2) .said")
    visit.click(".records > li:nth-child(2) >> text=Correct")
    assert visit.input_value("#answer-0") == EVIL
    visit.fill("#by", EVIL)
    visit.fill("#caption", EVIL)
    save(visit)
    visit.goto(visit.url.split("/captions")[0] + "/captions/compare?every=1")
    assert visit.locator("img[src=x], main script").count() == 0


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_wider_than_the_screen(visit: Any, width: int) -> None:
    visit.set_viewport_size({"width": width, "height": 700})
    home = visit.url
    first(visit)
    for address in (home, visit.url, f"{home}/compare", home.replace("captions", "traces")):
        visit.goto(address)
        assert visit.evaluate("document.documentElement.scrollWidth") <= width, address


def test_filters_by_the_keyboard(visit: Any) -> None:
    visit.fill("#text", "onerror")
    visit.press("#text", "Enter")
    visit.wait_for_url("**text=onerror**")
    assert visit.locator(".records > li").count() == 1
    visit.go_back()
    assert visit.locator(".records > li").count() == 8
