"""What is known of a gallery's images beside their pixels: camera, site, time, and whatever a table says.

One SQLite file beside the gallery, shared by the galleries of all encoders. It is only read by searches, and an update
replaces it as a whole.
"""

import os
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import ArgumentError, CtgiError
from ctgi.retrieval.metadata import PATH, Value, as_time, is_number, read_metadata
from ctgi.suggest import did_you_mean
from ctgi.text import plain

FILE = "columns.sqlite"
_MOST_COLUMNS = 1000
_FUNCTIONS = {
    "abs", "coalesce", "date", "datetime", "glob", "ifnull", "iif", "instr", "json_extract", "json_array_length",
    "julianday", "length", "like", "lower", "ltrim", "max", "min", "nullif", "round", "rtrim", "strftime", "substr",
    "substring", "time", "trim", "typeof", "unixepoch", "upper", "->", "->>",
}  # fmt: skip
_LONGEST = 10_000
_STEPS, _STEPS_PER_ROW = 10_000_000, 10_000
"""Steps of SQLite's machine after which a filter is stopped."""
_LITERAL = re.compile(r"'((?:[^']|'')*)'")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?(\*/|$)", re.DOTALL)
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}([ T][\d:.]*)?\.?")
_KEPT_TIME = "____-__-__ __:__:__%"
_QUOTED = re.compile(r"\"((?:[^\"]|\"\")*)\"|`([^`]*)`|\[([^\]]*)\]")


@dataclass(frozen=True)
class ColumnsReport:
    """What is known of a gallery's images after an update."""

    names: tuple[str, ...]
    images: int
    """Images of the gallery of which anything is known."""
    unmatched: int
    """Rows of the given tables whose image is not in the gallery."""
    mixed: dict[str, str]
    """Columns of numbers with a text among them, which are compared as texts: column -> the text."""


def update_columns(home: Path, paths: Iterable[str], tables: Sequence[Path], root: Path) -> ColumnsReport:
    """Take over what tables say of the gallery's images; what was known before stays where they say nothing.

    Args:
        home: the folder of the gallery, or of those of several encoders.
        paths: its images, from `root`.
        tables: .csv, .tsv or .jsonl; a later one counts where two say something of an image.
        root: the folder of the images.

    Raises:
        CtgiError: a table cannot be read or names an image twice, or the file cannot be written.
    """
    place, written = home / FILE, home / f".{FILE}.{os.getpid()}.tmp"
    try:
        with closing(sqlite3.connect(written, isolation_level=None)) as base:
            base.execute("PRAGMA journal_mode = OFF")
            base.execute("PRAGMA synchronous = OFF")
            base.execute("BEGIN")
            report = _fill(base, place, paths, tables, root)
            base.execute("COMMIT")
            base.execute("VACUUM")
        with written.open("rb") as file:
            os.fsync(file.fileno())
        written.replace(place)
    except sqlite3.Error as error:
        raise CtgiError(f"{plain(str(place))}: cannot be written ({error}): free some space, or remove it") from None
    finally:
        written.unlink(missing_ok=True)
    return report


def _fill(
    base: sqlite3.Connection, before: Path, paths: Iterable[str], tables: Sequence[Path], root: Path
) -> ColumnsReport:
    base.execute(f"CREATE TABLE found ({PATH} PRIMARY KEY) WITHOUT ROWID")
    base.executemany("INSERT INTO found VALUES (?)", ((_key(path),) for path in paths))
    base.execute(f"CREATE TABLE known ({PATH} PRIMARY KEY)")
    names: list[str] = []
    if before.exists():
        with closing(_opened(before)) as old:
            names = _names(old)
            for name in names:
                base.execute(f"ALTER TABLE known ADD COLUMN {_quoted(name)}")
            marks = ", ".join("?" * (len(names) + 1))
            base.executemany(f"INSERT INTO known VALUES ({marks})", old.execute("SELECT * FROM images"))
            base.execute(f"DELETE FROM known WHERE {PATH} NOT IN (SELECT {PATH} FROM found)")
    unmatched = sum(_take_over(base, names, table, root) for table in tables)
    base.create_function("is_number", 1, is_number, deterministic=True)
    mixed = {name: _text_among_numbers(base, name) for name in names}
    kinds = {name: "NUMERIC" if text is None else "TEXT" for name, text in mixed.items()}
    columns = "".join(f", {_quoted(name)} {kind}" for name, kind in kinds.items())
    base.execute(f"CREATE TABLE images ({PATH} PRIMARY KEY{columns})")
    base.execute("INSERT INTO images SELECT * FROM known")
    base.execute("DROP TABLE known")
    base.execute("DROP TABLE found")
    images = base.execute("SELECT count(*) FROM images").fetchone()[0]
    return ColumnsReport(tuple(names), images, unmatched, {name: text for name, text in mixed.items() if text})


