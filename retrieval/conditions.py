"""Conditions of SQL over what is known of images: checked, and answered by SQLite, which may do nothing else."""

import os
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import ArgumentError
from ctgi.retrieval.condition_traps import trap_in
from ctgi.retrieval.condition_words import Word, words_of
from ctgi.retrieval.metadata import PATH, Value, as_time
from ctgi.suggest import did_you_mean
from ctgi.text import plain

_FUNCTIONS = {
    "abs", "coalesce", "date", "datetime", "glob", "ifnull", "iif", "instr", "json_extract", "json_array_length",
    "julianday", "length", "like", "lower", "ltrim", "max", "min", "nullif", "round", "rtrim", "strftime", "substr",
    "substring", "time", "trim", "typeof", "unixepoch", "upper", "->", "->>",
}  # fmt: skip
_LONGEST = 10_000
_STEPS, _STEPS_PER_ROW = 10_000_000, 1_000
"""Steps of SQLite's machine after which a filter is stopped; a plain comparison takes about ten for each row."""
_FAULTS_OF_FILES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR}
_LITERAL = re.compile(r"'((?:[^']|'')*)'")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}([ T][\d:.]*)?\.?")
KEPT_TIME = "____-__-__ __:__:__%"
"""How LIKE finds a time as `as_time` writes it."""
_CURLY = "\u2018\u2019\u201a\u201c\u201d\u201e\u00b4`"
"""Quotes of word processors, which SQL takes for letters."""


