"""Choice of captions for training: human ones, or those of `ctgi caption` with their confidence."""

from dataclasses import dataclass
from pathlib import Path

from ctgi.captions import CaptionLine, read_captions
from ctgi.corrections import corrected_captions
from ctgi.errors import CtgiError
from ctgi.text import plain

_FIELDS = {"initial": "initial_caption", "mtg": "caption"}


@dataclass(frozen=True)
class Text:
    """One caption of an image."""

    caption: str
    confidence: float | None = None
    """0 to 1, see `CaptionLine.confidence`; None if not recorded."""
    corrected: bool = False
    """Whether a person corrected it."""


@dataclass(frozen=True)
class CaptionChoice:
    """`human`, `initial:FILE` or `mtg:FILE`, parsed; a file alone is `mtg:FILE`."""

    kind: str
    file: Path | None = None

    @classmethod
    def parse(cls, choice: str) -> "CaptionChoice":
        """Parse the option as typed.

        Raises:
            CtgiError: not human, initial:FILE or mtg:FILE.
        """
        if choice != "human" and Path(choice).is_file():
            return cls("mtg", Path(choice))
        kind, _, name = choice.partition(":")
        if kind == "human" and not name:
            return cls(kind)
        if kind not in _FIELDS or not name:
            raise CtgiError(
                f"captions {plain(choice)!r}: expected human, initial:FILE or mtg:FILE, where FILE is a captions.jsonl"
            )
        return cls(kind, Path(name))

    def texts(self) -> dict[str, tuple[Text, ...]]:
        """Path as recorded -> its texts, as people corrected them. The last record of a path that has one counts.

        Raises:
            CtgiError: the file cannot be read, a line is no record, or no record has a text.
        """
        if self.file is None:
            raise CtgiError("human captions come from a data set's annotations: give initial:FILE or mtg:FILE")
        lines = corrected_captions(self.file) if self.kind == "mtg" else read_captions(self.file)
        read = {line.path: texts for line in lines if (texts := self._texts(line))}
        if not read:
            field = _FIELDS[self.kind]
            raise CtgiError(f"{plain(str(self.file))}: no record with a {field}: run ctgi caption on the images first")
        return read

    def _texts(self, line: CaptionLine) -> tuple[Text, ...]:
        if self.kind == "mtg":
            return tuple(Text(text, line.confidence, line.corrected) for text in line.captions)
        return (Text(line.initial_caption),) if line.initial_caption.strip() else ()
