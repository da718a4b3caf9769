"""Notices and progress on stderr, results on stdout."""

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any

from ctgi.cli.terminal import markup, plain
from ctgi.secrets import masked

_TABLE_WIDTH = 240


def notice(text: str, *, quiet: bool = False) -> None:
    """One line for the person on stderr; `text` may hold anything and is shown as it is."""
    if not quiet:
        sys.stderr.write(f"{plain(text)}\n")  # a progress bar on the same terminal makes room for it


def print_json(value: Any) -> None:
    """One JSON value as a line on stdout."""
    sys.stdout.write(json.dumps(value) + "\n")


def to_terminal(width: int, *, soft_wrap: bool = False, stderr: bool = False) -> Any:
    """A rich console on stdout, or stderr: as wide as the terminal, or `width` where there is none."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else width, soft_wrap=soft_wrap)


def print_table(rows: Sequence[Mapping[str, str]]) -> None:
    """Rows with the same columns as a table on stdout; the cells may hold anything."""
    from rich.table import Table

    table = Table(*rows[0], box=None)
    for row in rows:
        table.add_row(*map(markup, row.values()))
    to_terminal(_TABLE_WIDTH).print(table, highlight=False)


class Notices(logging.Handler):
    """What libraries and our own modules log, as one notice each and without tracebacks."""

    def __init__(self, *, quiet: bool = False) -> None:
        """quiet: leave out what is no warning, which its `is_notice` says."""
        super().__init__()
        self._quiet = quiet

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record's message."""
        notice(record.getMessage(), quiet=self._quiet and getattr(record, "is_notice", False))


def tell_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The traceback of a bug, without the configuration's keys and passwords: it may be sent to us."""
    sys.stderr.write(masked("".join(traceback.format_exception(kind, error, trace))))


@contextmanager
def progress(what: str, total: int | None, *, quiet: bool = False) -> Iterator[Any]:
    """A progress bar with the time left, off when stderr is no terminal. Yields `update(done, total, note)`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=quiet or not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total, note="")

        def update(done: int, total: int | None = None, note: str = "") -> None:
            bar.update(task, completed=done, note=markup(note), total=total)

        yield update


class Terminal:
    """What listens to a run (`ctgi.runs.events`): notices and progress on stderr."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self._announced: set[str] = set()

    def tell(self, text: str) -> None:
        """A notice, unless quiet."""
        notice(text, quiet=self.quiet)

    def announce(self, text: str) -> None:
        """A notice, unless quiet; the same text once."""
        if text not in self._announced:
            self._announced.add(text)
            self.tell(text)

    def warn(self, text: str) -> None:
        """A notice in any case."""
        notice(text)

    def progress(self, what: str, total: int | None) -> AbstractContextManager[Any]:
        """A bar; yields `update(done, total, note)`."""
        return progress(what, total, quiet=self.quiet)