class Conditions:
    """Rows of images and what is known of them, for conditions of SQL. Threads may share it."""

    def __init__(
        self,
        kinds: Mapping[str, str],
        rows: Iterable[Sequence[Value]] = (),
        base: sqlite3.Connection | None = None,
    ) -> None:
        """Take in rows, or take them where they are.

        Args:
            kinds: NUMERIC or TEXT for each column beside the path.
            rows: the path and the values of the columns, row by row.
            base: has them already, in a table `images` whose own numbers are the rows.
        """
        self._lock = threading.Lock()
        self.names = (PATH, *kinds)
        self._kinds = {name.lower(): kind for name, kind in {PATH: "TEXT", **kinds}.items()}
        self._row = number_of_row(kinds)
        # without a name: a file that goes with it
        self._base = base or sqlite3.connect("", check_same_thread=False, isolation_level=None, uri=True)
        if base is None:
            self._take(kinds, rows)
        self._base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000)
        self._base.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200)

    def _take(self, kinds: Mapping[str, str], rows: Iterable[Sequence[Value]]) -> None:
        listed = "".join(f", {quoted(name)} {kind}" for name, kind in kinds.items())
        self._base.execute(f"CREATE TABLE images (path{listed})")
        marks = ", ".join("?" * (len(kinds) + 2))
        columns = "".join(f", {quoted(name)}" for name in kinds)
        numbered = ([row, key_of(str(path)), *values] for row, (path, *values) in enumerate(rows))
        self._base.executemany(f"INSERT INTO images ({self._row}, path{columns}) VALUES ({marks})", numbered)

    def rows(self, where: str) -> NDArray[np.int64]:
        """The rows of the images for which an expression of SQL holds, ascending.

        Times in it may be written in any form of ISO 8601.

        Raises:
            ArgumentError: it is not an expression over the columns; names them.
            sqlite3.Error: the rows cannot be read.
        """
        told = self.checked(where)
        with self._lock, self._only_reading():
            try:
                found = self._base.execute(
                    f"SELECT {self._row}, ({told}\n) IN (0, 1) FROM images "
                    f"WHERE coalesce(({told}\n), 0) IS NOT 0 ORDER BY {self._row}"
                )
                answers = np.fromiter(chain.from_iterable(found), np.int64).reshape(
                    -1, 2
                )  # a list takes ten times that
            except (sqlite3.Error, sqlite3.Warning) as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in _FAULTS_OF_FILES:
                    raise
                raise ArgumentError(self._explained(where, error, ends_early=self._ends_early(told))) from None
        rows, are_answers = answers.T
        if not are_answers.all():
            raise ArgumentError(
                f"where: {plain(where)[:200]}: neither true nor false: compare it, as in camera = 'north'"
            )
        return rows.copy()

    def checked(self, where: str) -> str:
        """The condition with its times as they are kept.

        Raises:
            ArgumentError: it reaches beyond itself, has an unknown name or date, or means nothing; other faults show
                when it is answered.
        """
        if len(where) > _LONGEST:
            raise ArgumentError(f"where: {len(where):,} characters: expected {_LONGEST:,} at most")
        words = words_of(where)
        self._check_names(words)
        _check_form(where, words)
        self._check_dates(where)
        if trap := trap_in(words, self._kinds, self._example):
            raise ArgumentError(f"where: {plain(where)[:200]}: {trap}")
        return _LITERAL.sub(lambda found: f"'{as_time(found[1])}'", where)

    def named(self, column: str) -> str:
        """A column's name as it is known, whatever its case.

        Raises:
            ArgumentError: there is no such column; names them.
        """
        name = {known.lower(): known for known in self.names}.get(column.lower())
        if name is None:
            raise ArgumentError(self._no_column(column))
        return name

    def values(self, column: str) -> list[Value]:
        """A column's value for each row of the gallery.

        Raises:
            ArgumentError: there is no such column; names them.
        """
        name = self.named(column)
        with self._lock:
            return [value for (value,) in self._base.execute(f"SELECT {quoted(name)} FROM images ORDER BY {self._row}")]

    def _check_names(self, words: Iterable[Word]) -> None:
        """SQLite takes an unknown name in double quotes for a text, which would silently match nothing."""
        for word in words:
            if word.kind == "quoted" and str(word.name).lower() not in self._kinds:
                raise ArgumentError(f"where: {self._no_column(str(word.name))}")

    def _check_dates(self, where: str) -> None:
        """A date in another form would be compared as a text, which is silently wrong."""
        dates = [text for text in _LITERAL.findall(where) if _DATE.fullmatch(text) and as_time(text) == text]
        words = {word.lower() for word in re.findall(r"\w+", where)}
        if dates and any(self._has_times(name) for name in self.names if name.lower() in words):
            raise ArgumentError(f"where: {plain(dates[0])} is no date of ISO 8601: write it like 2026-11-05")

    def _has_times(self, name: str) -> bool:
        query = f"SELECT 1 FROM images WHERE {quoted(name)} LIKE '{KEPT_TIME}' LIMIT 1"
        with self._lock:
            return self._base.execute(query).fetchone() is not None

    def _example(self, name: str) -> Value:
        """A value of a column: a time where it has one."""
        column = quoted(name)
        query = f"SELECT {column} FROM images WHERE {column}"
        with self._lock:
            for told in (f"LIKE '{KEPT_TIME}'", "IS NOT NULL"):
                for (value,) in self._base.execute(f"{query} {told} LIMIT 1"):
                    return value if isinstance(value, (str, int, float)) else None
        return None

    def _no_column(self, name: str) -> str:
        cure = did_you_mean(name, self.names)
        text = name.strip(_CURLY).replace("'", "''")
        columns = f"; the columns are {', '.join(self.names)[:2000]}"
        return plain(f"no column {name}{cure}{columns}" + ("" if cure else f"; texts stand in single quotes: '{text}'"))

    def _ends_early(self, told: str) -> bool:
        """Whether more is expected: without what stands behind a condition SQLite says so."""
        try:
            self._base.execute(f"SELECT 1 FROM images WHERE {told}").close()
        except (sqlite3.Error, sqlite3.Warning) as error:
            return "incomplete input" in str(error)
        return False

    def _explained(self, where: str, error: Exception, *, ends_early: bool) -> str:
        shown = f"where: {plain(where)[:200]}"
        if missing := re.fullmatch(r"no such column: (.*)", str(error)):
            return f"where: {self._no_column(missing[1])}"
        if missing := re.fullmatch(r"(?:no such function: |not authorized to use function: )(.*)", str(error)):
            known = ", ".join(sorted(filter(str.isidentifier, _FUNCTIONS)))
            cure = did_you_mean(missing[1], _FUNCTIONS) or f"; those are {known}"
            return plain(f"{shown}: no function {missing[1]} here{cure}")
        if "interrupted" in str(error):
            return f"{shown}: takes too long: make it simpler"
        fault = "it ends too early, a value is missing" if ends_early else plain(str(error))
        return plain(
            f"{shown}: {fault}: expected a condition like camera = 'north' and time >= '2026-11-01'; "
            f"the columns are {', '.join(self.names)[:2000]}"
        )

    @contextmanager
    def _only_reading(self) -> Iterator[None]:
        """Whoever wrote the expression may only read these columns, with few functions and for a while."""
        rows = (self._base.execute(f"SELECT max({self._row}) FROM images").fetchone()[0] or 0) + 1
        left = iter(range((_STEPS + _STEPS_PER_ROW * rows) // 1000))  # the handler is called every 1,000 steps
        self._base.set_progress_handler(lambda: next(left, None) is None, 1000)
        self._base.set_authorizer(_permit)
        try:
            yield
        finally:
            self._base.set_authorizer(None)
            self._base.set_progress_handler(None, 0)


def _check_form(where: str, words: Sequence[Word]) -> None:
    """Raise ArgumentError for what would end the condition early, or reach beyond it."""
    if not words:
        raise ArgumentError("where is empty: expected a condition like camera = 'north'")
    if any(word.told in ("'", '"', "`", "[") for word in words):
        told = "a quote is not closed; one within a text is written twice, as in 'it''s'"
        raise ArgumentError(f"where: {plain(where)[:200]}: {told}")
    depth = 0
    for word in words:
        depth += {"(": 1, ")": -1}.get(word.told, 0)
        if depth < 0:
            break
    if depth:
        raise ArgumentError(f"where: {plain(where)[:200]}: a bracket is not closed, or was never opened")


def _permit(action: int, first: str | None, second: str | None, *_: object) -> int:
    """SQLite's question whether a statement may do a thing."""
    allowed = action == sqlite3.SQLITE_SELECT or (action == sqlite3.SQLITE_READ and first == "images")
    if action == sqlite3.SQLITE_FUNCTION:
        allowed = second in _FUNCTIONS
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def quoted(name: str) -> str:
    """A name in a statement of SQL."""
    return '"' + name.replace('"', '""') + '"'


def number_of_row(columns: Iterable[str]) -> str:
    """A name for the number of a row in SQLite that no column has."""
    taken = {name.lower() for name in columns}
    return next(name for name in ("rowid", "oid", "_rowid_") if name not in taken)


def key_of(path: str) -> str | bytes:
    """A path as SQLite can keep it; one that is not UTF-8 as its bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path
