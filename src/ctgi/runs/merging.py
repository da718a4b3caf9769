"""The part files of a collection as one captions file: each image once, nothing lost, and what is missing is named."""

import os
import sqlite3
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from ctgi.appending import append_whole
from ctgi.captions import caption_line
from ctgi.corrections import corrections_path
from ctgi.errors import CtgiError
from ctgi.files import lock, open_owned, whole_file
from ctgi.places import key_of, on_temporary_disk
from ctgi.reading import Json, JsonLine, json_lines
from ctgi.runs.events import Events
from ctgi.runs.manifest import all_rows, manifest_of
from ctgi.runs.shards import Shard, parts_of, shard_of
from ctgi.text import plain

_NO_CONTENT = key_of("")
_TABLES = """
CREATE TABLE records (place INTEGER PRIMARY KEY, path BLOB, content BLOB, file INT, start INT, size INT, captioned INT);
CREATE TABLE listed (place INTEGER PRIMARY KEY, path BLOB);
"""


@dataclass
class Merged:
    """What a merge did."""

    out: str
    parts: list[str]
    images: int = 0
    """Records in the file."""
    added: int = 0
    """Of them from a part file."""
    already: int = 0
    """Records of parts that the file held before."""
    duplicates: int = 0
    """Records of parts that another record of the same image replaces."""
    torn: int = 0
    """Half-written last lines, left out."""
    unlisted: int = 0
    """Records of images that the manifest does not list, as of deleted files; kept, at the end."""
    missing: int = 0
    """Images of the manifest whose present content has no caption."""
    missing_parts: dict[str, int] = field(default_factory=dict)
    """Part file -> how many of its images have no caption."""
    absent_parts: list[str] = field(default_factory=list)
    """Part files that are not there, where no manifest says what would be in them."""

    @property
    def is_whole(self) -> bool:
        """Whether every image has a caption, as far as is known."""
        return not (self.missing or self.absent_parts)

    def to_json(self) -> Json:
        """As `ctgi captions merge --json` prints it."""
        return dict(vars(self))


class _Found(NamedTuple):
    """A record of an image."""

    file: int
    """0 is the merged file itself, then come the parts."""
    start: int
    size: int
    content: bytes
    captioned: int


def merge(out: Path, events: Events) -> Merged:
    """Write `out` anew from itself and its part files, in the order of the manifest; the parts are kept.

    Of several records of an image, the one of its present content counts, then one with a caption, then the one that
    `out` holds, then the last. What people corrected in part files is added to the corrections of `out`.

    Raises:
        CtgiError: there are no part files, one is being written or has a line that is no record, or `out` cannot be
            written; it is as it was then.
    """
    parts = parts_of(out)
    if not parts:
        name = plain(str(Shard(1, 4).file(out)))
        raise CtgiError(f"{plain(str(out))}: no part files beside it, such as {name}: ctgi caption --shard makes them")
    files = [out, *(path for _, path in parts)]
    report = Merged(str(out), [str(path) for _, path in parts])
    with ExitStack() as stack, _table() as base:
        opened = [stack.enter_context(_reading(path)) for path in files]
        _take_in(base, files, report, events)
        manifest = manifest_of(out) if manifest_of(out).exists() else None
        with whole_file(out) as file:
            for found in _chosen(base, manifest, parts[-1][0].count, report):
                content = os.pread(opened[found.file].fileno(), found.size, found.start)
                file.write(content.removeprefix(BOM_UTF8).rstrip() + b"\n")
    if manifest is None:
        report.absent_parts = _absent(out, parts)
    _merge_corrections(out, [path for _, path in parts])
    return report


@contextmanager
def _table() -> Iterator[sqlite3.Connection]:
    """A database in a temporary file."""
    with on_temporary_disk(), closing(sqlite3.connect("", isolation_level=None)) as base:
        yield base


@contextmanager
def _reading(path: Path) -> Iterator[FileIO]:
    """A file that nobody is writing, open; an empty one where there is none."""
    try:
        with FileIO(path if path.exists() else os.devnull) as file:
            lock(file.fileno(), shared=True)
            yield file
    except BlockingIOError:
        raise CtgiError(f"{plain(str(path))}: a ctgi caption is writing this file: wait for it") from None
    except OSError as error:
        raise CtgiError(f"{plain(str(path))}: cannot be read ({error.strerror})") from None


