"""A trace: JSON lines, appended as a run goes on. Header, then items, calls, results of items, then the end.

Each line ends with its number and a checksum, so that a line cut, edited or taken out is noticed when it is read.
"""

import re
import zlib
from codecs import BOM_UTF8
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from ctgi.reading import Json, parse_json

VERSION = 1
SUFFIX = ".jsonl"
_SEAL = re.compile(rb',"n":(\d{1,12}),"sum":"([0-9a-f]{8})"\}$')

Source = Literal["live", "recorded", "cache"]
Status = Literal["done", "done with failures", "interrupted", "failed"]


@dataclass(frozen=True)
class Failure:
    """An exception as the trace keeps it."""

    type: str
    message: str
    path: str = ""
    """Of an image that cannot be used."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a run was: enough to tell two runs apart and to run the first one again."""

    t: Literal["header"] = "header"
    run: str
    command: str
    """caption, search, evaluate."""
    graph: str
    """mtg, mti, or plain for retrieval without a dialogue."""
    started: str
    """UTC, ISO 8601."""
    root: str
    """Paths in the trace that are relative start here; "" for the working directory."""
    bindings: dict[str, str]
    settings: Json
    versions: dict[str, str]
    commit: str | None
    """Of ctgi's own repository; null for an installed package."""
    digests: dict[str, str]
    """Of prompts, question pool and code: prompts/answer.txt, question_pool, graphs/mtg.py ..."""
    input: Json
    """The command's own: gallery, length, variant ..."""
    replay: Json | None = None
    """Of a replay: the run that was replayed (`of`), what went live, on_miss, from_node."""
    v: int = VERSION


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image or one query begins."""

    t: Literal["item"] = "item"
    item: int
    input: Json
    at: float
    """Seconds since the run began; so in all records."""


@dataclass(frozen=True)
class Node:
    """One node of the graph ran; written with the next call of its item, or with what the item came to."""

    node: str
    step: int
    at: float
    ms: float
    changed: list[str]
    """Fields of the state that it wrote."""
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One tool call, written when it ended."""

    t: Literal["call"] = "call"
    seq: int
    """In the order of their beginnings."""
    item: int | None
    node: str | None
    step: int | None
    """LangGraph's."""
    tool: str
    backend: str
    model: str
    key: str
    args: Json
    out: Any
    error: Failure | None
    at: float
    ms: float
    """Of a recorded call in a replay: what it took when it was made."""
    tokens: tuple[int, int]
    """Input, output."""
    retries: int = 0
    thoughts: int = 0
    """Characters of a model's thoughts that are no part of the answer."""
    src: Source = "live"
    nodes: list[Node] = field(default_factory=list)
    """Those that ended since the item's call before."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """An item ended: its record of captions.jsonl, its search, or why there is none."""

    t: Literal["done"] = "done"
    item: int
    at: float
    ms: float
    output: Json | None
    error: Failure | None = None
    nodes: list[Node] = field(default_factory=list)
    """Those that ended since the item's last call."""


@dataclass(frozen=True, kw_only=True)
class End:
    """The run ended; a run that was killed has none."""

    t: Literal["end"] = "end"
    status: Status
    at: float
    items: int
    failed: int
    calls: int
    calls_failed: int
    live: int
    """Calls that were made in this run; the others came from a recording or a cache."""
    tokens: tuple[int, int]
    """Of the live calls: input, output."""
    error: str | None = None


Record = Header | Item | Call | Done | End
_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="t")])


@dataclass(frozen=True)
class Line:
    """One line as it was read."""

    record: Record
    number: int | None
    """As it was written; None where the checksum does not fit, so the line was edited."""


def seal(body: bytes, number: int) -> bytes:
    """A record's JSON object as a line with its number and checksum."""
    numbered = b'%s,"n":%d' % (body[:-1], number)
    return b'%s,"sum":"%08x"}\n' % (numbered, zlib.crc32(numbered))


def read_line(line: bytes) -> Line:
    """The record of one whole line.

    Raises:
        ValueError: it is none; says why (a TextError, or pydantic's ValidationError).
    """
    line = line.removeprefix(BOM_UTF8).rstrip(b"\r\n")
    record = _RECORD.validate_python(parse_json(line))  # pydantic's own parser refuses names that are no UTF-8
    sealed = _SEAL.search(line)
    if sealed is None or zlib.crc32(line[: sealed.end(1)]) != int(sealed[2], 16):
        return Line(record, None)
    return Line(record, int(sealed[1]))


@dataclass
class Counts:
    """What a run did so far; the same numbers while it is written and when it is read."""

    items: int = 0
    failed: int = 0
    calls: int = 0
    calls_failed: int = 0
    live: int = 0
    tokens: tuple[int, int] = field(default=(0, 0))

    @property
    def outcome(self) -> str:
        """How a run ended that went through to its end: done, or done with so many items or calls that failed."""
        if self.failed:
            return f"done with {self.failed} failed"
        if self.calls_failed:
            return f"done with {self.calls_failed} failed call{'s' * (self.calls_failed > 1)}"
        return "done"

    def add(self, record: Record) -> None:
        """Count one record."""
        if isinstance(record, Call):
            self.calls += 1
            self.calls_failed += record.error is not None
            if record.src == "live":
                self.live += 1
                self.tokens = (self.tokens[0] + record.tokens[0], self.tokens[1] + record.tokens[1])
        elif isinstance(record, Done):
            self.items += 1
            self.failed += record.error is not None
