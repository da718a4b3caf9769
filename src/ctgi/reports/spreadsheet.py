"""Tables for a spreadsheet: CSV in UTF-8 that Excel reads as such, in which no cell is calculated."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from ctgi.text import joined

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """The lines of a CSV file, with a header.

    A cell that a spreadsheet would take for a formula begins with an apostrophe. A path that is not UTF-8 keeps its
    bytes; what else is no text becomes U+FFFD.
    """
    yield "\ufeff".encode()  # spreadsheets take a file without it for Latin-1
    yield _line(columns)
    yield from map(_line, rows)


def _line(cells: Sequence[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(map(_cell, cells))
    try:
        return text.getvalue().encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return joined(text.getvalue()).encode()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
