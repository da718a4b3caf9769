"""The manifest of a gallery: the image of each row."""

import json
import mmap
import os
import re
import zlib
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
from ctgi.retrieval.gallery_files import manifest_path
from ctgi.retrieval.gallery_header import Header
from ctgi.retrieval.gallery_names import DamagedGalleryError
from ctgi.retrieval.gallery_rows import mapped
from ctgi.text import is_file_name

_BLOCK = 2**24
_SHA256 = re.compile(rb'"sha256": "([0-9a-f]{64})"')  # quotes within a path are escaped, so no name can look like it


class Entry(NamedTuple):
    """One image of a gallery: a line of the manifest."""

    path: str
    """Path relative to the gallery's root."""
    sha256: str
    size: int
    mtime_ns: int


class Manifest:
    """The committed lines of a manifest, memory-mapped: a million images open without being parsed."""

    def __init__(self, folder: Path, header: Header) -> None:
        """Open and check the file.

        Raises:
            DamagedGalleryError: it is missing, or differs from what was committed.
            UnreadableError: it cannot be read.
        """
        path = manifest_path(folder, header)
        self._folder, self._header, self._name = folder, header, path.name
        self._lines = mapped(folder, header, path, lambda: _map(path, header.manifest_bytes))
        self._ends, crc = _line_ends(self._lines)
        if crc != header.manifest_crc32 or len(self._ends) != header.count:
            raise DamagedGalleryError(folder, f"{path.name} has changed since it was written", header)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> Entry:
        start = int(self._ends[row - 1]) + 1 if row else 0
        try:
            return parse_line(self._lines[start : int(self._ends[row])])
        except ValueError:
            what = f"{self._name}, line {row + 1} names no image"
            raise DamagedGalleryError(self._folder, what, self._header) from None

    def __iter__(self) -> Iterator[Entry]:
        return (self[row] for row in range(len(self)))

    def rows_with(self, sha256: str) -> list[int]:
        """Rows of the images with this content, ascending."""
        digests, rows = self._by_content
        if not _is_sha256(sha256):
            return []
        found = slice(*(np.searchsorted(digests, sha256.encode(), side) for side in ("left", "right")))
        return [int(row) for row in rows[found]]

    @cached_property
    def _by_content(self) -> tuple[NDArray[np.bytes_], NDArray[np.int64]]:
        """The digests of all images in order, and the row of each."""
        found = np.array(_SHA256.findall(self._lines), "S64")
        if len(found) != len(self):
            raise DamagedGalleryError(self._folder, f"a line of {self._name} names no image", self._header)
        rows = np.argsort(found, kind="stable")
        return found[rows], rows


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


def _line_ends(lines: mmap.mmap) -> tuple[NDArray[np.int64], int]:
    """Offsets of the line breaks, and the crc32 of everything."""
    ends, crc = [], 0
    for start in range(0, len(lines), _BLOCK):
        block = lines[start : start + _BLOCK]
        crc = zlib.crc32(block, crc)
        ends.append(np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + start)
    return np.concatenate(ends) if ends else np.empty(0, np.int64), crc
