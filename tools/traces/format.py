"""The format of a trace: JSON lines, appended during a run. A header, then items, calls, results of items, the end.

Each line ends with its number and a checksum, so that a cut, edited or removed line is noticed by the reader.
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
    """An exception as stored in a trace."""

    type: str
    message: str
    path: str = ""
    """The path of an unusable image."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Header:
    """The description of a run: enough to tell runs apart and to replay one."""

    t: Literal["header"] = "header"
    run: str
    command: str
    """caption, search, evaluate, mcp, or a name of the caller's own."""
    graph: str
    """mtg, mti, agent, mcp, or plain for retrieval without a dialogue; or a name of the caller's own."""
    started: str
    """UTC, ISO 8601."""
    root: str
    """The folder of relative paths in the trace; "" for the working directory."""
    bindings: dict[str, str]
    settings: Json
    versions: dict[str, str]
    commit: str | None
    """The git commit of ctgi's repository; null for an installed package."""
    digests: dict[str, str]
    """Digests of prompts, question pool and code: prompts/answer.txt, question_pool, graphs/mtg.py ..."""
    input: Json
    """Input of the command: gallery, length, variant ..."""
    replay: Json | None = None
    """For a replay: the replayed run (`of`), what went live, on_miss, from_node."""
    v: int = VERSION


@dataclass(frozen=True, kw_only=True)
class Item:
    """The beginning of an image or query."""

    t: Literal["item"] = "item"
    item: int
    input: Json
    at: float
    """Seconds since the run began, as in all records."""


@dataclass(frozen=True)
class Node:
    """One node of the graph ran; written with the next call of its item, or with the item's result."""

    node: str
    step: int
    at: float
    ms: float
    changed: list[str]
    """The fields of the state that it wrote."""
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One tool call, written when it ended."""

    t: Literal["call"] = "call"
    seq: int
    """Number in order of the calls' beginnings."""
    item: int | None
    node: str | None
    step: int | None
    """LangGraph's step number."""
    tool: str
    backend: str
    model: str
    key: str
    args: Json
    out: Any
    error: Failure | None
    at: float
    ms: float
    """For replayed calls, the original duration."""
    tokens: tuple[int, int]
    """Input, output."""
    retries: int = 0
    thoughts: int = 0
    """Characters of a model's thoughts, which are not part of the answer."""
    src: Source = "live"
    nodes: list[Node] = field(default_factory=list)
    """Nodes that ended since the item's previous call."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """The end of an item: its record of captions.jsonl, its search, or the reason why there is none."""

    t: Literal["done"] = "done"
    item: int
    at: float
    ms: float
    output: Json | None
    error: Failure | None = None
    nodes: list[Node] = field(default_factory=list)
    """Nodes that ended since the item's last call."""


@dataclass(frozen=True, kw_only=True)
class End:
    """The end of the run; missing after a kill."""

    t: Literal["end"] = "end"
    status: Status
    at: float
    items: int
    failed: int
    calls: int
    calls_failed: int
    live: int
    """Calls made in this run; the others came from a recording or a cache."""
    tokens: tuple[int, int]
    """Tokens of the live calls: input, output."""
    error: str | None = None


Record = Header | Item | Call | Done | End
_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="t")])


@dataclass(frozen=True)
class Line:
    """One line as it was read."""

    record: Record
    number: int | None
    """The number as written; None if the checksum differs, so the line was edited."""


def seal(body: bytes, number: int) -> bytes:
    """A record's JSON object as a line with its number and checksum."""
    numbered = b'%s,"n":%d' % (body[:-1], number)
    return b'%s,"sum":"%08x"}\n' % (numbered, zlib.crc32(numbered))


def read_line(line: bytes) -> Line:
    """The record of one complete line.

    Raises:
        ValueError: it is not a record; the message says why (a TextError, or pydantic's ValidationError).
    """
    line = line.removeprefix(BOM_UTF8).rstrip(b"\r\n")
    record = _RECORD.validate_python(parse_json(line))  # pydantic's own parser refuses names that are not UTF-8
    sealed = _SEAL.search(line)
    if sealed is None or zlib.crc32(line[: sealed.end(1)]) != int(sealed[2], 16):
        return Line(record, None)
    return Line(record, int(sealed[1]))


@dataclass
class Counts:
    """Counts of a run so far; the same numbers for writer and reader."""

    items: int = 0
    failed: int = 0
    calls: int = 0
    calls_failed: int = 0
    live: int = 0
    tokens: tuple[int, int] = field(default=(0, 0))

    @property
    def outcome(self) -> str:
        """The status of a run that reached its end: done, or done with failed items or calls."""
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
