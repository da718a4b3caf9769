"""Standard output and error as they may be: closed, full, a pipe whose reader has left, without some letters."""

import errno
import io
import os
import sys
from typing import Any, TextIO

from ctgi.errors import CtgiError


class OutputError(OSError):
    """Nothing more can be printed."""


class _Output(io.FileIO):
    def write(self, content: Any) -> int:
        try:
            return super().write(content) or 0
        except OSError as error:
            raise OutputError(error.errno, error.strerror) from None


def prepare_streams() -> None:
    """Text for a closed stream goes unseen, letters that a stream lacks come out as escapes, faults as OutputError."""
    sys.stdout, sys.stderr = (_prepared(stream, number) for number, stream in ((1, sys.stdout), (2, sys.stderr)))


def _prepared(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:
        return open(os.devnull, "w")  # noqa: PTH123  # as long as the process lives
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    errors = "backslashreplace" if stream.errors == "strict" else stream.errors
    stream.reconfigure(errors=errors)
    if number != 1 or not isinstance(stream.buffer, io.BufferedWriter | io.FileIO):
        return stream
    raw = _Output(stream.fileno(), "wb", closefd=False)
    buffer: Any = raw if stream.write_through else io.BufferedWriter(raw)  # PYTHONUNBUFFERED
    return io.TextIOWrapper(
        buffer, stream.encoding, errors, line_buffering=stream.line_buffering, write_through=stream.write_through
    )


def after(error: OutputError) -> None:
    """End a command that cannot print.

    Raises:
        SystemExit: its reader has left, as `head` does: nobody needs the rest.
        CtgiError: for any other reason.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python prints what is left when it ends
    if error.errno == errno.EPIPE:
        raise SystemExit(1)
    raise CtgiError(f"the result cannot be written to standard output ({error.strerror}): redirect it to another place")
