"""Reads what a person knows of images beside their pixels: tables (CSV, JSONL) with a row for each image."""

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ctgi.errors import CtgiError
from ctgi.reading import json_lines, read_text
from ctgi.retrieval.sources.references import is_remote
from ctgi.text import is_file_name, joined, plain

Value = str | int | float | None
SOURCES = "sources.jsonl"
"""The table that `ctgi crop` writes beside its crops; it is read without being named."""
PATH = "path"
"""The column by which a row is told from others."""
_OTHER_NAMES = ("file_path", "image", "file", "filename", "file_name", "img_path", "image_path")
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?\s?(Z|[+-]\d\d:?\d\d)?")
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d+)?([eE][-+]?\d{1,3})?")


class MetadataRow(NamedTuple):
    """A row of a table about one image."""

    line: int
    places: tuple[str, ...]
    """Where the image may be, from the root of the images: paths count from the table's folder, or from the root."""
    values: dict[str, Value]


def read_metadata(file: Path, root: Path) -> Iterator[MetadataRow]:
    """The rows of a table, streamed.

    Times are brought to one form (`as_time`), lists and tables of JSON stay JSON texts, empty cells are None.

    Args:
        file: .csv, .tsv or .jsonl, in any Unicode encoding.
        root: the folder of the images.

    Raises:
        CtgiError: it cannot be read, or has no column of paths; names the line.
    """
    kind = file.suffix.lower()
    if kind not in (".csv", ".tsv", ".jsonl"):
        raise CtgiError(f"{plain(str(file))}: expected a table that ends in .csv, .tsv or .jsonl")
    rows = _json_rows(file) if kind == ".jsonl" else _csv_rows(file, "\t" if kind == ".tsv" else ",")
    for line, row in rows:
        name = _path_of(file, line, row)
        values = {joined(column): _value(value) for column, value in row.items() if column != name}
        yield MetadataRow(line, _places(row[name], file, root), values)


def as_time(text: str) -> str:
    """A date or time of ISO 8601 as `YYYY-MM-DD HH:MM:SS`, in UTC where it says its zone; other texts unchanged.

    In this form texts are in the order of the times.
    """
    if not _TIME.fullmatch(text):
        return text
    try:
        time = datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-"))
    except ValueError:
        return text
    return (time.astimezone(UTC) if time.tzinfo else time).replace(tzinfo=None).isoformat(" ")


def is_number(text: str) -> bool:
    """Whether a cell is a number; 007 is a name."""
    return _NUMBER.fullmatch(text) is not None


def _csv_rows(file: Path, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(read_text(file), newline=""), delimiter=delimiter)
    try:
        names = [name.strip() for name in next(reader, [])]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated or not all(names):
            what = f"has the column {min(repeated)!r} twice" if repeated else "has no names of columns"
            raise CtgiError(f"{plain(str(file))}, line 1: {plain(what)}: name each column once in the first line")
        for cells in reader:
            if len(cells) != len(names) and cells:
                told = f"{len(cells)} cells, but the first line names {len(names)} columns"
                raise CtgiError(f"{plain(str(file))}, line {reader.line_num}: {told}")
            if cells:
                yield reader.line_num, dict(zip(names, map(str.strip, cells), strict=True))
    except csv.Error as error:
        raise CtgiError(f"{plain(str(file))}, line {reader.line_num}: not CSV ({error})") from None


def _json_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for line in json_lines(file):
        if line.is_torn:
            return
        if not isinstance(line.value, dict):
            raise CtgiError(f"{plain(str(file))}, line {line.number}: expected a JSON object")
        yield line.number, line.value


def _path_of(file: Path, line: int, row: Mapping[str, Any]) -> str:
    """The name of the column that says which image a row is about."""
    for name in (PATH, *_OTHER_NAMES):
        if isinstance(row.get(name), str) and row[name] and is_file_name(row[name]):
            return name
    raise CtgiError(
        f"{plain(str(file))}, line {line}: it names no image: expected a column {PATH} with paths from the folder of "
        f"the table, among {plain(', '.join(map(str, row)))[:200]}"
    )


def _places(path: str, file: Path, root: Path) -> tuple[str, ...]:
    if is_remote(path):
        return (path,)
    bases = file.absolute().parent, root
    return tuple(dict.fromkeys(os.path.relpath(os.path.normpath(base / path), root) for base in bases))


def _value(value: Any) -> Value:
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, (int, float)):
        return value if not isinstance(value, int) or abs(value) < 2**63 else str(value)
    if isinstance(value, str):
        return as_time(joined(value.replace("\0", ""))) or None
    return json.dumps(value, ensure_ascii=False)
