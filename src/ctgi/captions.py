"""Reading captions.jsonl: one record per image; what a kill leaves is readable."""

import hashlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.foreign_captions import foreign_captions
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
"""The type of each field if present and not null; only the path is required."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaptionLine:
    """A line of captions.jsonl, perhaps edited by hand; missing and null fields are empty."""

    fields: Json
    """All fields of the line; a copy keeps them."""
    corrected: bool = False
    """Whether the caption is a person's instead of the model's; see `ctgi.corrections`."""

    @property
    def path(self) -> str:
        """The image's path."""
        return str(self.fields["path"])

    @property
    def sha256(self) -> str:
        """The hash of the image's content."""
        return self.fields.get("sha256") or ""

    @property
    def initial_caption(self) -> str:
        """T_s (Eq. 1)."""
        return self.fields.get("initial_caption") or ""

    @property
    def caption(self) -> str:
        """T_e (Eqs. 2-3)."""
        return self.fields.get("caption") or ""

    @property
    def has_caption(self) -> bool:
        """Whether the caption has words; an image without one is captioned again."""
        return bool(self.caption.strip())

    @property
    def captions(self) -> tuple[str, ...]:
        """All captions with words: `caption`, or several that were made elsewhere."""
        several = self.fields.get("captions")
        texts = several if isinstance(several, list) and not self.corrected else [self.caption]
        return tuple(text for text in texts if isinstance(text, str) and text.strip())

    def alone(self) -> "CaptionLine":
        """Only path and captions, for whoever holds those of many images."""
        fields: Json = {name: self.fields[name] for name in ("path", "caption", "captions") if name in self.fields}
        return CaptionLine(fields, self.corrected)

    @property
    def turns(self) -> list[Json]:
        """Questions and answers, whatever fields they have."""
        return self.fields.get("turns") or []

    @property
    def bindings(self) -> dict[str, str]:
        """Tool -> backend."""
        return self.fields.get("bindings") or {}

    @property
    def image(self) -> str:
        """See `image_name`."""
        return image_name(self.path, self.sha256)

    @property
    def same_as(self) -> str:
        """The path of the image with the same content that the caption was made for."""
        return self.fields.get("same_as") or self.path

    @property
    def confidence(self) -> float | None:
        """How sure the caption is, 0 to 1: the geometric mean over its kept answers; None if none has a confidence.

        A caption is right only if all of its answers are. A single unsure answer lowers the geometric mean more than
        the arithmetic one; unlike the product, it does not fall with the number of answers. What a person wrote is 1.
        """
        known = [turn.get("confidence") for turn in self.turns if turn.get("kept")]
        sure = [float(value) for value in known if isinstance(value, int | float)]
        if not sure:
            return None
        return 1.0 if self.corrected else math.prod(min(max(value, 0.0), 1.0) for value in sure) ** (1 / len(sure))


def image_name(path: str, sha256: str) -> str:
    """A name in letters and digits, the same for all records of one content; by path where a record has no hash."""
    if sha256.isascii() and sha256.isalnum():
        return sha256
    return hashlib.sha256((sha256 or path).encode(errors="surrogatepass")).hexdigest()


def read_captions(path: Path) -> Iterator[CaptionLine]:
    """The lines of a captions file, oldest first. A half-written last line is ignored with a warning.

    Captions made elsewhere come as one line per image; see `ctgi.foreign_captions`.

    Raises:
        CtgiError: the file cannot be read, or a line is not a record; the message names the line.
    """
    return (line for _, line in placed_captions(path))


def placed_captions(path: Path) -> Iterator[tuple[int, CaptionLine]]:
    """The same with where each line begins, in bytes; 0 for captions made elsewhere. Raises as `read_captions` does."""
    if (records := foreign_captions(path)) is not None:
        yield from ((0, CaptionLine(record)) for record in records)
        return
    for line in json_lines(path, "captions", quick=True):
        if line.is_torn:
            logger.warning("%s, line %s: cut off, as by a kill: ignored", plain(str(path)), line.number)
        else:
            yield line.start, caption_line(path, line)


def caption_line(path: Path, line: JsonLine) -> CaptionLine:
    """A line of the captions file at `path`, once it is known to be a record.

    Raises:
        CtgiError: it is not a record; the message names file and line.
    """
    record = line.value
    fault = _fault(record) if isinstance(record, dict) else "expected a JSON object with path, sha256 and caption"
    if fault:
        raise CtgiError(
            f"{plain(str(path))}, line {line.number}: not a caption record: {fault}; "
            "correct or delete the line, or write to another file with --out"
        )
    return CaptionLine(record)


def _fault(record: Json) -> str:
    if record.get("path") is None:
        return "expected a JSON object with path, sha256 and caption"
    for name, kind in _FIELDS.items():
        if not isinstance(record.get(name), kind | None):
            return f"{name} is {plain(repr(record[name])[:40])}"
    if not is_file_name(record["path"]):
        return f"path is {plain(repr(record['path'])[:40])}, which is not a file name"
    turns = record.get("turns") or []
    return "" if all(isinstance(turn, dict) for turn in turns) else "turns holds something that is no object"
