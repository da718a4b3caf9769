"""A captions file to browse: what each record is about is known by heart, the rest is read where it stands."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from threading import Lock
from typing import NamedTuple

from ctgi.captions import CaptionLine, caption_line
from ctgi.corrections import Corrections, corrections_path, read_corrections
from ctgi.errors import CtgiError
from ctgi.reading import JsonLine, TextError, json_lines, parse_json
from ctgi.text import plain

CORRECTED, WITHOUT = "corrected", "without"
REASONS = ("contradictory", "irrelevant", "redundant", "unusable")
"""Why an answer was dropped: the first words of `Turn.reason`."""


class _Turn(NamedTuple):
    attribute: str
    confidence: float | None
    reason: str
    """First word; empty for a kept answer."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a captions file, as people corrected it."""

    path: str
    image: str
    """See `ctgi.captions.image_name`."""
    line: int
    """From 1."""
    start: int
    """Of its line, in bytes."""
    text: str
    """Path, caption and answers, folded, to search in."""
    caption: int
    """Hash of the caption."""
    confidence: float | None
    turns: tuple[_Turn, ...]
    corrected: bool
    """Whether a person changed the caption or an answer."""
    has_caption: bool


@dataclass(frozen=True)
class Wanted:
    """Which records are wanted: those to which all of this applies."""

    text: str = ""
    """In path, caption or an answer, whatever its case."""
    attribute: str = ""
    """Asked about; what else is wanted of answers is wanted of this one."""
    below: float | None = None
    """A confidence lower than this: of the attribute's answer, else of the caption."""
    only: str = ""
    """corrected, without (a caption), or why an answer was dropped: one of `REASONS`."""

    def fits(self, entry: Entry) -> bool:
        """Whether an entry is wanted."""
        turns = [turn for turn in entry.turns if turn.attribute == self.attribute] if self.attribute else entry.turns
        return (
            (not self.attribute or bool(turns))
            and self.text.casefold() in entry.text
            and (self.below is None or self._is_unsure(entry, turns, self.below))
            and (not self.only or self._is_one(entry, turns))
        )

    def _is_unsure(self, entry: Entry, turns: Sequence[_Turn], below: float) -> bool:
        known = [turn.confidence for turn in turns] if self.attribute else [entry.confidence]
        return any(one is not None and one < below for one in known)

    def _is_one(self, entry: Entry, turns: Sequence[_Turn]) -> bool:
        if self.only == CORRECTED:
            return entry.corrected
        if self.only == WITHOUT:
            return not entry.has_caption
        return any(turn.reason == self.only for turn in turns)


class CaptionsIndex:
    """The images of a captions file in its order; a later record of a path replaces the one before.

    May be asked from several threads. `refresh` takes in what was written since.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is read before the first `refresh`."""
        self.path = path
        self._lock = Lock()
        self._forget()

    def _forget(self) -> None:
        self.entries: list[Entry] = []
        """In the order of the file."""
        self.corrections = Corrections()
        self._attributes: set[str] = set()
        self._rows: dict[str, int] = {}
        self._rows_of_image: dict[str, list[int]] = {}
        self._last: JsonLine | None = None
        self._state = self._corrected = (0, 0, 0)

    @property
    def attributes(self) -> list[str]:
        """All that was asked about, in alphabetical order."""
        return sorted(self._attributes)

    def refresh(self) -> None:
        """Take in what was appended, corrected or replaced since.

        Raises:
            CtgiError: a file cannot be read, or a line is no record.
        """
        with self._lock:
            state, corrected = _state(self.path), _state(corrections_path(self.path))
            if not self._has_only_grown(state):
                self._forget()
            if corrected != self._corrected:
                self.corrections = read_corrections(self.path)
                self._corrected = corrected
                rows = [row for image in self.corrections.images for row in self._rows_of_image.get(image, ())]
                for row in rows:
                    self._put(self.read(self.entries[row]), self.entries[row].line, self.entries[row].start)
            if state != self._state:
                self._take_new()
                self._state = state

    def read(self, entry: Entry) -> CaptionLine:
        """The record as the model made it.

        Raises:
            CtgiError: the file was changed by something else than appending.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(entry.start)
                content = file.readline()
            line = caption_line(self.path, JsonLine(entry.line, entry.start, content, parse_json(content)))
        except (OSError, TextError):
            line = None
        if line is None or line.path != entry.path:
            raise CtgiError(f"{plain(str(self.path))} was changed meanwhile: load the page anew") from None
        return line

    def find(self, image: str) -> Entry | None:
        """The last entry of an image."""
        rows = self._rows_of_image.get(image)
        return self.entries[rows[-1]] if rows else None

    def wanted(self, wanted: Wanted) -> list[Entry]:
        """The entries that fit, in the order of the file."""
        return [entry for entry in self.entries if wanted.fits(entry)]

    def __iter__(self) -> Iterator[CaptionLine]:
        """The records as the model made them, one for each path."""
        return map(self.read, self.entries)

    def _has_only_grown(self, state: tuple[int, int, int]) -> bool:
        if state == self._state or self._last is None:
            return True
        if state[0] != self._state[0] or state[1] <= self._state[1]:
            return False
        with self.path.open("rb") as file:
            file.seek(self._last.start)
            return file.read(len(self._last.content)) == self._last.content

    def _take_new(self) -> None:
        for line in json_lines(self.path, "captions", after=self._last):
            if line.is_torn:  # its other half is on its way
                return
            self._put(caption_line(self.path, line), line.number, line.start)
            self._last = line._replace(value=None)

    def _put(self, line: CaptionLine, number: int, start: int) -> None:
        entry = _entry(line, self.corrections, number, start)
        row = self._rows.setdefault(line.path, len(self.entries))
        if row == len(self.entries):
            self.entries.append(entry)
        elif not entry.has_caption and self.entries[row].has_caption and self.entries[row].start != start:
            return  # an image whose caption failed later keeps the one it has, as in exports
        else:
            self.entries[row] = entry
        self._attributes.update(turn.attribute for turn in entry.turns if turn.attribute)
        rows = self._rows_of_image.setdefault(entry.image, [])
        if row not in rows:
            rows.append(row)


def _state(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _entry(line: CaptionLine, corrections: Corrections, number: int, start: int) -> Entry:
    corrected = corrections.apply(line)
    answers = [str(turn.get("answer") or "") for turn in corrected.turns]
    return Entry(
        path=line.path,
        image=intern(line.image),
        line=number,
        start=start,
        text="\n".join([line.path, corrected.caption, *answers]).casefold(),
        caption=hash(corrected.caption),
        confidence=corrected.confidence,
        turns=tuple(map(_turn, corrected.turns)),
        corrected=corrected.corrected or corrected.turns != line.turns,
        has_caption=corrected.has_caption,
    )


def _turn(turn: dict[str, object]) -> _Turn:
    sure = turn.get("confidence")
    reason = "" if turn.get("kept") else str(turn.get("reason") or "").partition(":")[0]
    return _Turn(
        intern(str(turn.get("attribute") or "")), float(sure) if isinstance(sure, int | float) else None, intern(reason)
    )
