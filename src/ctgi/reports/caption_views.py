"""A caption record as pages and tables show it: what counts, beside what the model said."""

from collections.abc import Sequence
from dataclasses import dataclass

from ctgi.caption_table import REASONS
from ctgi.captions import CaptionLine
from ctgi.corrections import Correction, Corrections
from ctgi.reading import Json


@dataclass(frozen=True)
class TurnView:
    """One question and its answer."""

    attribute: str
    question: str
    answer: str
    said: str | None
    """The model's answer, where a person changed it."""
    percent: int | None
    """Confidence; None where none is known."""
    kept: bool
    fate: str
    """Kept, or why not."""


@dataclass(frozen=True)
class CaptionView:
    """One image's record."""

    path: str
    sha256: str
    image: str
    """See `ctgi.captions.image_name`."""
    caption: str
    own: str | None
    """The model's caption, where a person changed it."""
    initial_caption: str
    percent: int | None
    """How sure the caption is; None where nothing is known of it."""
    turns: tuple[TurnView, ...]
    corrections: Sequence[Correction]
    """All of them, oldest first."""

    @property
    def kept(self) -> list[TurnView]:
        """The turns that are in the caption."""
        return [turn for turn in self.turns if turn.kept]

    @property
    def dropped(self) -> list[TurnView]:
        """The turns that are not."""
        return [turn for turn in self.turns if not turn.kept]


def caption_view(line: CaptionLine, corrections: Corrections) -> CaptionView:
    """A record of the model with what people corrected in it."""
    now = corrections.apply(line)
    return CaptionView(
        path=line.path,
        sha256=line.sha256,
        image=line.image,
        caption=now.caption,
        own=line.caption if now.corrected else None,
        initial_caption=line.initial_caption,
        percent=_percent(now.confidence),
        turns=tuple(_turn(*both) for both in zip(now.turns, line.turns, strict=True)),
        corrections=corrections.of(line),
    )


def fate(kept: bool, reason: str | None) -> str:
    """What became of an answer, in words: kept, or why it was dropped."""
    if kept:
        return "kept"
    named = (reason or "").partition(":")[0] in REASONS
    return f"dropped as {reason}" if named else f"dropped: {reason or 'no reason given'}"


def _turn(turn: Json, own: Json) -> TurnView:
    kept, answer, said = bool(turn.get("kept")), _text(turn, "answer"), _text(own, "answer")
    return TurnView(
        attribute=_text(turn, "attribute"),
        question=_text(turn, "question"),
        answer=answer,
        said=None if said == answer else said,
        percent=_percent(turn.get("confidence")),
        kept=kept,
        fate=fate(kept, _text(turn, "reason")),
    )


def _text(turn: Json, name: str) -> str:
    return str(turn.get(name) or "")


def _percent(confidence: object) -> int | None:
    return round(confidence * 100) if isinstance(confidence, int | float) else None
