"""`ctgi data`: data sets that people have."""

import sys
from typing import TYPE_CHECKING

import typer

from ctgi.cli.console import Terminal, print_json, print_table
from ctgi.cli.data_audit import LayoutName, Place, audit, patch
from ctgi.cli.options import AsJson, Quiet
from ctgi.cli.terminal import plain

if TYPE_CHECKING:
    from ctgi.retrieval.benchmarks.findings import Finding
    from ctgi.runs.data_check import DataCheck

_SHOWN = 3
_WIDTH = 160

data = typer.Typer(
    help="Look at data sets before anything is trained or measured on them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
data.command("audit")(audit)
data.command("patch")(patch)


@data.callback()
def _group() -> None:
    pass


@data.command("check")
def check(root: Place, layout: LayoutName = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Recognize a data set, count it, and list what is wrong with it. Every image is read once.

    Problems would make training or measuring fail or go wrong: unreadable objects, missing or damaged images, an image
    or a person in two splits. Notes are worth knowing. Exit code: 0 without a problem, else 1.

    Example: ctgi data check ./RSTPReid
    """
    from ctgi.runs.data_check import check_data

    found = check_data(root, layout, Terminal(quiet))
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)
    if found.problems:
        raise typer.Exit(1)


def _print(found: "DataCheck") -> None:
    files = ", ".join(found.files) or "no annotations"
    sys.stdout.write(f"{found.name} (--data {found.layout}): {files}; images in {found.images_root}\n\n")
    rows = [_row(found, split) for split in found.splits]
    if rows:
        print_table(rows)
    if found.cameras:
        sys.stdout.write(f"{found.cameras} cameras\n")
    sys.stdout.write("\n")
    for finding in found.problems:
        sys.stdout.write(_line("problem", finding))
    for finding in found.notes:
        sys.stdout.write(_line("note", finding))
    problems, notes = len(found.problems), len(found.notes)
    sys.stdout.write(
        f"{problems or 'no'} problem{'' if problems == 1 else 's'}, {notes or 'no'} note{'' if notes == 1 else 's'}\n"
    )


def _row(found: "DataCheck", split: str) -> dict[str, str]:
    counts, expected = found.splits[split], found.published.get(split)
    shown = {"split": split, "images": f"{counts.images:,}"}
    if found.has_captions:
        shown["captions"] = f"{counts.captions:,}"
    shown["people"] = f"{counts.people:,}"
    if found.published:
        shown["as published"] = "" if expected is None else "yes" if counts == expected else "no"
    return shown


def _line(word: str, finding: "Finding") -> str:
    cure = f": {finding.cure}" if finding.cure else ""
    if finding.items[0] in finding.what:  # it says where itself
        return f"{word}: {plain(finding.what)}{cure}\n"
    shown = "".join(f"    {plain(item)[:_WIDTH]}\n" for item in finding.items[:_SHOWN])
    more = len(finding.items) - _SHOWN
    rest = f"    ... and {more:,} more; --json lists all\n" if more > 0 else ""
    return f"{word}: {plain(finding.what)} ({len(finding.items):,}){cure}\n{shown}{rest}"
