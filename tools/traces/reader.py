"""Reads traces by an index of items, so that a large one need not fit into memory."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from pydantic import ValidationError

from ctgi.errors import CtgiError
from ctgi.faults import first_fault
from ctgi.files import lock
from ctgi.text import plain
from ctgi.tools.traces.format import (
    SUFFIX,
    VERSION,
    Call,
    Counts,
    Done,
    End,
    Header,
    Item,
    Node,
    Record,
    read_line,
)
from ctgi.tools.traces.values import Values

_TAIL = 1 << 16
_NO_LOCKS = "its file system has no locks, so a running run cannot be told from a killed one"
EDITED = "edited after it was recorded"


@dataclass(frozen=True)
class Problem:
    """A problem of a trace, for messages."""

    line: int
    what: str
    item: int | None = None
    """The item concerned, if known."""


@dataclass
class ItemIndex:
    """Offsets of the records of one item."""

    item: Item
    calls: "array[int]" = field(default_factory=lambda: array("Q"))
    """Offsets in bytes."""
    done: int | None = None


@dataclass
class Trace:
    """A trace file, indexed by one pass."""

    path: Path
    header: Header
    values: Values
    items: dict[int, ItemIndex] = field(default_factory=dict)
    loose: "array[int]" = field(default_factory=lambda: array("Q"))
    """Calls outside of any item."""
    end: End | None = None
    counts: Counts = field(default_factory=Counts)
    problems: list[Problem] = field(default_factory=list)
    running: bool = False
    """Whether its run is still writing it."""
    last_at: float = 0.0

    @property
    def status(self) -> str:
        """done, done with N failed, failed, interrupted, running, or killed for a trace without an end."""
        if self.end is None:
            return "running" if self.running else "killed"
        return self.counts.outcome if self.end.status.startswith("done") else self.end.status

    @property
    def seconds(self) -> float:
        """Duration of the run in seconds, as far as known."""
        return self.end.at if self.end else self.last_at

    @property
    def newer(self) -> bool:
        """Whether a later ctgi wrote it."""
        return self.header.v > VERSION

    def calls(self, item: int) -> list[Call]:
        """The calls of one item, in order of their beginnings."""
        found = [record for record in self._read(self.items[item].calls) if isinstance(record, Call)]
        return sorted(found, key=lambda call: call.seq)

    def nodes(self, item: int) -> list[Node]:
        """The nodes that ran for one item, in order of their beginnings."""
        ended = [*self._read(self.items[item].calls), self.done(item)]
        found = [node for record in ended if isinstance(record, Call | Done) for node in record.nodes]
        return sorted(found, key=lambda node: (node.at, node.step))

    def name(self, item: int) -> str:
        """The name of an item: its image's path, or its query."""
        given = self.items[item].item.input
        image = given.get("image")
        if isinstance(image, dict) and "query" not in given:
            return self.values.real(str(image.get("path", "")))
        return str(given.get("query", f"item {item}"))

    def loose_calls(self) -> Iterator[Call]:
        """Calls outside of any item."""
        return (record for record in self._read(self.loose) if isinstance(record, Call))

    def done(self, item: int) -> Done | None:
        """The result of the item; None if the run ended first."""
        offset = self.items[item].done
        found = next(self._read([offset]), None) if offset is not None else None
        return found if isinstance(found, Done) else None

    def _read(self, offsets: "array[int] | list[int]") -> Iterator[Record]:
        with self.path.open("rb") as file:
            for offset in offsets:
                file.seek(offset)
                yield read_line(file.readline()).record


def open_trace(path: Path) -> Trace:
    """Read the trace at `path`; faults of single lines are listed in its `problems`.

    Raises:
        CtgiError: it cannot be read, or has no header.
    """
    try:
        with path.open("rb") as file:
            running = _is_running(file.fileno())
            first = file.readline()
            header = _header(path, first)
            trace = Trace(path, header, Values(header.root), running=bool(running))
            _Scan(trace).run(chain([first], file))
            if running is None and trace.end is None:
                trace.problems.append(Problem(1, _NO_LOCKS))
    except OSError as error:
        raise CtgiError(f"{plain(str(path))}: cannot read this trace: {error.strerror}") from None
    return trace


def glance(path: Path) -> Trace:
    """Header, end and counts of a trace, without its items; a trace without an end is read completely.

    Raises:
        CtgiError: as `open_trace` does.
    """
    try:
        with path.open("rb") as file:
            header = _header(path, file.readline())
            file.seek(max(0, path.stat().st_size - _TAIL))
            last = file.read().rstrip(b"\r\n").rpartition(b"\n")[2]
    except OSError as error:
        raise CtgiError(f"{plain(str(path))}: cannot read this trace: {error.strerror}") from None
    try:
        line = read_line(last)
    except ValueError:
        return open_trace(path)
    if not isinstance(line.record, End) or line.number is None or header.v > VERSION:
        return open_trace(path)
    end = line.record
    counts = Counts(end.items, end.failed, end.calls, end.calls_failed, end.live, end.tokens)
    return Trace(path, header, Values(header.root), end=end, counts=counts)


