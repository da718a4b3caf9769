"""The SQLite file of a gallery's interactive searches; errors are reported in one line."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import aiosqlite
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from pydantic import ValidationError

from ctgi.errors import CtgiError
from ctgi.faults import first_fault
from ctgi.graphs.thread_data import MALFORMED, PlainData, checked
from ctgi.text import plain

_ANOTHER = "wait until the other search has ended"
_CURES = {
    sqlite3.SQLITE_FULL: "free some space there",
    sqlite3.SQLITE_IOERR: "check that its disk works and has space left",
    sqlite3.SQLITE_READONLY: "make its folder writable",
    sqlite3.SQLITE_CANTOPEN: "make its folder writable",
    sqlite3.SQLITE_PERM: "make it writable",
    sqlite3.SQLITE_BUSY: _ANOTHER,
    sqlite3.SQLITE_LOCKED: _ANOTHER,
}
"""By SQLite's primary result code; any other means that the file is damaged."""
_PRIMARY = 0xFF


@asynccontextmanager
async def threads_to_read(file: Path) -> AsyncIterator["ThreadSaver"]:
    """The threads in `file` as they are now; the file itself is left alone.

    Raises:
        CtgiError: it cannot be read, or is damaged.
    """
    async with _opened(file, _copy) as saver:
        yield saver


@asynccontextmanager
async def threads_to_write(file: Path) -> AsyncIterator["ThreadSaver"]:
    """The threads in `file`, which is made where there is none; every step is kept as soon as it is done.

    Raises:
        CtgiError: it cannot be read or written, or is damaged.
    """
    async with _opened(file, _connect) as saver:
        yield saver


@asynccontextmanager
async def _opened(file: Path, connect: Callable[[Path], sqlite3.Connection]) -> AsyncIterator["ThreadSaver"]:
    with _explained(file):
        opened = await asyncio.to_thread(connect, file)
    async with aiosqlite.Connection(lambda: opened, iter_chunk_size=64) as connection:
        saver = ThreadSaver(connection, file)
        await saver.setup()
        yield saver


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, check_same_thread=False)


def _copy(file: Path) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?{_access(file)}", uri=True)) as source:
            source.backup(copy)
    except sqlite3.Error:
        copy.close()
        raise
    return copy


def _access(file: Path) -> str:
    """Without a log beside it the file is whole by itself, and SQLite need not make one where it may not write."""
    logs = [file.with_name(f"{file.name}{ending}") for ending in ("-wal", "-journal")]
    return "mode=ro" if any(log.exists() for log in logs) else "immutable=1"


class ThreadSaver(AsyncSqliteSaver):
    """A checkpointer of LangGraph that reads nothing but plain data and says what is wrong with its file."""

    def __init__(self, connection: aiosqlite.Connection, file: Path) -> None:
        super().__init__(connection, serde=PlainData())
        self._file = file

    async def names(self) -> list[str]:
        """The threads that were begun: an input alone is none yet."""
        with _explained(self._file):
            query = "SELECT thread_id FROM checkpoints GROUP BY thread_id HAVING COUNT(*) > 1"
            found = [name for (name,) in await self.conn.execute_fetchall(query)]
            if not all(isinstance(name, str) for name in found):
                raise ValueError("a thread without a name")
        return found

    async def setup(self) -> None:
        """As in LangGraph; so are the other methods."""
        with _explained(self._file):
            await self.conn.execute("PRAGMA trusted_schema = OFF")
            await super().setup()
            query = "SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger')"
            for (name,) in await self.conn.execute_fetchall(query):
                raise ValueError(f"a view or trigger {name!r}")

    async def aget_tuple(self, config: Any) -> CheckpointTuple | None:  # noqa: D102
        with _explained(self._file):
            found = await super().aget_tuple(config)
            return found and checked(found)

    async def alist(self, config: Any, **chosen: Any) -> AsyncIterator[CheckpointTuple]:  # noqa: D102
        with _explained(self._file):
            rows: Any = super().alist(config, **chosen)
            async with aclosing(rows):
                found = [checked(row) async for row in rows]
        for row in found:
            yield row

    async def aput(self, *arguments: Any) -> Any:  # noqa: D102
        with _explained(self._file):
            return await super().aput(*arguments)

    async def aput_writes(  # noqa: D102
        self, config: Any, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        with _explained(self._file):
            await super().aput_writes(config, writes, task_id, task_path)


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, *MALFORMED) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & _PRIMARY
        if code in _CURES:
            raise CtgiError(
                f"{plain(str(file))}: the dialogue cannot be kept or read here ({error}): {_CURES[code]}"
            ) from None
        raise CtgiError(
            f"{plain(str(file))}: its interactive searches cannot be read ({_reason(error)}): the file is damaged or "
            "not one that ctgi search --interactive wrote; move it away to start new ones"
        ) from None


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return plain(first_fault(error))
    return plain(str(error) or type(error).__name__)
