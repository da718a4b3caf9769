"""The page in a real browser: from a query to an exported shortlist, and what must never happen there."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ctgi.config import load_settings
from ctgi.retrieval.gallery import build_gallery
from ctgi.testing import ScriptedMllm
from tests.support.browser import Served, browser
from tests.support.color_encoder import ColorEncoder

pytestmark = pytest.mark.slow
EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


def says(request: Any) -> str:
    return EVIL if "kind of shoes" in request.prompt else "yes"


@pytest.fixture
def served(people: Path, tmp_path: Path) -> Iterator[Served]:
    (people / "0_a.png").rename(people / "<img src=x onerror=alert(1)>.png")
    build_gallery([str(people)], people / ".ctgi", ColorEncoder(), load_settings().retriever)
    page = Served(people, ScriptedMllm(says, latency_s=0.05), tmp_path / "traces").start()
    yield page
    page.stop()


@pytest.fixture
def visit(chromium: Any, served: Served) -> Iterator[Any]:
    """A tab that fails where the page logs an error or asks another machine for anything."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(60_000)
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda request: None if request.url.startswith(served.url) else wrong.append(request.url))
    tab.on("dialog", lambda dialog: wrong.append(dialog.message))
    tab.goto(served.url)
    yield tab
    context.close()
    assert wrong == []


def search(tab: Any, query: str, asks: str) -> None:
    tab.goto(tab.url.split("/searches")[0].rstrip("/") + "/")
    tab.fill("#query", query)
    tab.check(f"input[value={asks}]")
    tab.click("form.ask button")
    tab.wait_for_url("**/searches/*")


def settled(tab: Any) -> None:
    tab.wait_for_selector(".spin", state="detached")


def order(tab: Any) -> list[str]:
    return [card.get_attribute("id") for card in tab.query_selector_all("#ranking .card")]


def test_from_a_query_to_an_exported_shortlist(visit: Any) -> None:
    search(visit, "a man in blue", "person")
    before = order(visit)
    for answer in ("blue jeans", "white sneakers"):
        question = visit.inner_text("label.question")
        visit.fill("#answer", answer)
        visit.press("#answer", "Enter")
        visit.wait_for_selector(f".turn .answer:text-is('{answer}')")
        visit.locator("label.question").filter(has_not_text=question).wait_for()
    visit.click("text=That's all")
    settled(visit)
    assert visit.inner_text("ins")
    assert sorted(order(visit)) == sorted(before)
    visit.click("#ranking .card:first-child button[data-key=s]")
    visit.wait_for_selector("#shortlist a")
    assert visit.get_attribute("#ranking .card:first-child button[data-key=s]", "aria-pressed") == "true"
    with visit.expect_download() as saved:
        visit.click("#shortlist >> text=JSON")
    exported = json.loads(Path(saved.value.path()).read_text())
    assert [f"card-{one['sha256'][:16]}" for one in exported["images"]] == order(visit)[:1]


def test_verdicts_stream_in_and_a_mark_begins_a_search_that_back_leaves(visit: Any) -> None:
    search(visit, "a man in blue", "model")
    visit.wait_for_selector(".verdict.yes")
    settled(visit)
    first = visit.url
    chosen = order(visit)[3]
    visit.click(f"#{chosen} button[data-key=y]")
    visit.wait_for_url(lambda url: "/searches/" in url and url != first)
    settled(visit)
    assert order(visit)[0] == chosen
    visit.go_back()
    visit.wait_for_url(first)
    assert order(visit)[0] != chosen


def test_keys_do_it_all(visit: Any) -> None:
    visit.keyboard.press("/")
    visit.keyboard.type("a man in blue")
    visit.keyboard.press("Enter")
    visit.wait_for_url("**/searches/*")
    settled(visit)
    first, second = order(visit)[:2]
    for key in ("j", "ArrowRight"):
        visit.keyboard.press(key)
    visit.keyboard.press("s")
    visit.wait_for_selector("#shortlist a")
    assert visit.evaluate("document.activeElement.closest('.card').id") == second
    visit.keyboard.press("n")
    visit.wait_for_selector("text=1 set aside")
    assert second not in order(visit)
    assert first in order(visit)


def test_hostile_text_does_nothing(visit: Any) -> None:
    search(visit, EVIL, "model")
    settled(visit)
    visit.click("#ranking .photo")
    visit.fill("#note", EVIL)
    visit.click("text=Put on the shortlist")
    visit.wait_for_selector("text=Save the note")
    visit.go_back()
    assert visit.inner_text("h1") != ""
    for place in ("/", "/gallery"):
        visit.goto(visit.url.split("/searches")[0].split("/gallery")[0].rstrip("/") + place)
        assert visit.query_selector("img[src=x]") is None
        assert visit.title() != "owned"


