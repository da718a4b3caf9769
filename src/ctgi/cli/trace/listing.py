"""`ctgi trace list`: the runs in a folder, one line each."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ctgi.cli.console import print_json, print_table
from ctgi.cli.terminal import markup

if TYPE_CHECKING:
    from ctgi.reports.trace_json import RunSummary, Unreadable

_COLUMNS = ("run", "command", "items", "failed", "calls", "live", "tokens in/out", "time", "status")


def print_runs(found: "list[RunSummary | Unreadable]", folder: Path, as_json: bool) -> None:
    """As a table, or one JSON list."""
    if as_json:
        print_json([asdict(row) for row in found])
        return
    if not found:
        sys.stdout.write(f"no traces in {markup(str(folder))}\n")
        return
    print_table([dict(zip(_COLUMNS, _cells(row), strict=True)) for row in found])


def _cells(row: "RunSummary | Unreadable") -> list[str]:
    if row.command is None:
        return [row.run, *["-"] * 7, row.status]
    command = f"{row.command}, replay of {row.replay_of}" if row.replay_of else row.command
    damaged = f", {len(row.problems)} lines damaged" if row.problems else ""
    return [
        row.run, command, str(row.items), str(row.items_failed), str(row.calls), str(row.calls_live),
        f"{row.tokens.input:,}/{row.tokens.output:,}", f"{row.seconds:.1f} s", row.status + damaged,
    ]  # fmt: skip
