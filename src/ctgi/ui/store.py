"""What a page must remember over a restart: the searches that were begun, the shortlists and their notes."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ctgi.errors import CtgiError
from ctgi.text import plain

FILE = "searches.sqlite"
"""The name of its file, beside the threads."""
_BUSY_S = 10
_TABLES = """
create table if not exists searches (
  id text primary key, parent text, query text not null, asks text not null, began text not null, problem text,
  encoder text not null default ''
);
create table if not exists shortlist (
  search text not null, sha256 text not null, path text not null, note text not null default '', added text not null,
  primary key (search, sha256)
);
"""


class Begun(NamedTuple):
    """One search of the page."""

    id: str
    parent: str | None
    """The search that it goes on from: where an answer was changed or a person marked."""
    query: str
    asks: str
    """Who answers the questions: model or person."""
    began: str
    """ISO 8601, UTC."""
    problem: str | None
    """Why it ended early."""
    encoder: str
    """Fingerprint of the encoder; empty where it was not noted."""


@dataclass(frozen=True)
class Kept:
    """One image on a search's shortlist."""

    sha256: str
    path: str
    note: str


class Store:
    """A SQLite file; each call is a transaction of its own, from any thread."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            CtgiError: it cannot be written, or is no SQLite file.
        """
        self._path = path
        self._lock = threading.Lock()
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
            self._db.text_factory = lambda text: text.decode(errors="surrogateescape")
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = normal")  # safe from a kill, if not from a power cut
            self._db.executescript(_TABLES)
            if "encoder" not in [row[1] for row in self._db.execute("pragma table_info(searches)")]:
                self._db.execute("alter table searches add column encoder text not null default ''")
        self._unsaved: dict[str, str] = {}

    def begin(self, name: str, query: str, asks: str, parent: str | None, encoder: str) -> None:
        """A new search."""
        row = (name, parent, query, asks, _now(), encoder)
        self._write("insert into searches (id, parent, query, asks, began, encoder) values (?, ?, ?, ?, ?, ?)", *row)

    def fail(self, name: str, problem: str | None) -> None:
        """Why a search ended early, known until the program ends where the disk is full; None: it is tried again."""
        self._unsaved.pop(name, None)
        try:
            self._write("update searches set problem = ? where id = ?", problem, name)
        except CtgiError:
            if problem is None:
                raise
            self._unsaved[name] = problem

    def search(self, name: str) -> Begun | None:
        """The search of this id."""
        return next(self._searches("where id = ?", name), None)

    def latest(self, count: int) -> list[Begun]:
        """The last searches that a person typed, the newest first."""
        return list(self._searches("where parent is null order by began desc limit ?", count))

    def keep(self, search: str, sha256: str, path: str, note: str) -> None:
        """Put an image on the search's shortlist, or change its note."""
        self._write(
            "insert into shortlist (search, sha256, path, note, added) values (?, ?, cast(? as text), ?, ?) "
            "on conflict do update set note = excluded.note",
            search, sha256, path.encode(errors="surrogateescape"), note, _now(),
        )  # fmt: skip

    def drop(self, search: str, sha256: str) -> None:
        """Take an image off the shortlist."""
        self._write("delete from shortlist where search = ? and sha256 = ?", search, sha256)

    def shortlist(self, search: str) -> list[Kept]:
        """The search's shortlist, in the order in which it grew."""
        with self._lock, _explained(self._path):
            rows = self._db.execute(
                "select sha256, path, note from shortlist where search = ? order by added", (search,)
            ).fetchall()
        return [Kept(*row) for row in rows]

    def inherit(self, child: str, parent: str) -> None:
        """The child begins with its parent's shortlist."""
        self._write(
            "insert or ignore into shortlist select ?, sha256, path, note, added from shortlist where search = ?",
            child, parent,
        )  # fmt: skip

    def check(self) -> None:
        """Make sure that what is done now can be kept.

        Raises:
            CtgiError: the file was deleted.
        """
        with _explained(self._path):
            self._path.stat()  # what is written to a deleted file is lost

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _searches(self, where: str, *values: object) -> Iterator[Begun]:
        with self._lock, _explained(self._path):
            columns = "id, parent, query, asks, began, problem, encoder"
            found = map(Begun._make, self._db.execute(f"select {columns} from searches {where}", values).fetchall())
        return (one._replace(problem=self._unsaved.get(one.id, one.problem)) for one in found)

    def _write(self, statement: str, *values: object) -> None:
        self.check()
        with self._lock, _explained(self._path), self._db:
            self._db.execute(statement, values)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        cure = "copy it back, or start ctgi ui again; what is on the page can still be exported"
        raise CtgiError(f"{plain(str(path))} was deleted while the page was open: nothing is kept: {cure}") from None
    except (sqlite3.Error, OSError) as error:
        raise CtgiError(f"{plain(str(path))}: {error}: free some space, or allow writing to its folder") from None