def test_two_people_and_a_restart_in_the_middle(chromium: Any, visit: Any, served: Served) -> None:
    other = chromium.new_context().new_page()
    other.goto(served.url)
    for tab, query in ((visit, "a man in blue"), (other, "a woman in red")):
        search(tab, query, "person")
    visit.fill("#answer", "blue jeans")
    visit.press("#answer", "Enter")
    visit.wait_for_selector(".turn .answer:text-is('blue jeans')")
    asked = visit.inner_text("label.question")
    served.stop()
    served.start()
    for tab in (visit, other):
        tab.reload()
    assert visit.inner_text("label.question") == asked
    assert visit.inner_text(".turn .answer") == "blue jeans"
    assert "blue jeans" not in other.inner_text("main")
    other.fill("#answer", "red skirt")
    other.press("#answer", "Enter")
    other.wait_for_selector(".turn .answer:text-is('red skirt')")
    assert "red skirt" not in visit.inner_text("main")
    other.context.close()


def test_a_lost_connection_goes_on_by_itself_and_a_double_click_is_one_search(
    visit: Any, people: Path, tmp_path: Path
) -> None:
    class Silent(ScriptedMllm):
        """Judges candidates, and never answers a question."""

        async def chat(self, request: Any) -> Any:
            return await (super().chat(request) if "match" in request.prompt else asyncio.Event().wait())

    slow, quick = (Served(people, model, tmp_path / "traces") for model in (Silent(says), ScriptedMllm(says)))
    quick.port, quick.url = slow.port, slow.url
    slow.start()
    tab = visit.context.new_page()  # the stream of another port is no request to another machine
    tab.goto(slow.url)
    tab.fill("#query", "a man in blue")
    tab.dblclick("form.ask button")
    tab.wait_for_url("**/searches/*")
    tab.wait_for_selector(".verdict.yes")
    tab.evaluate("window.sameTab = true")
    slow.stop()
    tab.wait_for_selector("#lost:not([hidden])")
    assert tab.locator("#ranking .card").count() == 8
    quick.start()
    settled(tab)
    tab.wait_for_selector(".turn .answer")
    assert tab.evaluate("window.sameTab")
    assert not tab.is_visible("#lost")
    assert "A match was confirmed" in tab.inner_text("#trust")
    tab.goto(slow.url)
    assert tab.locator("[aria-labelledby=earlier] li").count() == 1
    quick.stop()


def test_a_long_gallery_is_scrolled_and_only_what_is_near_is_there(
    visit: Any, served: Served, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctgi.ui.gallery.CHUNK", 20)
    served.stop()
    for number in range(192):
        shutil.copy(people / "1_a.png", people / f"more {number:03} {'long ' * 20}.png")
    build_gallery([str(people)], people / ".ctgi", ColorEncoder(), load_settings().retriever)
    served.start()
    visit.set_viewport_size({"width": 390, "height": 300})
    visit.goto(f"{served.url}/gallery")
    assert visit.locator("#list li").count() < 40
    visit.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    visit.locator("[aria-posinset='200'] a").wait_for()
    assert visit.locator("#list li").count() < 40
    visit.wait_for_url("**start=**")
    visit.reload()
    visit.locator("[aria-posinset='200'] a").wait_for()
    visit.locator("[aria-posinset='200'] a").focus()
    for _ in range(60):  # backwards by the keyboard, through pieces that are not there yet
        visit.keyboard.press("Shift+Tab")
        visit.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")  # it scrolls
        visit.wait_for_selector(".blank", state="detached")
    assert visit.evaluate("document.activeElement.closest('li').ariaPosInSet") == "140"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_everybody_can_use_it(scheme: str, width: int, visit: Any) -> None:
    """axe-core finds nothing against WCAG AA, and nothing is wider than the screen."""
    from axe_playwright_python.sync_playwright import Axe

    visit.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    visit.set_viewport_size({"width": width, "height": 800})
    home = visit.url
    search(visit, "a man in blue", "person")
    visit.wait_for_selector("#answer")
    asking = visit.url
    search(visit, "a man in blue", "model")
    settled(visit)
    image = visit.get_attribute("#ranking .photo", "href")
    for place in (
        home,
        asking,
        visit.url,
        f"{home.rstrip('/')}/gallery",
        f"{home}{image.partition('/images')[2].replace('/', 'gallery/')}",
        home.rstrip("/") + image,
    ):
        visit.goto(place)
        found = Axe().run(visit).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
        assert visit.evaluate("document.documentElement.scrollWidth") <= width
