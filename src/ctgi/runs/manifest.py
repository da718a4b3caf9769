"""The list of a collection's images and their contents, made once, so that n shards do not read everything n times.

Rows have one form, `{"sha256": ..., "path": ..., "size": ..., "mtime_ns": ...}`, by whose bytes a shard finds its own
and a run finds what has changed.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ctgi.appending import append_whole
from ctgi.errors import CtgiError, ImageError
from ctgi.files import WithoutLocks, is_full, lock, open_owned, whole_file
from ctgi.reading import Json, TextError, dump, parse_json
from ctgi.retrieval.images import ImageRef, digest
from ctgi.retrieval.sources.found import Found
from ctgi.retrieval.sources.reading import read_ahead
from ctgi.retrieval.sources.references import is_reference
from ctgi.runs.events import Events
from ctgi.runs.shards import Shard
from ctgi.text import plain

_ROW = b'{"sha256": "'
_SHA256 = slice(len(_ROW), len(_ROW) + 64)
_STATE = slice(len(_ROW) + 64, None)
"""Of a row: where the image is, and as it was when it was read."""


def manifest_of(out: Path) -> Path:
    """The manifest of a run that writes `out` in parts."""
    return out.with_name(f"{out.stem}.manifest.jsonl")


@dataclass
class Listed:
    """What became of a manifest when it was brought up to date."""

    images: int = 0
    """Rows now."""
    new: int = 0
    changed: int = 0
    """Read again: their size or time was another."""
    gone: int = 0
    """Taken out: they are no longer there."""
    failed: list[ImageError] = field(default_factory=list)
    """Images that cannot be read; they have no row."""


class Manifest:
    """A file with a row for each image of a collection, in the order in which they were found."""

    def __init__(self, path: Path, given: Json) -> None:
        """Nothing is read or written yet. given: where the images are, as the user named them; the first line."""
        self.path = path
        self._head = dump(given) + b"\n"

    def rows(self, shard: Shard) -> Iterator[ImageRef]:
        """The images of a shard.

        Raises:
            CtgiError: there is no manifest, it lists other images, or a row cannot be read.
        """
        for line in self._lines(shard):
            yield _image(_parsed(self.path, line))

    def found(self, shard: Shard) -> Iterator[Found]:
        """The same as `find_sources` found them. Raises as `rows` does."""
        for row in (_parsed(self.path, line) for line in self._lines(shard)):
            is_file = not is_reference(row["path"])
            yield Found(row["path"]) if is_file else Found(row["path"], row["size"] or None, row["mtime_ns"] or None)

    def count(self, shard: Shard) -> int:
        """How many images a shard has. Raises as `rows` does."""
        return sum(1 for _ in self._lines(shard))

    def _lines(self, shard: Shard) -> Iterator[bytes]:
        with _reading(self.path) as file:
            if file.readline() != self._head:
                raise CtgiError(
                    f"{plain(str(self.path))}: lists other images, of a run begun meanwhile: choose another --out"
                )
            yield from (line for line in file if _is_row(line) and shard.takes(line[_SHA256]))

    def update(self, images: Sequence[Found], events: Events, without_locks: WithoutLocks = "warn") -> Listed:
        """Bring the rows in line with `images`: what is new or changed is read, what is gone is taken out.

        Of several processes one does it, and the others wait. After a kill it goes on where the rows end. `events`
        hears how many are new, changed or gone.

        Raises:
            CtgiError: it cannot be written, or the file system has no locks and that stops.
        """
        faults = [ImageError(one.path, one.fault) for one in images if one.fault]
        images = [one for one in images if not one.fault] if faults else images
        wanted = np.fromiter((hash(_state(one)) for one in images), np.int64, len(images))
        if self._is_in_line(wanted):
            return Listed(len(images), failed=faults)
        with _locked(self.path, without_locks) as file:
            listed = self._updated(file, images, wanted, events)
        listed.failed[:0] = faults
        if listed.new or listed.changed or listed.gone:
            events.tell(
                f"{plain(str(self.path))}: {listed.images:,} images, {listed.new:,} of them new, "
                f"{listed.changed:,} changed, {listed.gone:,} gone"
            )
        return listed

    def _is_in_line(self, wanted: NDArray[np.int64]) -> bool:
        """Whether there is nothing to do; several processes may find so at once."""
        if not self.path.exists():
            return False
        with _reading(self.path) as file:
            lock(file.fileno(), shared=True, wait=True)
            return file.readline() == self._head and np.array_equal(np.sort(_keys(file)), np.sort(wanted))

    def _updated(self, file: FileIO, images: Sequence[Found], wanted: NDArray[np.int64], events: Events) -> Listed:
        with _reading(self.path) as there:
            is_same, known = there.readline() == self._head, _keys(there)
        if not file.tell():
            self._append(file, self._head)
        missing = np.flatnonzero(~np.isin(wanted, known)).tolist()
        failed = []
        with events.progress("list", len(missing)) as update:
            for done, one in enumerate(read_ahead(images[place] for place in missing), 1):
                state = _state(one)
                try:
                    self._append(file, _ROW + digest(one.path).encode() + state)
                except ImageError as error:
                    failed.append(error)
                update(done)
        stale = known[~np.isin(known, wanted)]
        out = self._without({*stale.tolist()}) if stale.size or not is_same else set()
        again = out.intersection(images[place].path for place in missing) if out else set()
        changed = len(again.difference(error.path for error in failed))
        new = len(missing) - len(failed) - changed
        return Listed(len(images) - len(failed), new, changed, len(out) - changed, failed)

    def _append(self, file: FileIO, content: bytes) -> None:
        try:
            append_whole(file, content)
        except OSError as error:
            cure = "free some space" if is_full(error) else "choose another --out"
            raise CtgiError(
                f"{plain(str(self.path))}: cannot be written ({error.strerror}): {cure}, and run the same command again"
            ) from None

    def _without(self, stale: set[int]) -> set[str]:
        """Write the file anew without these rows, whose paths are returned."""
        out: set[str] = set()
        with _reading(self.path) as there, whole_file(self.path) as file:
            file.write(self._head)
            for line in filter(_is_row, there):
                if hash(line[_STATE]) in stale:
                    out.add(parse_json(line)["path"])
                else:
                    file.write(line)
        return out


def all_rows(path: Path) -> Iterator[ImageRef]:
    """The images of a manifest, of all shards, whoever made it. Raises as `Manifest.rows` does."""
    with _reading(path) as file:
        yield from (_image(_parsed(path, line)) for line in file if _is_row(line))


def _image(row: Json) -> ImageRef:
    return ImageRef(row["path"], row["sha256"])


def _parsed(path: Path, line: bytes) -> Json:
    try:
        row: Json = parse_json(line)
    except TextError:
        raise CtgiError(
            f"{plain(str(path))}: has a line that is no row: delete the file; the next run makes it anew"
        ) from None
    return row


def _is_row(line: bytes) -> bool:
    return line.startswith(_ROW) and line.endswith(b"\n")


def _keys(file: BinaryIO) -> NDArray[np.int64]:
    """A number for each row that stands for its path, size and time; comparable in this process alone."""
    return np.fromiter((hash(line[_STATE]) for line in file if _is_row(line)), np.int64)


def _state(image: Found) -> bytes:
    """The end of the row of an image as it is now. Times are compared for equality alone, so clocks may differ."""
    size, mtime_ns = image.size or 0, image.stamp or 0
    if not is_reference(image.path):
        with suppress(OSError, ValueError):  # reading it says why
            there = Path(image.path).stat()
            size, mtime_ns = there.st_size, there.st_mtime_ns
    return b'", ' + dump({"path": image.path, "size": size, "mtime_ns": mtime_ns})[1:] + b"\n"


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise CtgiError(f"{plain(str(path))}: no such file: run ctgi caption with --shard or --ray first") from None
    except OSError as error:
        raise CtgiError(f"{plain(str(path))}: cannot be read ({error.strerror})") from None


@contextmanager
def _locked(path: Path, without_locks: WithoutLocks) -> Iterator[FileIO]:
    """The file open for appending, for this process alone, without what a kill left of a last row."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open_owned(path, without_locks, wait=True)
    except OSError as error:
        raise CtgiError(
            f"{plain(str(path))}: cannot list the images here ({error.strerror}): choose another --out"
        ) from None
    with file:
        _cut_torn(path, file)
        yield file


def _cut_torn(path: Path, file: FileIO) -> None:
    size = file.seek(0, os.SEEK_END)
    with path.open("rb") as there:
        there.seek(max(0, size - 2**20))
        tail = there.read()
    file.truncate(size - len(tail) + tail.rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)
