"""attributes.jsonl: what is true of each image, one line each, appended person by person."""

import errno
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.files import WithoutLocks, is_full, own
from ctgi.reading import Json, JsonLine, json_lines
from ctgi.text import plain

Row = Json
_FIELDS = {"id", "path", "split", "captions"}
"""Of a row, what the annotation file is made of."""


class Table:
    """The file while it is written; use `open_table`."""

    def __init__(self, path: Path, file: FileIO, views: int) -> None:
        self._path, self._file = path, file
        self.people = 0
        """How many of them the table holds."""
        self._end = 0
        ended = True
        for rows, line in enumerate(_whole_lines(path), 1):
            if rows % views == 0:
                self.people, self._end = rows // views, line.start + len(line.content)
                ended = line.content.endswith(b"\n")
        file.truncate(self._end)
        if not ended:  # editors leave the last line so
            self._append(b"\n")

    def append(self, rows: Sequence[Row]) -> None:
        """Write all rows of the next person.

        Raises:
            CtgiError: the disk is full; the people before stay whole.
        """
        self._append(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        self.people += 1

    def _append(self, lines: bytes) -> None:
        try:
            if self._file.write(lines) != len(lines):  # a disk that fills up takes the first part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._file.truncate(self._end)
            cure = "make room" if is_full(error) else "choose another folder"
            raise CtgiError(
                f"{plain(str(self._path))}: cannot write ({error.strerror}): {cure}, then run the same command again; "
                "everybody drawn so far is kept"
            ) from None
        self._end += len(lines)


@contextmanager
def open_table(path: Path, views: int, without_locks: WithoutLocks = "warn") -> Iterator[Table]:
    """Open the table for appending; the lines of a person that a kill left incomplete are cut off.

    views: lines of each person. without_locks: see `ctgi.files.own`.

    Raises:
        CtgiError: it cannot be written, or another process is at it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(path, "a+")
    except OSError as error:
        raise CtgiError(f"{plain(str(path))}: cannot write ({error.strerror}): choose another folder") from None
    with file:
        try:
            own(file.fileno(), path, without_locks)
        except BlockingIOError:
            raise CtgiError(
                f"{plain(str(path))}: another ctgi synth is writing this folder: wait for it, or choose another"
            ) from None
        yield Table(path, file, views)


def _whole_lines(path: Path) -> Iterator[JsonLine]:
    return (line for line in json_lines(path, "table") if not line.is_torn)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a finished table, one image each.

    Raises:
        CtgiError: it cannot be read, or a line is no row; names the line.
    """
    for line in _whole_lines(path):
        if not isinstance(line.value, dict) or not line.value.keys() >= _FIELDS:
            raise CtgiError(
                f"table {plain(str(path))}, line {line.number}: no row of a synthetic person: "
                "write the set to a new folder"
            )
        yield line.value
