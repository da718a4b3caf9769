"""What people corrected in captions: records of their own beside a captions file, in which the model's words stay."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Literal

from ctgi.appending import append_whole, set_aside
from ctgi.captions import CaptionLine, image_name, read_captions
from ctgi.errors import CtgiError
from ctgi.files import is_full, own
from ctgi.reading import Json, JsonLine, dump, json_lines
from ctgi.records import Record, Text
from ctgi.text import plain

_TAKEN_OUT = "taken out by a person"

logger = logging.getLogger(__name__)


class Correction(Record):
    """One line of a corrections file: who changed what, when, from what, to what."""

    path: Text
    """Of the image."""
    sha256: Text = ""
    """Of the image's content: its copies under other paths are corrected too. Empty: the path counts."""
    field: Literal["caption", "answer"]
    question: Text | None = None
    """The question whose answer is corrected; None for the caption."""
    was: Text
    """What stood there: the model's words, or an earlier correction's."""
    now: Text
    """What is right. An empty answer takes the turn out."""
    by: Text = ""
    at: Text = ""
    """ISO 8601, UTC."""
    unseen: bool = False
    """Whether somebody else wrote `was` in the meantime, so that whoever corrected it had not seen it."""

    @property
    def image(self) -> str:
        """See `image_name`."""
        return image_name(self.path, self.sha256)


@dataclass(frozen=True)
class Change:
    """What a person wants to be different in a caption record."""

    question: str | None
    """The question whose answer is wrong; None for the caption."""
    seen: str
    """What the person saw when they corrected it."""
    now: str


class Corrections:
    """The corrections of a captions file; of several of the same text the last counts."""

    def __init__(self, corrections: Iterable[Correction] = ()) -> None:
        self._latest: dict[tuple[str, str | None], Correction] = {}
        self._all: dict[str, list[Correction]] = {}
        for one in corrections:
            self.add(one)

    def add(self, correction: Correction) -> None:
        """Take one more, later than those before."""
        self._latest[correction.image, correction.question] = correction
        self._all.setdefault(correction.image, []).append(correction)

    @property
    def images(self) -> Iterable[str]:
        """Of which there are corrections; see `image_name`."""
        return self._all

    def of(self, line: CaptionLine) -> Sequence[Correction]:
        """All corrections of an image's record, oldest first."""
        return self._all.get(line.image, ())

    def latest(self, line: CaptionLine, question: str | None) -> Correction | None:
        """The correction that counts of this answer, or of the caption where `question` is None."""
        return self._latest.get((line.image, question))

    def apply(self, line: CaptionLine) -> CaptionLine:
        """The record as people corrected it."""
        if not (self._all and self.of(line)):
            return line
        caption = self.latest(line, None)
        fields: Json = {**line.fields, "turns": [self._turn(line, turn) for turn in line.turns]}
        if caption is None or caption.now == line.caption:
            return replace(line, fields=fields)
        return CaptionLine({**fields, "caption": caption.now}, corrected=True)

    def _turn(self, line: CaptionLine, turn: Json) -> Json:
        correction = self.latest(line, str(turn.get("question")))
        said = str(turn.get("answer") or "")
        if correction is None or correction.now == said:
            return turn
        now = correction.now
        if not now:
            return {**turn, "answer": "", "statement": "", "kept": False, "reason": _TAKEN_OUT}
        sure = None if turn.get("confidence") is None else 1.0
        statement = replaced(str(turn.get("statement") or ""), said, now) or now
        return {**turn, "answer": now, "statement": statement, "confidence": sure, "kept": True, "reason": None}


def corrections_path(captions: Path) -> Path:
    """Where the corrections of a captions file are: corrections.jsonl beside captions.jsonl."""
    return captions.with_name(f"corrections.{captions.name.removeprefix('captions.')}")


def read_corrections(captions: Path) -> Corrections:
    """The corrections of a captions file; none where nobody corrected anything.

    Raises:
        CtgiError: the file beside it cannot be read, or a line is no correction and not torn.
    """
    path = corrections_path(captions)
    return Corrections(_read(path) if path.is_file() else ())


def corrected_captions(captions: Path) -> Iterator[CaptionLine]:
    """The lines of a captions file as people corrected them; raises as `read_captions` and `read_corrections` do."""
    corrections = read_corrections(captions)
    return map(corrections.apply, read_captions(captions))


