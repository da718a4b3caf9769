"""`ctgi compare`: whether two evaluations differ by more than chance."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import print_json, to_terminal
from ctgi.cli.options import AsJson
from ctgi.cli.terminal import markup, plain
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.runs.query_results import Comparison, Measurement

_AFTER = {"t2i": "", "mti": ", MTI", "witness": ", witness"}
First = Annotated[Path, typer.Argument(metavar="A", help="Folder of the results of ctgi evaluate.")]
Second = Annotated[
    Path | None,
    typer.Argument(metavar="B", help="The results to compare with it; left out, A with MTI is compared with A."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Of the random draws.")]


def compare(first: First, second: Second = None, seed: Seed = 0, as_json: AsJson = False) -> None:
    """Say whether two evaluations on the same images differ by more than chance.

    Each query of A is set against the same query of B. p is how often a difference as large comes up when the two are
    exchanged at random, person by person; the interval is the bootstrap's, over people.

    Example: ctgi compare runs/measured-irra runs/measured-rde
    """
    from ctgi.runs.query_results import compare_measurements, read_measurement

    if second is None:
        sides = read_measurement(first, "t2i"), read_measurement(first)
        if sides[1].stage == "t2i":
            raise CtgiError(
                f"{plain(str(first))}: measured without MTI: run ctgi evaluate with --mti, or name a second folder"
            )
    else:
        sides = read_measurement(first), read_measurement(second)
        if Path(sides[0].place).resolve() == Path(sides[1].place).resolve():
            raise CtgiError(f"{plain(str(first))} and {plain(str(second))} are the same results: name two")
    found = compare_measurements(*sides, seed=seed)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)


def _print(found: "Comparison") -> None:
    from rich.table import Table

    console = to_terminal(120)
    for name, side in (("A", found.first), ("B", found.second)):
        console.print(markup(f"{name}: {_side(side)}"), highlight=False)
    left = f"; {found.left_out:,} that only one of the two has are left out" if found.left_out else ""
    console.print(f"{found.queries:,} queries of {found.people:,} people{left}", highlight=False)
    table = Table("", "A", "B", "B - A", "95 % interval", "p", box=None)
    for name, one in found.differences.items():
        ends = "" if one.interval is None else " to ".join(f"{end:+.2f}" for end in one.interval)
        table.add_row(name, f"{one.first:.2f}", f"{one.second:.2f}", f"{one.gain:+.2f}", ends, f"{one.p:.4f}")
    console.print(table)


def _side(side: "Measurement") -> str:
    return f"{side.place}, {side.data}, {side.retriever}{_AFTER[side.stage]}"
