"""Choice of captions for training: human ones, or those of `ctgi caption` with their confidence."""

import math
from dataclasses import dataclass
from pathlib import Path

from ctgi.captions import CaptionLine, read_captions
from ctgi.errors import CtgiError
from ctgi.text import plain

_FIELDS = {"initial": "initial_caption", "mtg": "caption"}


@dataclass(frozen=True)
class Text:
    """One caption of an image."""

    caption: str
    confidence: float | None = None
    """0 to 1, see `caption_confidence`; None if not recorded."""


@dataclass(frozen=True)
class CaptionChoice:
    """`human`, `initial:FILE` or `mtg:FILE`, parsed."""

    kind: str
    file: Path | None = None

    @classmethod
    def parse(cls, choice: str) -> "CaptionChoice":
        """Parse the option as typed.

        Raises:
            CtgiError: not human, initial:FILE or mtg:FILE.
        """
        kind, _, name = choice.partition(":")
        if kind == "human" and not name:
            return cls(kind)
        if kind not in _FIELDS or not name:
            raise CtgiError(
                f"captions {plain(choice)!r}: expected human, initial:FILE or mtg:FILE, where FILE is a captions.jsonl"
            )
        return cls(kind, Path(name))

    def texts(self) -> dict[str, Text]:
        """Path as recorded -> its text. Among several records for one path, the last with a text counts.

        Raises:
            CtgiError: the file cannot be read, a line is no record, or no record has a text.
        """
        if self.file is None:
            raise CtgiError("human captions come from a data set's annotations: give initial:FILE or mtg:FILE")
        field = _FIELDS[self.kind]
        texts = {}
        for line in read_captions(self.file):
            text = line.caption if self.kind == "mtg" else line.initial_caption
            if text.strip():
                texts[line.path] = Text(text, caption_confidence(line) if self.kind == "mtg" else None)
        if not texts:
            raise CtgiError(f"{plain(str(self.file))}: no record with a {field}: run ctgi caption on the images first")
        return texts


def caption_confidence(line: CaptionLine) -> float | None:
    """Geometric mean of the confidences of the kept answers, 0 to 1; None if none has one.

    A caption is right only if all of its answers are. A single unsure answer lowers the geometric mean more than the
    arithmetic one; unlike the product, it does not fall with the number of answers.
    """
    known = [turn.get("confidence") for turn in line.turns if turn.get("kept")]
    sure = [float(value) for value in known if isinstance(value, int | float)]
    if not sure:
        return None
    return math.prod(min(max(value, 0.0), 1.0) for value in sure) ** (1 / len(sure))
