"""Reading captions.jsonl: one record per image; what a kill leaves is readable."""

import logging
from collections.abc import Iterator
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.reading import Json, JsonLine, json_lines
from ctgi.text import is_file_name, plain

_FIELDS = {
    "path": str,
    "sha256": str,
    "initial_caption": str,
    "caption": str,
    "same_as": str,
    "turns": list,
    "bindings": dict,
    "tokens": dict,
}
"""What a field holds where it is there and not null; a record has a path at least."""

logger = logging.getLogger(__name__)


def read_captions(path: Path) -> Iterator[Json]:
    """The records of a captions file, oldest first; a torn last line is left out with a warning.

    Raises:
        CtgiError: the file cannot be read, or a line is no record and not torn; names the line.
    """
    for line in json_lines(path, "captions"):
        if line.is_torn:
            logger.warning("%s, line %s: cut off, as by a kill: it is left out", plain(str(path)), line.number)
        else:
            yield caption_record(path, line)


def caption_record(path: Path, line: JsonLine) -> Json:
    """The record on a line of the captions file at `path`.

    Raises:
        CtgiError: it is no record; names file and line.
    """
    record = line.value
    fault = _fault(record) if isinstance(record, dict) else "expected a JSON object with path, sha256 and caption"
    if fault:
        raise CtgiError(
            f"{plain(str(path))}, line {line.number}: not a caption record: {fault}; "
            "mend or delete the line, or write to another file with --out"
        )
    return dict(record)


def has_caption(record: Json) -> bool:
    """Whether a record has a caption with words in it: the image of one without is captioned again."""
    return bool((record.get("caption") or "").strip())


def _fault(record: Json) -> str:
    if record.get("path") is None:
        return "expected a JSON object with path, sha256 and caption"
    for name, kind in _FIELDS.items():
        if not isinstance(record.get(name), kind | None):
            return f"{name} is {plain(repr(record[name])[:40])}"
    if not is_file_name(record["path"]):
        return f"path is {plain(repr(record['path'])[:40])}, which no file is called"
    turns = record.get("turns") or []
    return "" if all(isinstance(turn, dict) for turn in turns) else "turns holds something that is no object"
