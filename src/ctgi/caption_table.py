"""What is known of each image of a captions file, in a temporary file: little memory, however many there are."""

import marshal
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ctgi.places import key_of, on_temporary_disk, temporary_base

CORRECTED, WITHOUT = "corrected", "without"
REASONS = ("contradictory", "irrelevant", "redundant", "unusable")
"""Why an answer was dropped: the first words of `Turn.reason`."""

_TABLE = """
CREATE TABLE records (
    start INTEGER PRIMARY KEY, place INT, path BLOB, image BLOB, caption INT, corrected INT, has_caption INT,
    confidence REAL, turns BLOB
)
"""
_RECORD = """
INSERT INTO records VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (start) DO UPDATE SET
caption = excluded.caption, corrected = excluded.corrected, has_caption = excluded.has_caption,
confidence = excluded.confidence, turns = excluded.turns
"""
_REPEATED = """
SELECT DISTINCT path FROM records AS new
WHERE start >= ? AND EXISTS (SELECT 1 FROM records WHERE path = new.path AND start < new.start)
"""
_ENTRY = "SELECT start, path, image, caption, corrected, has_caption FROM records WHERE"
_PLACED = np.dtype([("place", np.int64), ("start", np.int64)])
SAID = np.dtype([*_PLACED.descr, ("image", "S16"), ("caption", np.int64)])


class Entry(NamedTuple):
    """One image of a captions file, as people corrected it."""

    start: int
    """Of its line, in bytes."""
    path: bytes
    """As `ctgi.places.key_of` has it."""
    image: bytes
    """The same of its `ctgi.captions.image_name`."""
    caption: int
    """Hash of the caption."""
    corrected: bool
    """Whether a person changed the caption or an answer."""
    has_caption: bool


Asked = tuple[str, float | None, str]
"""What a question asked about, how sure the answer is, and why it was dropped; empty if it was kept."""


class Known(NamedTuple):
    """What is taken in of a record."""

    entry: Entry
    confidence: float | None
    turns: list[Asked]


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

    @property
    def conditions(self) -> dict[str, bool | float]:
        """All but the words, in SQL over `CaptionTable`, with one value each."""
        found: dict[str, bool | float] = {}
        if self.only in (CORRECTED, WITHOUT):
            found["corrected = ?" if self.only == CORRECTED else "has_caption = NOT ?"] = True
        if self.below is not None and not self.attribute:
            found["confidence < ?"] = self.below
        if self.attribute or self._reason:
            found["asks(turns) = ?"] = True
        return found

    def asks(self, turns: Sequence[Asked]) -> bool:
        """Whether the questions of a record and their answers are as wanted."""
        if self.attribute:
            turns = [turn for turn in turns if turn[0] == self.attribute]
            known = [sure for _, sure, _ in turns if sure is not None]
            if not turns or (self.below is not None and not any(sure < self.below for sure in known)):
                return False
        return not self._reason or any(why == self._reason for _, _, why in turns)

    @property
    def _reason(self) -> str:
        return "" if self.only in (CORRECTED, WITHOUT) else self.only


class CaptionTable:
    """One record for each path, in the order in which the paths came first. Threads may share it."""

    def __init__(self) -> None:
        self.attributes: set[str] = set()
        """All that was asked about."""
        self._lock = Lock()
        self._base = temporary_base()
        self._base.execute(_TABLE)

    def __del__(self) -> None:
        self._base.close()

    def add(self, records: Sequence[Known]) -> None:
        """Take in new records, or known ones as they were corrected since.

        Raises:
            CtgiError: the temporary file cannot be written.
        """
        with self._asking() as base:
            base.execute("BEGIN")
            base.executemany(_RECORD, ((*one.entry, one.confidence, marshal.dumps(one.turns)) for one in records))
            base.execute("COMMIT")
        self.attributes.update(attribute for one in records for attribute, _, _ in one.turns if attribute)

    def settle(self, since: int) -> None:
        """Of several records of a path keep the last with a caption, else the last, at the place of the first.

        since: where those lines begin that were added since the last time. Raises as `add` does.
        """
        with self._asking() as base:
            base.execute("CREATE INDEX IF NOT EXISTS by_path ON records (path)")
            base.execute("CREATE INDEX IF NOT EXISTS by_image ON records (image)")
            base.execute("BEGIN")
            for (path,) in base.execute(_REPEATED, [since]).fetchall():
                found = base.execute("SELECT has_caption, start, place FROM records WHERE path = ?", [path]).fetchall()
                _, kept, _ = max(found)
                for _, start, _ in found:
                    if start != kept:
                        base.execute("DELETE FROM records WHERE start = ?", [start])
                base.execute("UPDATE records SET place = ? WHERE start = ?", [min(one[2] for one in found), kept])
            base.execute("COMMIT")

    def at(self, start: int) -> Entry | None:
        """The record of the line that begins there."""
        return next(iter(self._entries("start = ?", start)), None)

    def of_image(self, image: str) -> list[Entry]:
        """The records of an image, by its name, in order."""
        return self._entries("image = ? ORDER BY place", key_of(image))

    def corrected(self) -> set[int]:
        """Where the lines begin of the records that people corrected."""
        return {one.start for one in self._entries("corrected = ?", 1)}

    def starts(self, wanted: Wanted) -> NDArray[np.int64]:
        """Where the lines begin that are wanted, whatever their words, in order."""
        conditions = wanted.conditions
        with self._asking() as base:
            base.create_function("asks", 1, lambda turns: wanted.asks(marshal.loads(turns)))
            rows = base.execute(
                f"SELECT place, start FROM records WHERE {' AND '.join(['TRUE', *conditions])}", [*conditions.values()]
            )
            return np.ascontiguousarray(_in_order(rows, _PLACED)["start"])

    def said(self) -> NDArray[np.void]:
        """Line, image and hash of the caption of each record, in order, as `SAID`."""
        with self._asking() as base:
            return _in_order(base.execute("SELECT place, start, image, caption FROM records"), SAID)

    def _entries(self, condition: str, value: int | bytes) -> list[Entry]:
        with self._asking() as base:
            return [Entry(*row) for row in base.execute(f"{_ENTRY} {condition}", [value])]

    @contextmanager
    def _asking(self) -> Iterator[sqlite3.Connection]:
        with self._lock, on_temporary_disk():
            yield self._base


def _in_order(rows: Iterable[tuple[object, ...]], kind: np.dtype[np.void]) -> NDArray[np.void]:
    found = np.fromiter(rows, kind)
    return found[np.argsort(found["place"], kind="stable")]