def _take_over(base: sqlite3.Connection, names: list[str], table: Path, root: Path) -> int:
    """Add a table's rows; returns how many are of no image of the gallery."""
    base.execute(f"CREATE TABLE named ({PATH} PRIMARY KEY) WITHOUT ROWID")
    unmatched = 0
    for row in read_metadata(table, root):
        here = [
            key for key in map(_key, row.places) if base.execute("SELECT 1 FROM found WHERE path = ?", [key]).fetchall()
        ]
        if not here:
            unmatched += 1
            continue
        try:
            base.execute("INSERT INTO named VALUES (?)", here[:1])
        except sqlite3.IntegrityError:
            raise CtgiError(f"{plain(str(table))}, line {row.line}: the second row of {plain(row.places[0])}") from None
        _add_columns(base, names, row.values, table, row.line)
        base.execute("INSERT OR IGNORE INTO known (path) VALUES (?)", here[:1])
        if row.values:
            told = ", ".join(f"{_quoted(name)} = ?" for name in row.values)
            base.execute(f"UPDATE known SET {told} WHERE path = ?", [*row.values.values(), here[0]])
    base.execute("DROP TABLE named")
    return unmatched


def _add_columns(base: sqlite3.Connection, names: list[str], values: Iterable[str], table: Path, line: int) -> None:
    for name in values:
        if name in names:
            continue
        same = {known.lower(): known for known in (PATH, *names)}.get(name.lower())
        if same is not None or len(names) == _MOST_COLUMNS or not name:
            what = f"the column {name!r} is too like {same!r}" if same else f"more than {_MOST_COLUMNS} named columns"
            raise CtgiError(f"{plain(str(table))}, line {line}: {plain(what)}: rename it, or leave columns out")
        base.execute(f"ALTER TABLE known ADD COLUMN {_quoted(name)}")
        names.append(name)


def _text_among_numbers(base: sqlite3.Connection, name: str) -> str | None:
    """None for a column of numbers; else a text of it that is none, where most values are numbers, or nothing."""
    column = _quoted(name)
    told = f"typeof({column}) IN ('text', 'blob') AND NOT is_number({column})"
    texts, text = base.execute(f"SELECT count(*), min({column}) FROM known WHERE {told}").fetchone()
    if not texts:
        return None
    values = base.execute(f"SELECT count({column}) FROM known").fetchone()[0]
    return str(text) if 2 * texts < values else ""


def column_names(home: Path) -> tuple[str, ...]:
    """What is known of the images of a gallery; empty where only their paths are."""
    place = home / FILE
    if not place.exists():
        return ()
    try:
        with closing(_opened(place)) as base:
            return tuple(_names(base))
    except sqlite3.Error:
        return ()


