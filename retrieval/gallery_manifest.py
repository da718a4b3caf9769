"""The manifest of a gallery: the image of each row."""

import json
import mmap
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ctgi.places import Placed, Places
from ctgi.reading import parse_quickly
from ctgi.retrieval.gallery_files import lines_path, manifest_path
from ctgi.retrieval.gallery_header import Header
from ctgi.retrieval.gallery_lines import BLOCK_BYTES, PIECE_BLOCKS, Lines, kept, line_ends, sample_fits, survey
from ctgi.retrieval.gallery_names import DamagedGalleryError
from ctgi.retrieval.gallery_rows import mapped
from ctgi.text import is_file_name

_START = 16
"""Digits of a digest that are kept in memory."""
# quotes within a path are escaped, so no name can look like it
_SHA256 = re.compile(rb'"sha256": "([0-9a-f]{16})[0-9a-f]{48}"')

_PLAIN_PATH = re.compile(rb'\{"path": "([ !#-\[\]-~]+)", "sha256"')
"""Of a line whose path has no letter that JSON escapes."""


class Entry(NamedTuple):
    """One image of a gallery: a line of the manifest."""

    path: str
    """Path relative to the gallery's root."""
    sha256: str
    size: int
    mtime_ns: int


class Manifest:
    """The committed lines of a manifest, memory-mapped: ten million images take no memory.

    Every block is compared with its checksum when it is first read, so that no line passes that was changed.
    """

    def __init__(self, folder: Path, header: Header, *, whole: bool = False) -> None:
        """Open the file and check it; of a large one a sample, unless `whole`.

        Raises:
            DamagedGalleryError: it is missing, or differs from what was committed.
            UnreadableError: it cannot be read.
        """
        path = manifest_path(folder, header)
        self._folder, self._header, self._name = folder, header, path.name
        self._map = mapped(folder, header, path, lambda: _map(path, header.manifest_bytes))
        known = None if whole else kept(lines_path(folder, header), header.manifest_bytes, header.manifest_crc32)
        self._lines: Lines = known or mapped(folder, header, path, lambda: survey(path, header.manifest_bytes))
        self._last: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))
        fits = self._lines.crc32 == header.manifest_crc32 and self._lines.count == header.count
        if not fits or (known and not mapped(folder, header, path, lambda: sample_fits(path, self._lines))):
            raise self._damage("has changed since it was written")
        self._checked = np.full(len(self._lines.blocks), known is None)

    def __len__(self) -> int:
        return self._header.count

    def __getitem__(self, row: int) -> Entry:
        if not 0 <= row < len(self):
            raise IndexError(row)
        before = self._lines.before
        block = int(np.searchsorted(before, row, "right")) - 1
        end = int(self._ends(block)[row - int(before[block])])
        start = self._map.rfind(b"\n", 0, end) + 1
        for earlier in range(start // BLOCK_BYTES, block):
            self._check(earlier)
        return self._entry(self._map[start:end], row)

    def __iter__(self) -> Iterator[Entry]:
        lines = (line for piece in self._pieces() for line in piece[:-1].split(b"\n"))
        return (self._entry(line, row) for row, line in enumerate(lines))

    def paths(self) -> Iterator[str]:
        """The path of each row."""
        row = 0
        for lines in self._pieces():
            count = lines.count(b"\n")
            plain = _PLAIN_PATH.findall(lines)
            if len(plain) == count:
                yield from b"\n".join(plain).decode().split("\n")
            else:
                yield from (self._entry(line, at).path for at, line in enumerate(lines[:-1].split(b"\n"), row))
            row += count

    def rows_with(self, sha256: str) -> list[int]:
        """Rows of the images with this content, ascending."""
        starts, rows = self._by_content
        if not _is_sha256(sha256):
            return []
        start = int(sha256[:_START], 16)
        found = slice(*(np.searchsorted(starts, np.uint64(start), side) for side in ("left", "right")))
        return [int(row) for row in rows[found] if self[int(row)].sha256 == sha256]

    def rows_named(self, part: str) -> list[int]:
        """Rows of the images whose path holds this text, whatever its case; reads all, so that no path is kept."""
        wanted, row, rows = part.casefold(), 0, []
        for lines in self._pieces():
            ends = line_ends(lines).nonzero()[0]
            near = _lines_near(wanted, lines, ends)
            rows += [row + line for line in near if wanted in _path_of(lines, ends, line).casefold()]
            row += len(ends)
        return rows

    def _ends(self, block: int) -> NDArray[np.int64]:
        """Where the lines end that end in a block. The last block asked for is kept: rows are often read in order."""
        known = self._last
        if known[0] != block:
            self._check(block)
            start = block * BLOCK_BYTES
            known = self._last = block, line_ends(self._map[start : start + BLOCK_BYTES]).nonzero()[0] + start
        return known[1]

    def _check(self, block: int) -> None:
        """Raise DamagedGalleryError unless a block is as it was committed."""
        if self._checked[block]:
            return
        if not self._lines.fit(block, self._map[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]):
            raise self._damage("has changed since it was written")
        self._checked[block] = True

    def _entry(self, line: bytes, row: int) -> Entry:
        try:
            return parse_line(line)
        except ValueError:
            what = f"{self._name}, line {row + 1} names no image"
            raise DamagedGalleryError(self._folder, what, self._header) from None

    @cached_property
    def _by_content(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """How the digests of all images start, in order, and the row of each."""
        found = [
            np.frombuffer(bytes.fromhex(b"".join(_SHA256.findall(lines)).decode()), ">u8") for lines in self._pieces()
        ]
        starts = np.concatenate(found).astype(np.uint64)
        if len(starts) != len(self):
            raise self._damage("has a line that names no image")
        rows = np.argsort(starts, kind="stable")
        return starts[rows], rows

    def _pieces(self) -> Iterator[bytes]:
        """The file, cut between lines."""
        rest = b""
        for first in range(0, len(self._checked), PIECE_BLOCKS):
            blocks = range(first, min(first + PIECE_BLOCKS, len(self._checked)))
            for block in blocks:
                self._check(block)
            lines = rest + self._map[blocks.start * BLOCK_BYTES : blocks.stop * BLOCK_BYTES]
            end = lines.rfind(b"\n") + 1
            rest = lines[end:]
            if end:
                yield lines[:end]
            self._map.madvise(mmap.MADV_DONTNEED)  # what was read need not stay in memory

    def _damage(self, what: str) -> DamagedGalleryError:
        return DamagedGalleryError(self._folder, f"{self._name} {what}", self._header)


class GrowingManifest:
    """A manifest open for appending. Its entries are read where they stand, so that millions take little memory."""

    def __init__(self, path: Path, rows: int) -> None:
        """Take over its first `rows` lines, or those before the first that is no entry; what follows is cut off."""
        self._path = path
        self._ends = array("q")
        self.places = Places(self._read(rows))
        """Row of each path and content."""
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(self.file, self._size)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> Entry:
        start = self._ends[row - 1] if row else 0
        return parse_line(os.pread(self.file, self._ends[row] - start, start))

    def append(self, entries: Sequence[Entry]) -> None:
        """Add rows."""
        lines = [*map(format_line, entries)]
        write_all(self.file, b"".join(lines))
        first = len(self)
        self._take(lines)
        self.places.add((row, entry.path, entry.sha256) for row, entry in enumerate(entries, first))

    @property
    def _size(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _take(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self._ends.append(self._size + len(line))

    def _read(self, rows: int) -> Iterator[Placed]:
        if not rows or not self._path.exists():
            return
        with self._path.open("rb") as lines, suppress(ValueError):  # a torn last line
            for row, line in enumerate(islice(lines, rows)):
                if not line.endswith(b"\n"):
                    return
                entry = parse_line(line)
                self._take([line])
                yield row, entry.path, entry.sha256


def write_all(file: int, content: bytes) -> None:
    """Write all of `content`, however little of it the system takes at once."""
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def format_line(entry: Entry) -> bytes:
    """An entry as a line of the manifest; names that are not UTF-8 survive as escapes."""
    return json.dumps(entry._asdict()).encode() + b"\n"


def parse_line(line: bytes) -> Entry:
    """A line of the manifest as an entry.

    Raises:
        ValueError: it is not an entry.
    """
    values = parse_quickly(line)
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    entry = Entry(*(values.get(name) for name in Entry._fields))  # type: ignore[arg-type]  # checked below
    if not (_is_path(entry.path) and _is_sha256(entry.sha256) and _is_size(entry.size) and _is_size(entry.mtime_ns, 0)):
        raise ValueError("not an entry of a manifest")
    return entry


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value != "" and is_file_name(value)


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_size(value: Any, least: int = 1) -> bool:
    return type(value) is int and (least <= value < 2**63 if least else abs(value) < 2**63)


def _map(path: Path, size: int) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)


def _lines_near(wanted: str, lines: bytes, ends: NDArray[np.int64]) -> Iterable[int]:
    """Lines that may hold a folded text, told by their bytes; all of them where letters are escaped."""
    text = lines.lower()
    if not wanted or b"\\u" in text:
        return range(len(ends))
    if not wanted.isascii():
        return ()
    found = [found.start() for found in re.finditer(re.escape(json.dumps(wanted)[1:-1].encode()), text)]
    return dict.fromkeys(np.searchsorted(ends, found).tolist())


def _path_of(lines: bytes, ends: NDArray[np.int64], line: int) -> str:
    """The path in a line; faster than to parse it."""
    start = int(ends[line - 1]) + 1 if line else 0
    found = _PLAIN_PATH.match(lines, start)
    return found[1].decode() if found else parse_line(lines[start : int(ends[line])]).path