def _take_in(base: sqlite3.Connection, files: list[Path], report: Merged, events: Events) -> None:
    base.executescript(_TABLES)
    base.execute("BEGIN")
    with events.progress("read", len(files)) as update:
        for number, path in enumerate(files):
            rows = _records(path, number, report, events) if path.exists() else ()
            base.executemany("INSERT INTO records VALUES (NULL, ?, ?, ?, ?, ?, ?)", rows)
            update(number + 1)
    base.execute("CREATE INDEX by_path ON records (path)")


def _records(path: Path, number: int, report: Merged, events: Events) -> Iterator[tuple[bytes | int, ...]]:
    for line in json_lines(path, "captions", quick=True):
        if line.is_torn:
            report.torn += 1
            events.warn(f"{plain(str(path))}, line {line.number}: cut off, as by a kill: left out")
            return
        record = caption_line(path, line)
        place = number, line.start, len(line.content), record.has_caption
        yield key_of(record.path), key_of(record.sha256), *place


def _chosen(base: sqlite3.Connection, manifest: Path | None, shards: int, report: Merged) -> Iterator[_Found]:
    """The records that count: those of the manifest's images in its order, then all others as they were found."""
    missing: Counter[Shard] = Counter()
    for row in all_rows(manifest) if manifest else ():
        path, content = key_of(row.path), key_of(row.sha256)
        base.execute("INSERT INTO listed VALUES (NULL, ?)", [path])
        winner = _counted(base, path, content, report)
        if winner:
            yield winner
        if not (winner and winner.captioned and winner.content in (content, _NO_CONTENT)):
            report.missing += 1
            missing[shard_of(row.sha256, shards)] += 1
    base.execute("CREATE INDEX by_listed ON listed (path)")
    others = base.execute(
        "SELECT path FROM records WHERE path NOT IN (SELECT path FROM listed) GROUP BY path ORDER BY min(place)"
    )
    for (path,) in others:
        winner = _counted(base, path, None, report)
        if winner:
            report.unlisted += manifest is not None
            yield winner
    out = Path(report.out)
    report.missing_parts = {shard.file(out).name: count for shard, count in sorted(missing.items())}


def _counted(base: sqlite3.Connection, path: bytes, content: bytes | None, report: Merged) -> _Found | None:
    """The record of an image that counts; all of them are counted."""
    rows = base.execute(
        "SELECT file, start, size, content, captioned FROM records WHERE path = ? ORDER BY place", [path]
    )
    found = [_Found(*row) for row in rows]
    if not found:
        return None
    winner = _winner(found, content)
    report.images += 1
    report.added += winner.file > 0
    beside = sum(one.file > 0 for one in found) - (winner.file > 0)
    if winner.file:
        report.duplicates += beside
    else:
        report.already += beside
    return winner


def _winner(found: list[_Found], content: bytes | None) -> _Found:
    """Of the records of an image the one that counts; `content` is its present one, if that is known."""
    fitting = [one for one in found if content is None or one.content in (content, _NO_CONTENT)] or found
    captioned = [one for one in fitting if one.captioned] or fitting
    last = captioned[-1]
    merged = [one for one in captioned if one.file == 0 and one.content in (last.content, _NO_CONTENT)]
    return merged[-1] if merged else last


def _merge_corrections(out: Path, parts: Iterable[Path]) -> None:
    """Add what people corrected in part files, in order of time, to the corrections of the merged file."""
    new = [line for part in parts if corrections_path(part).is_file() for line in json_lines(corrections_path(part))]
    lines = [line for line in new if not line.is_torn]
    if not lines:
        return
    path = corrections_path(out)
    try:
        with open_owned(path, wait=True) as file:
            known = {line.content.rstrip() for line in json_lines(path)}
            added = [line.content.rstrip() for line in sorted(lines, key=_when) if line.content.rstrip() not in known]
            append_whole(file, b"".join(content + b"\n" for content in added))
    except OSError as error:
        raise CtgiError(f"{plain(str(path))}: cannot be written ({error.strerror}): allow writing to it") from None


def _when(line: JsonLine) -> str:
    return str(line.value.get("at")) if isinstance(line.value, dict) else ""


def _absent(out: Path, parts: list[tuple[Shard, Path]]) -> list[str]:
    """Of the most parts into which the collection was divided, those that have no file."""
    count, there = parts[-1][0].count, {shard for shard, _ in parts}
    wanted = [Shard(index, count) for index in range(1, count + 1)]
    return [shard.file(out).name for shard in wanted if shard not in there]