class Columns:
    """What is known of the images of an open gallery. Threads may share it."""

    def __init__(self, place: Path, paths: Iterable[str]) -> None:
        """Read the file beside a gallery.

        Args:
            place: the SQLite file; where there is none, only the paths are known.
            paths: the gallery's images, row by row.

        Raises:
            CtgiError: it is damaged.
        """
        self._place = place
        self._lock = threading.Lock()
        self._base = sqlite3.connect(
            "", check_same_thread=False, isolation_level=None, uri=True
        )  # a file that goes with it
        try:
            self._take_in(paths)
        except sqlite3.Error as error:
            raise CtgiError(f"{plain(str(place))}: damaged ({error}): remove it, and run ctgi index again") from None
        self._base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000)
        self._base.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200)

    def _take_in(self, paths: Iterable[str]) -> None:
        base = self._base
        base.execute("CREATE TABLE placed (row INTEGER PRIMARY KEY, path)")
        base.executemany("INSERT INTO placed VALUES (?, ?)", ((row, _key(path)) for row, path in enumerate(paths)))
        kinds: dict[str, str] = {}
        if self._place.exists():
            base.execute("ATTACH ? AS file", [f"{self._place.absolute().as_uri()}?mode=ro"])
            kinds = {name: kind for _, name, kind, *_ in base.execute("PRAGMA file.table_info(images)") if name != PATH}
        self.names = (PATH, *kinds)
        self._row = next(name for name in ("rowid", "oid", "_rowid_") if name not in map(str.lower, kinds))
        base.execute(f"CREATE TABLE images (path{''.join(f', {_quoted(name)} {kinds[name]}' for name in kinds)})")
        listed = "".join(f", {_quoted(name)}" for name in kinds)
        known = " LEFT JOIN file.images USING (path)" if kinds else ""
        base.execute(f"INSERT INTO images ({self._row}, path{listed}) SELECT row, path{listed} FROM placed{known}")
        base.execute("DROP TABLE placed")
        if self._place.exists():
            base.execute("DETACH file")

    def rows(self, where: str) -> NDArray[np.int64]:
        """The rows of the images for which an expression of SQL holds, ascending.

        Times in it may be written in any form of ISO 8601.

        Raises:
            ArgumentError: it is not an expression over the columns; names them.
        """
        self._check_names(where)
        _check_form(where)
        self._check_dates(where)
        told = _LITERAL.sub(lambda found: f"'{as_time(found[1])}'", where)
        with self._lock, self._only_reading():
            try:
                found = self._base.execute(
                    f"SELECT {self._row}, ({told}\n) IN (0, 1) FROM images WHERE ({told}\n) ORDER BY {self._row}"
                ).fetchall()
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise ArgumentError(self._explained(where, error)) from None
        if not all(is_answer for _, is_answer in found):
            raise ArgumentError(
                f"where: {plain(where)[:200]}: neither true nor false: compare it, as in camera = 'north'"
            )
        return np.array([row for row, _ in found], np.int64)

    def values(self, column: str) -> list[Value]:
        """A column's value for each row of the gallery.

        Raises:
            ArgumentError: there is no such column; names them.
        """
        name = {known.lower(): known for known in self.names}.get(column.lower())
        if name is None:
            raise ArgumentError(self._no_column(column))
        with self._lock:
            return [
                value for (value,) in self._base.execute(f"SELECT {_quoted(name)} FROM images ORDER BY {self._row}")
            ]

    def _check_names(self, where: str) -> None:
        """SQLite takes an unknown name in double quotes for a text, which would silently match nothing."""
        if len(where) > _LONGEST:
            raise ArgumentError(f"where: {len(where):,} characters: expected {_LONGEST:,} at most")
        known = {name.lower() for name in self.names}
        for found in _QUOTED.finditer(_LITERAL.sub("''", where)):
            name = next(part for part in found.groups() if part is not None).replace('""', '"')
            if name.lower() not in known:
                cure = "" if did_you_mean(name, self.names) else f"; texts stand in single quotes: '{name}'"
                raise ArgumentError(f"where: {self._no_column(name)}{plain(cure)}")

    def _check_dates(self, where: str) -> None:
        """A date in another form would be compared as a text, which is silently wrong."""
        dates = [text for text in _LITERAL.findall(where) if _DATE.fullmatch(text) and as_time(text) == text]
        words = {word.lower() for word in re.findall(r"\w+", where)}
        if dates and any(self._has_times(name) for name in self.names if name.lower() in words):
            raise ArgumentError(f"where: {plain(dates[0])} is no date of ISO 8601: write it like 2026-11-05")

    def _has_times(self, name: str) -> bool:
        query = f"SELECT 1 FROM images WHERE {_quoted(name)} LIKE '{_KEPT_TIME}' LIMIT 1"
        with self._lock:
            return self._base.execute(query).fetchone() is not None

    def _no_column(self, name: str) -> str:
        return plain(
            f"no column {name}{did_you_mean(name, self.names)}; the columns are {', '.join(self.names)[:2000]}"
        )

    def _explained(self, where: str, error: Exception) -> str:
        missing = re.fullmatch(r"no such column: (.*)", str(error))
        if missing:
            return f"where: {self._no_column(missing[1])}"
        if "interrupted" in str(error):
            return f"where: {plain(where)[:200]}: takes too long: make it simpler"
        return plain(
            f"where: {where[:200]}: {error}: expected a condition like camera = 'north' and time >= '2026-11-01'; "
            f"the columns are {', '.join(self.names)[:2000]}"
        )

    @contextmanager
    def _only_reading(self) -> Iterator[None]:
        """Whoever wrote the expression may only read these columns, with few functions and for a while."""
        steps = _STEPS // 1000 + _STEPS_PER_ROW  # of 1,000 each
        left = iter(range(steps))
        self._base.set_progress_handler(lambda: next(left, None) is None, 1000)
        self._base.set_authorizer(_permit)
        try:
            yield
        finally:
            self._base.set_authorizer(None)
            self._base.set_progress_handler(None, 0)


def _check_form(where: str) -> None:
    """Raise ArgumentError for what would end the condition early, or reach beyond it."""
    bare = _COMMENT.sub(" ", _QUOTED.sub("x", _LITERAL.sub("0", where)))
    if not bare.strip():
        raise ArgumentError("where is empty: expected a condition like camera = 'north'")
    if "'" in bare or '"' in bare:
        raise ArgumentError(f"where: {plain(where)[:200]}: a quote is not closed")
    depth = 0
    for mark in re.findall("[()]", bare):
        depth += 1 if mark == "(" else -1
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


def _opened(place: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True)


def _names(base: sqlite3.Connection) -> list[str]:
    return [name for _, name, *_ in base.execute("PRAGMA table_info(images)") if name != PATH]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _key(path: str) -> str | bytes:
    """A path as SQLite can keep it; one that is not UTF-8 as its bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path