def _header(path: Path, line: bytes) -> Header:
    try:
        record = read_line(line).record
    except ValueError as error:
        raise CtgiError(
            f"{plain(str(path))}, line 1: not a trace: expected the header of a run ({_first(error)}); "
            "see what there is with ctgi trace list"
        ) from None
    if not isinstance(record, Header):
        raise CtgiError(f"{plain(str(path))}, line 1: expected the header of a run, found {record.t!r}")
    return record


def _is_running(descriptor: int) -> bool | None:
    """Whether a writer holds the file; None on a file system without locks. Readers do not exclude each other."""
    try:
        return None if lock(descriptor, shared=True) else False
    except BlockingIOError:
        return True


class _Scan:
    """The pass over a file that builds the index and finds problems."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._offset = 0
        self._expected = 0
        self._unknown = 0

    def run(self, lines: Iterable[bytes]) -> None:
        """Read all lines."""
        trace = self._trace
        if trace.newer:
            self._problem(
                1,
                f"written in format {trace.header.v} by ctgi {trace.header.versions.get('ctgi', '?')}, but this one "
                f"reads up to {VERSION}: update ctgi; what it can read is shown",
            )
        for number, line in enumerate(lines, 1):
            self._take(number, line)
        if self._unknown:
            self._problem(1, f"{self._unknown} lines are of kinds that this version of ctgi does not know")

    def _take(self, number: int, line: bytes) -> None:
        offset = self._offset
        self._offset += len(line)
        if not line.strip():
            return
        try:
            read = read_line(line)
        except ValueError as error:
            if not line.endswith(b"\n"):
                if not self._trace.running:
                    self._problem(number, "the last line is cut off and ignored")
                return
            self._expected += 1
            if self._trace.newer:
                self._unknown += 1
            else:
                self._problem(number, f"{EDITED}, and no longer a record ({_first(error)}); it is ignored")
            return
        item = getattr(read.record, "item", None)
        if read.number is None:
            self._expected += 1
            self._problem(number, EDITED, item)
        else:
            if read.number != self._expected:
                self._problem(number, "lines before it were removed, added or moved")
            self._expected = read.number + 1
        self._sort_in(read.record, offset, number)

    def _sort_in(self, record: Record, offset: int, number: int) -> None:
        trace = self._trace
        trace.counts.add(record)
        trace.last_at = max(trace.last_at, getattr(record, "at", 0.0))
        if isinstance(record, Item):
            trace.items[record.item] = ItemIndex(record)
        elif isinstance(record, End):
            trace.end = record
        elif isinstance(record, Call) and record.item is None:
            trace.loose.append(offset)
        elif isinstance(record, Call | Done):
            index = trace.items.get(record.item or 0)
            if index is None:
                self._problem(number, f"it belongs to item {record.item}, whose beginning is missing", record.item)
            elif isinstance(record, Call):
                index.calls.append(offset)
            else:
                index.done = offset

    def _problem(self, line: int, what: str, item: int | None = None) -> None:
        self._trace.problems.append(Problem(line, what, item))


def _first(error: ValueError) -> str:
    return plain(first_fault(error) if isinstance(error, ValidationError) else str(error))


# --- a folder of traces


def find_trace(name: str, folder: Path) -> Path:
    """The trace named by `name`: a file, a run in `folder` or the beginning of its name, or "last".

    Raises:
        CtgiError: no trace, or several, match.
    """
    if Path(name).is_file():
        return Path(name)
    runs = trace_files(folder)
    if name == "last" and runs:
        return runs[-1]
    found = [path for path in runs if path.stem.startswith(name)]
    exact = [path for path in found if path.stem == name] or found
    if len(exact) == 1:
        return exact[0]
    if exact:
        raise CtgiError(
            f"{plain(name)}: {len(exact)} runs in {plain(str(folder))} begin with it: give more of the name"
        )
    raise CtgiError(
        f"{plain(name)}: no such trace in {plain(str(folder))}: give a run that ctgi trace list shows, a file, or last"
    )


def trace_files(folder: Path) -> list[Path]:
    """The traces in a folder, oldest first; none if there is no folder yet.

    Raises:
        CtgiError: it cannot be read.
    """
    try:
        found = list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CtgiError(
            f"{plain(str(folder))}: cannot look for traces here ({error.strerror}): set traces to another folder in "
            "ctgi.toml"
        ) from None
    return sorted(path for path in found if path.suffix == SUFFIX)
