"""Replies in an SQLite file shared by processes; above its limit, the least recently used are deleted."""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ctgi.errors import CtgiError
from ctgi.text import plain

BUSY_S = 30
"""Seconds that a writer waits for another process's write."""
_EVICT_TO = 0.9
"""Share of the limit left after an eviction, so that not every later write evicts."""
_TOUCHES_KEPT = 1000
_TABLE = "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, backend TEXT, reply TEXT, used REAL)"
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class StoreStats:
    """Counts of a reply store."""

    replies: int
    bytes: int
    """Bytes on disk, including SQLite's side files."""
    backends: dict[str, int]
    """Number of replies by backend."""
    last_used: float | None
    """Unix time of the latest use; None if empty."""


class ReplyStore:
    """Texts by key. Every method may raise sqlite3.Error; call them from one thread at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection, limit_bytes: int | None, *, made: bool) -> None:
        """Use `open_store` instead; `made` means that this process created the file."""
        self.path = path
        self._made = made
        self._connection = connection
        self._limit = limit_bytes
        self._touched: dict[str, float] = {}
        self._inode = path.stat().st_ino

    def find(self, key: str) -> str | None:
        """The text under a key, or None. Its use is recorded with the next write."""
        row = self._connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        self._touched[key] = time.time()
        if len(self._touched) >= _TOUCHES_KEPT:
            with self._transaction():
                self._write_touches()
        return str(row[0])

    def keep(self, key: str, backend: str, reply: str) -> None:
        """Write a text; once this returns, it survives a kill of the process."""
        with self._transaction():
            self._write_touches()
            self._connection.execute(
                "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?)", (key, backend, reply, time.time())
            )
            evicted = self._evict()
        if evicted:
            self._shrink()

    def stats(self) -> StoreStats:
        """Counts over the whole file."""
        by_backend = "SELECT CAST(COALESCE(backend, '') AS TEXT), COUNT(*) FROM replies GROUP BY 1 ORDER BY 1"
        backends = dict(self._connection.execute(by_backend))
        (last,) = self._connection.execute("SELECT MAX(CAST(used AS REAL)) FROM replies").fetchone()
        files = (Path(f"{self.path}{end}") for end in ("", "-wal", "-shm"))
        size = sum(file.stat().st_size for file in files if file.exists())
        return StoreStats(sum(backends.values()), size, backends, last)

    def clear(self) -> int:
        """Delete everything and release the space; returns the number of replies. Other processes go on."""
        with self._transaction():
            removed = self._connection.execute("DELETE FROM replies").rowcount
        self._shrink()
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return removed

    def close(self) -> None:
        """Record what was used, and close the file; an empty new file is removed."""
        useless = False
        try:
            if self._touched:
                with self._transaction():
                    self._write_touches()
            useless = self._made and self._is_useless()
        finally:
            self._connection.close()
        if useless:
            self.path.unlink(missing_ok=True)

    def _is_useless(self) -> bool:
        """Whether it is empty and nobody else has it open; only then may it leave WAL mode."""
        if self._connection.execute("SELECT COUNT(*) FROM replies").fetchone() != (0,):
            return False
        self._connection.execute("PRAGMA busy_timeout = 0")
        with suppress(sqlite3.OperationalError):
            return bool(self._connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",))
        return False

    def set_aside(self) -> None:
        """Rename a damaged file, unless another process has put a new one in its place."""
        set_aside(self.path, self._inode)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # a full disk rolls back by itself
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _write_touches(self) -> None:
        rows = [(used, key) for key, used in self._touched.items()]
        self._connection.executemany("UPDATE replies SET used = ? WHERE key = ?", rows)
        self._touched.clear()

    def _evict(self) -> bool:
        if self._limit is None or self._live_bytes() <= self._limit:
            return False
        (count,) = self._connection.execute("SELECT COUNT(*) FROM replies").fetchone()
        while self._live_bytes() > _EVICT_TO * self._limit and count > 1:
            oldest = "SELECT key FROM replies ORDER BY used LIMIT ?"
            count -= self._connection.execute(
                f"DELETE FROM replies WHERE key IN ({oldest})", (count // 20 + 1,)
            ).rowcount
        return True

    def _shrink(self) -> None:
        self._connection.executescript("PRAGMA incremental_vacuum")  # `execute` would free a single page

    def _live_bytes(self) -> int:
        pages, free, size = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)


def within_store(file: Path, work: Callable[[ReplyStore], Result]) -> Result | None:
    """What `work` finds in the file; None where there is no file yet.

    Raises:
        CtgiError: it cannot be opened.
    """
    if not os.path.lexists(file):
        return None
    try:
        with closing(open_store(file)) as store:
            return work(store)
    except (OSError, sqlite3.Error) as error:
        raise CtgiError(
            f"{plain(str(file))}: the cache cannot be opened ({error}): expected the SQLite file that ctgi "
            "writes there; the next run sets a damaged one aside, or delete it"
        ) from None


def open_store(path: Path, *, limit_bytes: int | None = None) -> ReplyStore:
    """Open the file at `path`, or create it, readable only by its owner.

    Raises:
        OSError: the folder cannot be made.
        sqlite3.Error: it cannot be written, or is not a reply store.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    made = not path.exists()
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table, or not at all
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(_TABLE)
        connection.execute("CREATE INDEX IF NOT EXISTS replies_by_use ON replies (used)")
    except BaseException:
        connection.close()
        raise
    return ReplyStore(path, connection, limit_bytes, made=made)


def is_broken(error: sqlite3.Error) -> bool:
    """Whether the file is damaged or not a database, rather than busy, full or read-only."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _BROKEN


def set_aside(path: Path, inode: int) -> None:
    """Rename the file at `path` and SQLite's side files, if it is still the same file; log the new name."""
    try:
        if path.stat().st_ino != inode:
            return
        aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
        for end in ("", "-wal", "-shm"):
            if Path(f"{path}{end}").exists():
                Path(f"{path}{end}").rename(f"{aside}{end}")
    except OSError as error:
        logger.warning("%s: damaged, and cannot be set aside (%s)", plain(str(path)), error.strerror)
        return
    logger.warning("%s: the cache of model replies was damaged; it is now %s", plain(str(path)), plain(aside.name))
