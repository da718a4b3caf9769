"""The documentation: rendered pages are what the code says, links lead somewhere, lines fit a screen."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")


def test_the_page_of_commands_is_what_help_prints() -> None:
    spec = importlib.util.spec_from_file_location("render_commands", DOCS / "render_commands.py")
    assert spec is not None
    assert spec.loader is not None
    renderer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(renderer)
    assert renderer.PAGE.read_text(encoding="utf-8") == renderer.rendered(), "run make docs"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    for name, heading in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: no {name}"
        assert not heading or heading in _headings(target), f"{page.name}: no heading #{heading} in {target.name}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_line_of_a_page_is_longer_than_120_characters(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    wide = [number for number, line in enumerate(lines, 1) if len(line) > 120 and not _measured(page, line)]
    assert wide == []


def _measured(page: Path, line: str) -> bool:
    """A row of the tables of measurements, which have many columns."""
    return page.name in ("embedded.md", "synthetic.md") and line.startswith("|")


def _headings(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
