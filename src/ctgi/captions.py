"""Reading captions.jsonl: one record per image; what a kill leaves is readable."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ctgi.errors import CtgiError
from ctgi.text import plain


def read_captions(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a captions file, oldest first; a torn last line is left out.

    Raises:
        CtgiError: the file cannot be read, or a whole line is no record; names the line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield parse_record(path, number, line)
    except OSError as error:
        raise CtgiError(f"{plain(str(path))}: cannot read the captions: {error.strerror}") from None


def parse_record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """Line `number` of the captions file at `path`.

    Raises:
        CtgiError: it is no record; names file and line.
    """
    try:
        record: Any = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("path"), str):
        raise CtgiError(
            f"{plain(str(path))}, line {number}: not a caption record: expected a JSON object with path, sha256 and "
            "caption; mend or delete the line, or write to another file with --out"
        )
    return record
