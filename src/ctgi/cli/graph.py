"""`ctgi graph`: the two dialogues as pictures."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.options import AsJson
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from langchain_core.runnables.graph import Graph


class Name(StrEnum):
    """The graphs there are."""

    mtg = "mtg"
    mti = "mti"


def graph(
    name: Annotated[Name, typer.Argument(help="mtg: image to caption. mti: query to ranking.")],
    ascii_: Annotated[bool, typer.Option("--ascii", help="Draw it in characters (needs ctgi[draw]).")] = False,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Draw a PNG, on this machine (needs ctgi[draw]).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw a graph: its nodes, and which one may follow which. Mermaid text unless said otherwise.

    Example: ctgi graph mti --png mti.png
    """
    from ctgi.cli.arguments import expect_file_place

    if sum((ascii_, png is not None, as_json)) > 1:
        raise CtgiError("expected one of --ascii, --png and --json, or none of them for Mermaid text")
    if png and png.suffix.lower() not in ("", ".png"):
        raise CtgiError(f"--png {png}: expected a name that ends in .png")
    expect_file_place("--png", png)
    drawn = _build(name)
    if png:
        from ctgi.reports.graph_picture import write_png

        write_png(drawn, png)
        sys.stdout.write(f"{png}\n")
    else:
        sys.stdout.write(_text(drawn, ascii_, as_json).rstrip("\n") + "\n")


def _text(drawn: "Graph", ascii_: bool, as_json: bool) -> str:
    if as_json:
        import json

        edges = [{"from": e.source, "to": e.target, "conditional": e.conditional} for e in drawn.edges]
        return json.dumps({"nodes": list(drawn.nodes), "edges": edges})
    if ascii_:
        from ctgi.reports.graph_picture import draw_ascii

        return draw_ascii(drawn)
    return drawn.draw_mermaid()


def _build(name: Name) -> "Graph":
    if name is Name.mtg:
        from ctgi.graphs.mtg import build_mtg

        return build_mtg().get_graph()
    from ctgi.graphs.mti import build_mti

    return build_mti().get_graph()
