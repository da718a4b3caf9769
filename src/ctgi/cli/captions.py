"""`ctgi captions`: captions that are made in parts, on one machine or many."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import Terminal, print_json, print_table
from ctgi.cli.options import AsJson, Quiet
from ctgi.cli.terminal import plain

if TYPE_CHECKING:
    from ctgi.runs.merging import Merged
    from ctgi.runs.shard_progress import Status

_SHOWN = 20

captions = typer.Typer(
    help="Captions that are made in parts (ctgi caption --shard or --ray): how far they are, and one file of them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="What ctgi caption was given as --out (default: captions.jsonl)."),
]


@captions.command("status")
def status(file: File = Path("captions.jsonl"), as_json: AsJson = False) -> None:
    """Show how many images have a caption, and which parts are unfinished. Reads files alone, so any machine can.

    Example: ctgi captions status
    """
    from ctgi.runs.shard_progress import status

    found = status(file)
    if as_json:
        print_json(found.to_json())
    else:
        _print_status(found)


@captions.command("merge")
def merge(file: File = Path("captions.jsonl"), as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Write the parts into one file, in the order of the images. Exit code 1 if images have no caption yet.

    An image has one record: that of its present content. What the file holds already stays, the parts too.

    Example: ctgi captions merge
    """
    from ctgi.runs.merging import merge

    report = merge(file, Terminal(quiet))
    if as_json:
        print_json(report.to_json())
    else:
        _print_merged(report)
    if not report.is_whole:
        raise typer.Exit(1)


def _print_status(found: "Status") -> None:
    share = f" ({100 * found.captioned / found.images:.1f} %)" if found.images else ""
    sys.stdout.write(f"{found.captioned:,} of {found.images:,} images have a caption{share}\n")
    left = [part for part in found.parts if part.captioned < part.images]
    if not left:
        return
    print_table(
        [
            {
                "part": Path(part.file).name,
                "images": f"{part.images:,}",
                "captioned": f"{part.captioned:,}",
                "last record": "not begun" if part.idle_s is None else f"{part.idle_s:,.0f} s ago",
            }
            for part in left[:_SHOWN]
        ]
    )
    if len(left) > _SHOWN:
        sys.stdout.write(f"{len(left) - _SHOWN:,} more parts are unfinished; --json lists all\n")


def _print_merged(report: "Merged") -> None:
    sys.stdout.write(
        f"{plain(report.out)}: {report.images:,} images from {len(report.parts):,} parts: {report.added:,} added, "
        f"{report.already:,} were there, {report.duplicates:,} duplicates left out\n"
    )
    if report.unlisted:
        sys.stdout.write(f"{report.unlisted:,} of them are no longer among the images; they are at the end\n")
    if report.missing:
        named = ", ".join(f"{plain(name)} ({count:,})" for name, count in [*report.missing_parts.items()][:_SHOWN])
        sys.stdout.write(f"{report.missing:,} images have no caption yet, of {named}: run ctgi caption again\n")
    if report.absent_parts:
        named = ", ".join(map(plain, report.absent_parts[:_SHOWN]))
        sys.stdout.write(f"{len(report.absent_parts):,} parts are missing: {named}\n")
