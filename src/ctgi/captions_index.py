"""A captions file to browse: what is asked for often lies in a temporary file, the rest is read where it stands."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from ctgi.caption_table import Asked, CaptionTable, Entry, Known, Wanted
from ctgi.captions import CaptionLine, caption_line
from ctgi.corrections import Corrections, corrections_path, read_corrections
from ctgi.errors import CtgiError
from ctgi.places import key_of
from ctgi.reading import Json, JsonLine, TextError, json_lines, parse_json, parse_quickly
from ctgi.text import plain

_AT_ONCE, _BUFFER = 256, 2**15
_REMEMBERED = 5
"""Filters whose records are known, for whoever turns the pages; 8 bytes a record each."""


class Entries(Sequence[Entry]):
    """Some images of a captions file in its order, each looked up when it is asked for."""

    def __init__(self, table: CaptionTable, starts: NDArray[np.int64]) -> None:
        self._table = table
        self.starts = starts
        """Of their lines, in bytes."""

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, place: int) -> Entry: ...

    @overload
    def __getitem__(self, place: slice) -> "Entries": ...

    def __getitem__(self, place: int | slice) -> "Entry | Entries":
        if isinstance(place, slice):
            return Entries(self._table, self.starts[place])
        found = self._table.at(int(self.starts[place]))
        if found is None:
            raise CtgiError("the captions were changed meanwhile: load the page anew")
        return found

    def those_at(self, starts: NDArray[np.int64]) -> "Entries":
        """Those of them whose lines begin there."""
        return Entries(self._table, self.starts[np.isin(self.starts, starts)])

    def beside(self, image: str) -> tuple[Entry | None, Entry | None]:
        """The image before one, by its name, and the one after it."""
        same = [one.start for one in self._table.of_image(image)]
        places = np.flatnonzero(np.isin(self.starts, same))
        if not len(places):
            return None, None
        at = int(places[0])
        return self[at - 1] if at else None, self[at + 1] if at + 1 < len(self) else None


class CaptionsIndex:
    """The images of a captions file in its order; a later record of a path replaces the one before.

    May be asked from several threads. `refresh` takes in what was written since. Some 300 bytes of an image are in a
    temporary file, 8 to 24 in memory.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is read before the first `refresh`."""
        self.path = path
        self._lock = Lock()
        self._forget()

    def _forget(self) -> None:
        self.corrections = Corrections()
        self._table = CaptionTable()
        self._last: JsonLine | None = None
        self._state = self._corrected = (0, 0, 0)
        self._found: dict[Wanted, Entries] = {}

    @property
    def entries(self) -> Entries:
        """All of them, in the order of the file."""
        return self.wanted(Wanted())

    @property
    def attributes(self) -> list[str]:
        """All that was asked about, in alphabetical order."""
        return sorted(self._table.attributes)

    def refresh(self) -> None:
        """Take in what was appended, corrected or replaced since.

        Raises:
            CtgiError: a file cannot be read, a line is no record, or the temporary file cannot be written.
        """
        with self._lock:
            try:
                self._refresh()
            except CtgiError:
                self._forget()
                raise

    def _refresh(self) -> None:
        state, corrected = _state(self.path), _state(corrections_path(self.path))
        if not self._has_only_grown(state):
            self._forget()
        if (state, corrected) == (self._state, self._corrected):
            return
        if corrected != self._corrected:
            self.corrections = read_corrections(self.path)
            found = [one for image in self.corrections.images for one in self._table.of_image(image)]
            self._put((one.start, line) for one, line in zip(found, self._read(found), strict=True))
        if state != self._state:
            self._take_new()
        self._state, self._corrected, self._found = state, corrected, {}

    def read(self, entry: Entry) -> CaptionLine:
        """The record as the model made it.

        Raises:
            CtgiError: the file was changed by something else than appending.
        """
        return next(self._read([entry]))

    def find(self, image: str) -> Entry | None:
        """The last entry of an image."""
        return next(reversed(self._table.of_image(image)), None)

    def wanted(self, wanted: Wanted) -> Entries:
        """The entries that fit, in the order of the file.

        Raises:
            CtgiError: as `read` does, where words are wanted.
        """
        table, known = self._table, self._found
        found = known.get(wanted)
        if found is None:
            starts = table.starts(wanted)
            if wanted.text:
                starts = starts[self._say(starts, wanted.text.casefold())]
            found = known[wanted] = Entries(table, starts)
            for old in list(known)[:-_REMEMBERED]:
                known.pop(old, None)
        return found

    def differing(self, other: "CaptionsIndex") -> tuple[NDArray[np.int64], int]:
        """Where the lines begin whose caption another file has otherwise; how many images it has no record of."""
        ours, theirs = self._table.said(), other._table.said()
        theirs = theirs[np.argsort(theirs["image"], kind="stable")]
        places = np.searchsorted(theirs["image"], ours["image"], side="right") - 1
        there = np.zeros(len(ours), bool)
        if len(theirs):
            there = theirs["image"][places] == ours["image"]  # the last of an image counts
        differ = there.copy()
        differ[there] = theirs["caption"][places[there]] != ours["caption"][there]
        return ours["start"][differ], int((~there).sum())

    def __iter__(self) -> Iterator[CaptionLine]:
        """The records as the model made them, one for each path."""
        return self._read(self.entries)

    def _read(self, entries: Iterable[Entry]) -> Iterator[CaptionLine]:
        with self._opened() as file:
            for entry in entries:
                line = self._line(_content(file, entry.start), parse_json)
                if key_of(line.path) != entry.path:
                    raise TextError("another line")
                yield line

    def _say(self, starts: NDArray[np.int64], words: str) -> NDArray[np.bool_]:
        """Whether each of the records that begin there has these words, folded, in path, caption or an answer."""
        found, corrected = np.zeros(len(starts), bool), self._table.corrected()
        order = np.argsort(starts)
        with self._opened() as file:
            for place, start in zip(order.data, starts[order].data, strict=True):
                content = _content(file, start)
                if start in corrected or _may_say(content, words):
                    line = self.corrections.apply(self._line(content, parse_quickly))
                    found[place] = words in _folded(line)
        return found

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """The file, of which nothing but its end may have changed."""
        try:
            with self.path.open("rb", buffering=_BUFFER) as file:
                yield file
        except (OSError, TextError):
            raise CtgiError(f"{plain(str(self.path))} was changed meanwhile: load the page anew") from None

    def _line(self, content: bytes, parse: Callable[[bytes], Any]) -> CaptionLine:
        line = JsonLine(0, 0, content, parse(content))
        try:
            return caption_line(self.path, line)
        except CtgiError:
            raise TextError("no record") from None

    def _has_only_grown(self, state: tuple[int, int, int]) -> bool:
        if state == self._state or self._last is None:
            return True
        if state[0] != self._state[0] or state[1] <= self._state[1]:
            return False
        with self.path.open("rb") as file:
            file.seek(self._last.start)
            return file.read(len(self._last.content)) == self._last.content

    def _take_new(self) -> None:
        since = self._last.start + 1 if self._last else 0
        lines = json_lines(self.path, "captions", after=self._last, quick=True)
        whole = takewhile(lambda line: not line.is_torn, lines)  # the other half of a torn one is on its way
        while some := list(islice(whole, _AT_ONCE)):
            self._put((line.start, caption_line(self.path, line)) for line in some)
            self._last = some[-1]._replace(value=None)
        self._table.settle(since)

    def _put(self, lines: Iterable[tuple[int, CaptionLine]]) -> None:
        self._table.add([_known(line, self.corrections.apply(line), start) for start, line in lines])


def _state(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _content(file: BinaryIO, start: int) -> bytes:
    file.seek(start)
    return file.readline()


def _known(line: CaptionLine, corrected: CaptionLine, start: int) -> Known:
    turns = corrected.turns
    entry = Entry(
        start=start,
        path=key_of(line.path),
        image=key_of(line.image),
        caption=hash(corrected.caption),
        corrected=corrected.corrected or turns != line.turns,
        has_caption=corrected.has_caption,
    )
    return Known(entry, corrected.confidence, [*map(_asked, turns)])


def _asked(turn: Json) -> Asked:
    sure = turn.get("confidence")
    reason = "" if turn.get("kept") else str(turn.get("reason") or "").partition(":")[0]
    return str(turn.get("attribute") or ""), float(sure) if isinstance(sure, int | float) else None, reason


def _folded(line: CaptionLine) -> str:
    """Path, caption and answers of a record, to search in, whatever their case."""
    answers = [str(turn.get("answer") or "") for turn in line.turns]
    return "\n".join([line.path, line.caption, *answers]).casefold()


def _may_say(content: bytes, words: str) -> bool:
    """Whether a line may have these words, folded; quickly told of plain ASCII, which stands there as it is."""
    if b"\\" in content or not content.isascii() or "\n" in words:
        return True
    return words.isascii() and words.encode() in content.lower()
