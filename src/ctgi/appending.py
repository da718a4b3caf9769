"""Files of JSON lines that only grow: a line is written whole or not at all, and what a kill left is set aside."""

import errno
import logging
import os
from io import FileIO
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.reading import JsonLine
from ctgi.text import plain

logger = logging.getLogger(__name__)


def append_whole(file: FileIO, content: bytes) -> int:
    """Append all of `content` or nothing; returns where it begins.

    Raises:
        OSError: the disk is full or the file cannot be written; it is as it was.
    """
    end = file.seek(0, os.SEEK_END)
    try:
        if file.write(content) != len(content):  # a disk that fills up takes the first part of a line
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        file.truncate(end)
        raise
    return end


def set_aside(path: Path, file: FileIO, line: JsonLine, then: str) -> None:
    """Move a half-written last line to a file beside this one, with a warning.

    then: what becomes of it, for the warning.

    Raises:
        CtgiError: it cannot be moved.
    """
    aside = path.with_name(f"{path.name}.torn")
    try:
        with aside.open("ab") as kept:
            kept.write(line.content + b"\n")
        file.truncate(line.start)
    except OSError as error:
        raise CtgiError(
            f"{plain(str(path))}, line {line.number}: cut off, as by a kill, and cannot be moved to "
            f"{plain(aside.name)} ({error.strerror}): mend or delete the line"
        ) from None
    place, number = plain(str(path)), line.number
    logger.warning("%s, line %s: cut off, as by a kill: moved to %s; %s", place, number, plain(aside.name), then)
