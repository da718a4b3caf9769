"""What is known of a gallery's images beside their pixels: camera, site, time, and whatever a table says.

One SQLite file beside the gallery, shared by the galleries of all encoders. It is only read by searches, and an update
replaces it as a whole. Its rows are those of the manifest it was written for, so that filters of that gallery read it
as it is; for another encoder's gallery they are put into its order first.
"""

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.retrieval.conditions import Conditions, key_of, number_of_row, quoted
from ctgi.retrieval.metadata import PATH, Value, is_number, read_metadata
from ctgi.text import plain

FILE = "columns.sqlite"
_MOST_COLUMNS = 1000


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


class Listing(NamedTuple):
    """Which images stand in which rows, told by the manifest."""

    crc32: int
    images: int


def update_columns(
    home: Path, paths: Iterable[str], tables: Sequence[Path], root: Path, listing: Listing | None = None
) -> ColumnsReport:
    """Take over what tables say of the gallery's images; what was known before stays where they say nothing.

    Args:
        home: the folder of the gallery, or of those of several encoders.
        paths: its images, from `root`, row by row.
        tables: .csv, .tsv or .jsonl; a later one counts where two say something of an image.
        root: the folder of the images.
        listing: what the paths are taken from.

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
            base.execute("CREATE TABLE listing (crc32 INTEGER, images INTEGER)")
            if listing:
                base.execute("INSERT INTO listing VALUES (?, ?)", listing)
            base.execute("COMMIT")
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
    base.execute(f"CREATE TEMP TABLE found (place INTEGER PRIMARY KEY, {PATH})")
    base.executemany("INSERT INTO found VALUES (?, ?)", enumerate(map(key_of, paths)))
    base.execute(f"CREATE UNIQUE INDEX temp.found_by_path ON found ({PATH})")
    base.execute(f"CREATE TEMP TABLE known ({PATH} PRIMARY KEY)")
    names: list[str] = []
    if before.exists():
        with closing(_opened(before)) as old:
            names = _names(old)
            for name in names:
                base.execute(f"ALTER TABLE known ADD COLUMN {quoted(name)}")
            marks = ", ".join("?" * (len(names) + 1))
            told = (row for row in old.execute("SELECT * FROM images") if any(value is not None for value in row[1:]))
            base.executemany(f"INSERT INTO known VALUES ({marks})", told)
            base.execute(f"DELETE FROM known WHERE {PATH} NOT IN (SELECT {PATH} FROM found)")
    unmatched = sum(_take_over(base, names, table, root) for table in tables)
    base.create_function("is_number", 1, is_number, deterministic=True)
    mixed = {name: _text_among_numbers(base, name) for name in names}
    kinds = {name: "NUMERIC" if text is None else "TEXT" for name, text in mixed.items()}
    columns = "".join(f", {quoted(name)} {kind}" for name, kind in kinds.items())
    listed = "".join(f", {quoted(name)}" for name in names)
    base.execute(f"CREATE TABLE images ({PATH}{columns})")
    base.execute(
        f"INSERT INTO images ({number_of_row(names)}, {PATH}{listed}) "
        f"SELECT found.place, {PATH}{_listed_of('known', names)} "
        f"FROM found LEFT JOIN known USING ({PATH}) ORDER BY found.place"
    )
    images = base.execute("SELECT count(*) FROM known").fetchone()[0]
    return ColumnsReport(tuple(names), images, unmatched, {name: text for name, text in mixed.items() if text})


def _take_over(base: sqlite3.Connection, names: list[str], table: Path, root: Path) -> int:
    """Add a table's rows; returns how many are of no image of the gallery."""
    base.execute(f"CREATE TEMP TABLE named ({PATH} PRIMARY KEY) WITHOUT ROWID")
    unmatched = 0
    for row in read_metadata(table, root):
        here = [
            key
            for key in map(key_of, row.places)
            if base.execute("SELECT 1 FROM found WHERE path = ?", [key]).fetchall()
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
            told = ", ".join(f"{quoted(name)} = ?" for name in row.values)
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
        base.execute(f"ALTER TABLE known ADD COLUMN {quoted(name)}")
        names.append(name)


def _text_among_numbers(base: sqlite3.Connection, name: str) -> str | None:
    """None for a column of numbers; else a text of it that is none, where most values are numbers, or nothing."""
    column = quoted(name)
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


class Columns(Conditions):
    """What is known of the images of an open gallery. Threads may share it."""

    def __init__(self, place: Path, paths: Iterable[str], listing: Listing | None = None) -> None:
        """Open it.

        Args:
            place: the SQLite file; where there is none, only the paths are known.
            paths: the gallery's images, row by row; read only where the file was written for another listing.
            listing: what the paths are taken from.

        Raises:
            CtgiError: it is damaged.
        """
        self._place = place
        try:
            base = _with_rows(place, listing)
            super().__init__(_kinds(place), base=base)
            if base is None:
                self._take_in(place, paths)
        except sqlite3.Error as error:
            raise self._damage(error) from None

    def rows(self, where: str) -> NDArray[np.int64]:
        """As `Conditions.rows`. Raises CtgiError where the file is damaged."""
        try:
            return super().rows(where)
        except sqlite3.DatabaseError as error:
            raise self._damage(error) from None

    def values(self, column: str) -> list[Value]:
        """As `Conditions.values`. Raises CtgiError where the file is damaged."""
        try:
            return super().values(column)
        except sqlite3.DatabaseError as error:
            raise self._damage(error) from None

    def _damage(self, error: sqlite3.Error) -> CtgiError:
        return CtgiError(f"{plain(str(self._place))}: damaged ({error}): remove it, and run ctgi index again")

    def _take_in(self, place: Path, paths: Iterable[str]) -> None:
        base, listed, keys = self._base, "".join(f", {quoted(name)}" for name in self.names[1:]), map(key_of, paths)
        if not listed:
            base.executemany(f"INSERT INTO images ({self._row}, path) VALUES (?, ?)", enumerate(keys))
            return
        base.execute("CREATE TABLE placed (row INTEGER PRIMARY KEY, path)")
        base.executemany("INSERT INTO placed VALUES (?, ?)", enumerate(keys))
        base.execute("ATTACH ? AS file", [f"{place.absolute().as_uri()}?mode=ro"])
        base.execute(
            f"INSERT INTO images ({self._row}, path{listed}) "
            f"SELECT placed.row, path{_listed_of('images', self.names[1:])} "
            f"FROM placed LEFT JOIN file.images USING (path)"
        )
        base.execute("DROP TABLE placed")
        base.execute("DETACH file")


def _with_rows(place: Path, listing: Listing | None) -> sqlite3.Connection | None:
    """The file, if its rows are those of this listing."""
    if listing is None or not place.exists():
        return None
    base = _opened(place)
    names = _names(base)
    if base.execute("SELECT 1 FROM sqlite_master WHERE name = 'listing'").fetchone():
        row = number_of_row(names)
        first, last = (base.execute(f"SELECT {which}({row}) FROM images").fetchone()[0] for which in ("min", "max"))
        told = base.execute("SELECT crc32, images FROM listing").fetchone()
        if told == listing and (first, last) == (0, listing.images - 1):  # whoever tidies up may number them anew
            return base
    base.close()
    return None


def _kinds(place: Path) -> dict[str, str]:
    if not place.exists():
        return {}
    with closing(_opened(place)) as base:
        return {name: kind for _, name, kind, *_ in base.execute("PRAGMA table_info(images)") if name != PATH}


def _opened(place: Path) -> sqlite3.Connection:
    address = f"{place.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(address, uri=True, check_same_thread=False, isolation_level=None)


def _listed_of(table: str, names: Iterable[str]) -> str:
    """The columns of a table, whatever they are named, to go on a list with."""
    return "".join(f", {table}.{quoted(name)}" for name in names)


def _names(base: sqlite3.Connection) -> list[str]:
    return [name for _, name, *_ in base.execute("PRAGMA table_info(images)") if name != PATH]
