"""captions.jsonl: one record per image, appended and flushed as it is finished; what a kill leaves is readable."""

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from ctgi.captions import parse_record
from ctgi.errors import CtgiError
from ctgi.text import plain


class CaptionsFile:
    """A captions file open for appending, by one process at a time; knows what it holds without holding it."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self._file = file
        self._end = 0
        self._sha256_of: dict[str, str] = {}
        self._start_of: dict[str, int] = {}
        self.bindings: dict[str, str] = {}
        """Tool -> backend of the last record."""
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                self._remember(parse_record(path, number, line), len(line))

    def holds(self, path: str, sha256: str) -> bool:
        """Whether the image at this path, with this content, is captioned already."""
        return self._sha256_of.get(path) == sha256

    def find(self, sha256: str) -> dict[str, Any] | None:
        """The record of an image with this content under whatever path, or None."""
        start = self._start_of.get(sha256)
        if start is None:
            return None
        with self.path.open("rb") as file:
            file.seek(start)
            return parse_record(self.path, 0, file.readline())

    def append(self, record: dict[str, Any]) -> None:
        """Write one record and hand it to the operating system before returning.

        Raises:
            CtgiError: the disk is full or the file cannot be written; the records before it stay whole.
        """
        line = dump(record) + b"\n"
        try:
            if self._file.write(line) != len(line):  # a disk that fills up takes the first part of a line
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._file.truncate(self._end)
            raise CtgiError(
                f"{plain(str(self.path))}: cannot write ({error.strerror}): make room or choose another --out, then "
                "run the same command again; every caption written so far is kept"
            ) from None
        self._remember(record, len(line))

    def _remember(self, record: dict[str, Any], length: int) -> None:
        self._sha256_of[record["path"]] = record.get("sha256", "")
        self._start_of.setdefault(record.get("sha256", ""), self._end)
        self.bindings = record.get("bindings", {})
        self._end += length


def dump(record: dict[str, Any]) -> bytes:
    """A record as one line of JSON in UTF-8; a path that is no UTF-8 keeps its bytes as surrogate escapes."""
    try:
        return json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(record).encode()


@contextmanager
def open_captions(path: Path) -> Iterator[CaptionsFile]:
    """Open `path` for appending; a torn last line of a killed run is cut off first. A new file left empty is removed.

    Raises:
        CtgiError: the folder is missing or not writable, or another process is writing this file.
    """
    made = [one for one in (path, *path.parents) if not one.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(path, "a+")
    except OSError as error:
        raise CtgiError(f"{plain(str(path))}: cannot write captions here: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CtgiError(
                f"{plain(str(path))}: another ctgi caption is writing this file: wait for it, or choose another --out"
            ) from None
        _cut_torn_line(file)
        try:
            yield CaptionsFile(path, file)
        finally:
            if path in made and file.seek(0, os.SEEK_END) == 0:
                _remove(made)


def _remove(made: list[Path]) -> None:
    """Remove a new file that nothing was written to, and the folders made for it."""
    with suppress(OSError):
        made[0].unlink()
        for folder in made[1:]:
            folder.rmdir()


def _cut_torn_line(file: FileIO) -> None:
    end = file.seek(0, os.SEEK_END)
    start = end
    while start > 0:
        size = min(1 << 16, start)
        start -= size
        file.seek(start)
        newline = file.read(size).rfind(b"\n")
        if newline >= 0:
            start += newline + 1
            break
    if start != end:
        file.truncate(start)
