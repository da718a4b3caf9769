import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from tests.support.commands import Run

DOCS = Path(__file__).parents[2] / "docs" / "graphs.md"


def mermaid(page: str) -> list[str]:
    """The text of the Mermaid blocks of a page."""
    return [block.partition("```")[0] for block in page.split("```mermaid\n")[1:]]


def test_the_page_shows_the_graphs_as_the_command_draws_them(ctgi: Run) -> None:
    assert mermaid(DOCS.read_text()) == [ctgi("graph", name).out for name in ("mtg", "mti", "agent")]


def test_json_has_nodes_and_edges(ctgi: Run) -> None:
    drawn = ctgi("graph", "mtg", "--json").json
    filter_ = ["relevance", "dedupe"]
    assert drawn["nodes"] == ["__start__", "describe", "choose", "ask", *filter_, "reconstruct", "__end__"]
    assert {"from": "choose", "to": "ask", "conditional": True} in drawn["edges"]
    assert {"from": "ask", "to": "relevance", "conditional": False} in drawn["edges"]
    assert {"from": "relevance", "to": "dedupe", "conditional": True} in drawn["edges"]


@pytest.mark.parametrize(("name", "loops"), [("mtg", []), ("mti", ["verify", "ask_person"])])
def test_ascii_shows_every_node_and_names_those_that_repeat(ctgi: Run, name: str, loops: list[str]) -> None:
    done = ctgi("graph", name, "--ascii")
    assert done.code == 0, done.err
    nodes = [node.strip("_") for node in ctgi("graph", name, "--json").json["nodes"]]
    assert all(f" {node} " in done.out for node in nodes)
    assert done.out.count("(repeats)") == len(loops)
    assert all(f"{node} (repeats)" in done.out for node in loops)


@pytest.mark.parametrize("name", ["mtg", "mti"])
def test_a_png_is_drawn_here_with_no_box_on_another(ctgi: Run, name: str) -> None:
    done = ctgi("graph", name, "--png", "graph.png")
    assert (done.code, done.out) == (0, "graph.png\n"), done.err
    with Image.open("graph.png") as picture:
        assert picture.width > 500
        pixels = np.asarray(picture.convert("RGB"))
    filled = (pixels == (0xEE, 0xF1, 0xFF)).all(axis=2) | (pixels == (0xD9, 0xDC, 0xF7)).all(axis=2)
    _, apart = ndimage.label(ndimage.binary_dilation(filled, iterations=6))  # boxes that touch would be one
    assert apart == len(ctgi("graph", name, "--json").json["nodes"])


@pytest.mark.parametrize(("option", "package"), [("--ascii", "grandalf"), ("--png", "matplotlib")])
def test_without_the_extra_the_cure_is_named(
    ctgi: Run, option: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    done = ctgi("graph", "mtg", option, *(["out.png"] if option == "--png" else []))
    assert done.code == 2
    assert package in done.err
    assert "ctgi[draw]" in done.err
    assert not Path("out.png").exists()
    assert ctgi("graph", "mtg").code == 0


def test_one_form_at_a_time_and_known_names(ctgi: Run) -> None:
    assert ctgi("graph", "mtg", "--ascii", "--json").code == 2
    assert ctgi("graph", "other").code == 2
    assert json.loads(ctgi("graph", "mti", "--json").out)["nodes"]
