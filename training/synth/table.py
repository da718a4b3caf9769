"""attributes.jsonl: what is true of each image, one line each, appended person by person."""

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from ctgi.errors import CtgiError
from ctgi.text import plain

Row = dict[str, Any]


class Table:
    """The file while it is written; use `open_table`."""

    def __init__(self, path: Path, file: FileIO, views: int) -> None:
        self._path, self._file = path, file
        self.people, self._end = _whole_people(file, views)
        """How many of them the table holds."""
        file.truncate(self._end)
        file.seek(self._end)

    def append(self, rows: Sequence[Row]) -> None:
        """Write all rows of the next person.

        Raises:
            CtgiError: the disk is full; the people before stay whole.
        """
        lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        try:
            if self._file.write(lines) != len(lines):  # a disk that fills up takes the first part
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._file.truncate(self._end)
            raise CtgiError(
                f"{plain(str(self._path))}: cannot write ({error.strerror}): make room, then run the same command "
                "again; everybody drawn so far is kept"
            ) from None
        self._end += len(lines)
        self.people += 1


@contextmanager
def open_table(path: Path, views: int) -> Iterator[Table]:
    """Open the table for appending; the lines of a person that a kill left incomplete are cut off.

    views: lines of each person.

    Raises:
        CtgiError: it cannot be written, or another process is at it.
    """
    try:
        file = FileIO(path, "a+")
    except OSError as error:
        raise CtgiError(f"{plain(str(path))}: cannot write ({error.strerror}): choose another folder") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CtgiError(
                f"{plain(str(path))}: another ctgi synth is writing this folder: wait for it, or choose another"
            ) from None
        yield Table(path, file, views)


def _whole_people(file: FileIO, views: int) -> tuple[int, int]:
    """How many people the file holds with all their views, and where the last of them ends."""
    people = end = position = 0
    file.seek(0)
    for number, line in enumerate(file, 1):
        position += len(line)
        if line.endswith(b"\n") and number % views == 0:
            people, end = number // views, position
    return people, end


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a finished table, one image each.

    Raises:
        CtgiError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield from map(json.loads, file)
    except (OSError, ValueError) as error:
        raise CtgiError(
            f"{plain(str(path))}: no table of synthetic people ({error}): write the set to a new folder"
        ) from None
