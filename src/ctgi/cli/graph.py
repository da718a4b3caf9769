"""`ctgi graph`: the dialogues as pictures."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ctgi.cli.console import print_json
from ctgi.cli.options import AsJson
from ctgi.errors import CtgiError


class Name(StrEnum):
    """The graphs there are."""

    mtg = "mtg"
    mti = "mti"
    agent = "agent"


def graph(
    name: Annotated[
        Name, typer.Argument(metavar="NAME", help="mtg (image to caption), mti (query to ranking) or agent (chat).")
    ],
    ascii_: Annotated[bool, typer.Option("--ascii", help="Draw with characters (needs ctgi[draw]).")] = False,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Picture to write (needs ctgi[draw]).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw one of the graphs: its nodes and the edges between them. The default is Mermaid text.

    Example: ctgi graph mti --png mti.png
    """
    from ctgi.cli.arguments import expect_file_place

    if sum((ascii_, png is not None, as_json)) > 1:
        raise CtgiError("expected one of --ascii, --png and --json, or none of them for Mermaid text")
    if png and png.suffix.lower() not in ("", ".png"):
        raise CtgiError(f"--png {png}: expected a name that ends in .png")
    expect_file_place("--png", png)
    from ctgi.reports.graph_picture import draw_ascii, draw_json, drawing, write_png

    drawn = drawing(name)
    if png:
        write_png(drawn, png)
        sys.stdout.write(f"{png}\n")
    elif as_json:
        print_json(draw_json(drawn))
    else:
        sys.stdout.write((draw_ascii(drawn) if ascii_ else drawn.draw_mermaid()).rstrip("\n") + "\n")
