"""`ctgi trace list`: the runs in a folder, one line each."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ctgi.cli.terminal import markup
from ctgi.errors import CtgiError
from ctgi.tools.traces.reader import Trace, glance


def rows(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """What there is to say about each trace; one that cannot be read says why."""
    return [_row(path) for path in paths]


def _row(path: Path) -> dict[str, Any]:
    try:
        trace = glance(path)
    except CtgiError as error:
        return {"run": path.stem, "command": None, "status": "unreadable", "problems": [str(error)]}
    return summary(trace)


def summary(trace: Trace) -> dict[str, Any]:
    """One run in numbers."""
    header, counts = trace.header, trace.counts
    return {
        "run": header.run,
        "command": header.command,
        "replay_of": header.replay["of"] if header.replay else None,
        "started": header.started,
        "status": trace.status,
        "items": max(len(trace.items), counts.items),
        "items_failed": counts.failed,
        "calls": counts.calls,
        "calls_live": counts.live,
        "calls_failed": counts.calls_failed,
        "tokens": {"input": counts.tokens[0], "output": counts.tokens[1]},
        "seconds": trace.seconds,
        "bindings": header.bindings,
        "problems": [f"line {problem.line}: {problem.what}" for problem in trace.problems],
    }


def print_runs(found: list[dict[str, Any]], folder: Path, as_json: bool) -> None:
    """As a table, or one JSON list."""
    if as_json:
        from ctgi.cli.trace import write_json

        write_json(found)
        return
    if not found:
        sys.stdout.write(f"no traces in {markup(str(folder))}\n")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("run", "command", "items", "failed", "calls", "live", "tokens in/out", "time", "status", box=None)
    for row in found:
        table.add_row(*(markup(cell) for cell in _cells(row)))
    Console(width=None if sys.stdout.isatty() else 240).print(table, highlight=False)


def _cells(row: dict[str, Any]) -> list[str]:
    if row["command"] is None:
        return [row["run"], "-", "-", "-", "-", "-", "-", "-", row["status"]]
    command = f"{row['command']}, replay of {row['replay_of']}" if row["replay_of"] else row["command"]
    damaged = f", {len(row['problems'])} lines damaged" if row["problems"] else ""
    return [
        row["run"], command, str(row["items"]), str(row["items_failed"]), str(row["calls"]), str(row["calls_live"]),
        f"{row['tokens']['input']:,}/{row['tokens']['output']:,}", f"{row['seconds']:.1f} s", row["status"] + damaged,
    ]  # fmt: skip