def told(count: int) -> str:
    """How many captions are a person's, for a notice."""
    return "1 caption as a person corrected it" if count == 1 else f"{count:,} captions as people corrected them"


def correct(captions: Path, line: CaptionLine, changes: Sequence[Change], by: str) -> list[Correction]:
    """Keep a person's corrections of one record; what is so already is left alone.

    Whoever else writes corrections of this file at the same time is waited for: nothing is lost. A caption that is not
    changed itself follows a corrected answer, where the old answer stands in it word for word.

    Args:
        captions: the captions file.
        line: the record as it stands there.
        changes: what is to be different.
        by: who says so.

    Returns:
        What was kept.

    Raises:
        CtgiError: the disk is full or the file cannot be written; nothing of these changes is kept.
    """
    path = corrections_path(captions)
    try:
        with FileIO(path, "a+") as file:
            own(file.fileno(), path, wait=True)
            known = Corrections(_mended(path, file))
            there = known.apply(line)
            wanted = [one for one in changes if not _same(one.now, _text(there, one.question))]
            kept = [_correction_of(there, change, by) for change in [*wanted, *_caption_follows(there, wanted)]]
            append_whole(file, b"".join(dump(one.to_json()) + b"\n" for one in kept))
    except OSError as error:
        cure = "free some space" if is_full(error) else "allow writing to its folder"
        raise CtgiError(
            f"{plain(str(path))}: the correction is not saved ({error.strerror}): {cure}, then save it again"
        ) from None
    return kept


def replaced(text: str, was: str, now: str) -> str | None:
    """The text with `now` in place of `was`, where that occurs in it just once; else None."""
    was, now = was.strip().rstrip("."), now.strip().rstrip(".")
    start = text.lower().find(was.lower())
    if not was or not now or len(text) != len(text.lower()) or text.lower().count(was.lower()) != 1:
        return None
    end = start + len(was)
    if text[start - 1 : start].isalnum() or text[end : end + 1].isalnum():
        return None
    return text[:start] + (now if start else now[0].upper() + now[1:]) + text[end:]


def _correction_of(there: CaptionLine, change: Change, by: str) -> Correction:
    was = _text(there, change.question)
    return Correction(
        path=there.path, sha256=there.sha256, field="caption" if change.question is None else "answer",
        question=change.question, was=was, now=" ".join(change.now.split()), by=" ".join(by.split()),
        at=datetime.now(UTC).isoformat(timespec="seconds"), unseen=not _same(change.seen, was),
    )  # fmt: skip


def _caption_follows(there: CaptionLine, changes: Sequence[Change]) -> Iterator[Change]:
    """What changed answers change in the caption, unless that is changed itself."""
    caption = there.caption
    if any(change.question is None for change in changes):
        return
    for change in changes:
        kept = any(turn.get("kept") for turn in there.turns if turn.get("question") == change.question)
        caption = (kept and replaced(caption, _text(there, change.question), change.now)) or caption
    if caption != there.caption:
        yield Change(None, there.caption, caption)


def _same(one: str, other: str) -> bool:
    """Whether two texts look the same on a page, where white space and what is invisible come out otherwise."""
    return plain(" ".join(one.split())) == plain(" ".join(other.split()))


def _text(line: CaptionLine, question: str | None) -> str:
    """What stands in a record."""
    if question is None:
        return line.caption
    answers = [str(turn.get("answer") or "") for turn in line.turns if turn.get("question") == question]
    if not answers:
        raise CtgiError(f"{plain(line.path)}: no question {plain(question)[:80]!r}: load the page anew")
    return answers[0]


def _mended(path: Path, file: FileIO) -> Iterator[Correction]:
    """What the file holds; what a kill left of a line is moved aside, so that the next one can be written."""
    for line in json_lines(path, "corrections"):
        if line.is_torn:
            set_aside(path, file, line, "save that correction again")
            return
        yield _correction(path, line)
        if not line.content.endswith(b"\n"):
            append_whole(file, b"\n")


def _read(path: Path) -> Iterator[Correction]:
    for line in json_lines(path, "corrections"):
        if line.is_torn:
            logger.warning("%s, line %s: cut off, as by a kill: ignored", plain(str(path)), line.number)
        else:
            yield _correction(path, line)


def _correction(path: Path, line: JsonLine) -> Correction:
    try:
        return Correction.from_json(line.value)
    except CtgiError as error:
        place = f"{plain(str(path))}, line {line.number}"
        raise CtgiError(f"{place}: no correction ({error}): mend or delete the line") from None
