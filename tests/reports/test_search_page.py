"""The page of a search: what it shows, and that nothing in it acts."""

import base64
import io
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ctgi.records import SearchRecord
from ctgi.reports.rankings import added
from ctgi.reports.search_page import write_html

Search = Callable[..., dict[str, Any]]


class Page(HTMLParser):
    """The elements of a page, and its text outside of styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._in_style = False
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.text += " " if tag in ("p", "div", "li", "dt", "dd") else ""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._in_style else data

    def all(self, tag: str, of_class: str = "") -> list[dict[str, str]]:
        wanted = set(of_class.split())
        return [attrs for name, attrs in self.elements if name == tag and wanted <= set(attrs.get("class", "").split())]


def page(results: list[dict[str, Any]], folder: Path, **options: Any) -> Page:
    write_html([SearchRecord.from_json(result) for result in results], folder / "page.html", **options)
    return Page((folder / "page.html").read_text("utf-8"))


def grey(source: str) -> int:
    """Which image of `people` an embedded picture is: its grey / 10."""
    kind, _, data = source.partition(",")
    assert kind == "data:image/jpeg;base64"
    pixel = Image.open(io.BytesIO(base64.b64decode(data))).getpixel((5, 5))
    assert isinstance(pixel, tuple)
    return round(pixel[0] / 10)


def test_rows_before_and_after(search: Search, tmp_path: Path) -> None:
    shown = page([search()], tmp_path)
    pictures = [grey(image["src"]) for image in shown.all("img")]
    assert pictures[:9] == [1, 2, 3, 4, 6, 7, 8, 9, 10]  # p05 is not in the result: its place says so
    assert "Rank 5 before: left the list" in {span.get("aria-label") for span in shown.all("span", "lost")}
    assert pictures[9:21] == [4, 1, 12, 2, 3, 6, 7, 8, 9, 10, 11, 13]
    assert pictures[21:] == [1, 2, 3, 4]  # who was asked
    for text in ("0.490 up from 4", "0.480 down from 1", "0.470 new here", "0.440 stays p06.png", "Ranks 11 to 12"):
        assert text in shown.text


def test_an_image_that_left_the_list_is_shown_with_its_score(search: Search, people: list[str], tmp_path: Path) -> None:
    gone = {"path": people[4], "sha256": "5", "rank": 5, "score": 0.345, "rank_before": 5, "score_before": 0.345}
    shown = page([search(left=[gone])], tmp_path)
    assert [grey(image["src"]) for image in shown.all("img")][:10] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert not shown.all("span", "lost")
    assert "0.345 p05.png" in shown.text


def test_a_weak_anchor_looks_weak(search: Search, people: list[str], tmp_path: Path) -> None:
    weak = {"path": people[3], "sha256": "4", "rank": 14, "probability": 0.63, "weak": "P(yes) 0.63, rank 14"}
    shown = page([search(anchors=[weak])], tmp_path)
    assert len(shown.all("li", "card is-anchor is-weak")) == 3
    assert "Weak anchor" in shown.all("span", "badge")[0].get("text", shown.text)


def test_what_was_verified_asked_and_added(search: Search, tmp_path: Path) -> None:
    shown = page([search()], tmp_path)
    assert "1 of 2 answers kept" in shown.text
    assert "Brown shoes. Kept shoes answered from p04.png" in shown.text
    assert "Not visible. Dropped shoes answered by you; unusable" in shown.text
    assert "No 10 % probability of yes" in shown.text
    assert "Anchor Yes 93 % probability of yes" in shown.text
    assert len(shown.all("span", "badge")) == 3  # before, after, verification
    assert len(shown.all("li", "card is-anchor")) == 3
    assert "verify_match (4), search_gallery (2)" in shown.text
    html = (tmp_path / "page.html").read_text("utf-8")
    assert "woman with a <ins>red</ins> bag, <ins>brown shoes</ins>" in html


@pytest.mark.parametrize(
    ("query", "refined", "pieces"),
    [
        ("a bag", "a bag", [("a bag", False)]),
        ("Red bag", "red bag", [("red bag", False)]),
        ("a red bag", "a bag", [("a bag", False)]),
        ("bag", "a big bag!", [("a big", True), (" bag", False), ("!", True)]),
        ("a blue bag", "a red bag", [("a ", False), ("red", True), (" bag", False)]),
        ("红包", "红色包", [("红", False), ("色", True), ("包", False)]),
        ("", "new", [("new", True)]),
        ("a bag", "A bag. The person runs.", [("A bag. ", False), ("The person runs.", True)]),
    ],
)
def test_added_words(query: str, refined: str, pieces: list[tuple[str, bool]]) -> None:
    assert added(query, refined) == pieces
    assert "".join(piece for piece, _ in pieces) == refined


def test_ground_truth_is_framed_and_said(search: Search, people: list[str], tmp_path: Path) -> None:
    shown = page([search()], tmp_path, relevant=lambda path: path in people[:2])
    assert len(shown.all("li", "card right")) == 4  # p01 and p02, before and after
    assert len(shown.all("li", "card wrong")) == 7 + 10
    assert shown.text.count("right person") == 4
    assert not page([search()], tmp_path).all("li", "right")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"refined_query": None, "anchors": [], "dialogue": []},
            "No confident match: none of 4 candidates was conf",
        ),
        ({"refined_query": None}, "the confirmed image rises in its ranking"),
        ({"refined_query": None, "anchors": [], "dialogue": [], "verified": []}, "Plain retrieval"),
        ({"truncated_tokens": 3}, "3 tokens did not fit the text encoder"),
        ({"early_stop": True}, "Stopped early"),
        ({"results": []}, "The gallery gave no result."),
        ({"trace": "runs/1"}, "Trace runs/1"),
    ],
)
def test_other_outcomes(search: Search, tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    assert text in page([search(**changes)], tmp_path).text


def test_a_later_round_verifies_another_order(search: Search, people: list[str], tmp_path: Path) -> None:
    asked = [
        {
            "path": people[11],
            "rank": 5,
            "match": False,
            "probability": None,
            "text": "I cannot say",
            "error": None,
            "round": 1,
        }
    ]
    first = page([search(verified=asked)], tmp_path)
    assert grey(first.all("img")[4]["src"]) == 12
    second = page([search(verified=[asked[0] | {"round": 2}], rounds=2)], tmp_path)
    assert grey(second.all("img")[4]["src"]) == 6
    assert "No I cannot say round 2" in second.text
    failed = page([search(verified=[asked[0] | {"text": "", "error": "p12.png: damaged"}])], tmp_path)
    assert "Failed p12.png: damaged" in failed.text


def test_several_searches_have_contents(search: Search, tmp_path: Path) -> None:
    shown = page([search(), search(query="a man")], tmp_path)
    assert [link["href"] for link in shown.all("a")] == ["#main", "#search-1", "#search-2"]
    assert {section.get("id") for section in shown.all("section", "search")} == {"search-1", "search-2"}
    assert page([search(query="w " * 5000)], tmp_path).all("h2", "long")


def test_unreadable_images_become_placeholders(search: Search, people: list[str], tmp_path: Path) -> None:
    Path(people[3]).unlink()
    Path(people[0]).write_bytes(b"")
    labels = [span["aria-label"] for span in page([search()], tmp_path).all("span", "lost")]
    assert labels.count("Rank 1, p04.png: no picture, no such file") == 1
    assert labels.count("Rank 2, p01.png: no picture, the file is empty (0 bytes)") == 1


def test_images_are_embedded_small(search: Search, people: list[str], tmp_path: Path) -> None:
    Image.effect_noise((1500, 3000), 90).save(people[3])
    source = page([search()], tmp_path).all("img")[3]["src"]
    assert Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).size == (240, 480)
    assert len(source) < 150_000


EVIL = (
    '"><script>document.documentElement.dataset.owned=1</script><img src=x onerror=\'document.title="owned"\'>'
    "' onload=alert(1) </style></title>{{ 7*7 }}&lt;b&gt;<!-- javascript:alert(1) \x1b[31m\u202e\x00\udcff"
)


def evil_search(search: Search, people: list[str], folder: Path) -> dict[str, Any]:
    """Hostile text wherever a result has text, with a real image under a hostile name."""
    path = folder / EVIL.replace("\x00", "").replace("</", "<").replace("/", "")
    path.write_bytes(Path(people[0]).read_bytes())
    result = search(
        query=EVIL,
        refined_query=f"{EVIL} {EVIL}",
        gallery=EVIL,
        encoder=EVIL,
        trace=EVIL,
        calls={EVIL: 1},
        bindings={EVIL: EVIL},
    )
    result["results"][0]["path"] = result["anchors"][0]["path"] = str(path)
    result["results"][1]["path"] = f"/gone/{EVIL}"
    texts = dict.fromkeys(("attribute", "question", "answer", "statement", "reason", "anchor"), EVIL)
    result["dialogue"] = [texts | {"kept": kept, "confidence": None} for kept in (True, False)]
    result["verified"] = [
        {"path": str(path), "rank": 1, "match": False, "probability": None, "text": EVIL, "error": None, "round": 1}
    ]
    return result


def assert_inert(shown: Page) -> None:
    assert {tag for tag, _ in shown.elements}.isdisjoint({"script", "iframe", "object", "link", "form"})
    names = {name for _, attributes in shown.elements for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in shown.all("img"))
    assert all(link["href"].startswith("#") for link in shown.all("a"))
    assert "data-owned" not in names
    assert '"><script>document.documentElement.dataset.owned=1</script><img src=x onerror=' in shown.text
    assert r"&lt;b&gt;<!-- javascript:alert(1) \x1b[31m\u202e\x00\udcff" in shown.text
    assert "{{ 7*7 }}" in shown.text


def test_hostile_text_stays_text(search: Search, people: list[str], tmp_path: Path) -> None:
    shown = page([evil_search(search, people, tmp_path), search()], tmp_path)
    assert_inert(shown)
    (policy,) = [meta["content"] for meta in shown.all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


@pytest.fixture(scope="module")
def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium on PATH")


def test_hostile_text_does_nothing_in_a_browser(
    chromium: str, search: Search, people: list[str], tmp_path: Path
) -> None:
    """Without the page's own policy, so that only the escaping stands between the text and the browser."""
    page([evil_search(search, people, tmp_path), search()], tmp_path)
    html = (tmp_path / "page.html").read_text("utf-8")
    assert html.count("Content-Security-Policy") == 1
    (tmp_path / "open.html").write_text(html.replace("Content-Security-Policy", "X-None"), "utf-8")
    command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    run = subprocess.run(
        [*command, "--dump-dom", (tmp_path / "open.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    shown = Page(run.stdout)
    assert_inert(shown)
    assert "<title>2 searches · ctgi</title>" in run.stdout
    assert len(shown.all("section", "search")) == 2
