"""The SQLite file of a gallery's interactive searches; errors are reported in one line."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import ValidationError

from ctgi.errors import CtgiError
from ctgi.faults import first_fault
from ctgi.graphs.thread_data import MALFORMED, PlainData, checked
from ctgi.text import plain

Result = TypeVar("Result")
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
    with ThreadPoolExecutor(1, thread_name_prefix="ctgi-threads") as thread:
        work = asyncio.get_running_loop().run_in_executor
        with _explained(file):
            connection = await work(thread, connect, file)
        try:
            saver = ThreadSaver(connection, file, thread)
            await saver.begin()
            yield saver
        finally:
            await work(thread, connection.close)  # after the steps that are still to be kept


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


class ThreadSaver(SqliteSaver):
    """A checkpointer of LangGraph that reads nothing but plain data and says what is wrong with its file.

    Each of its calls is one visit to its thread. (LangGraph's AsyncSqliteSaver takes several, one after the other, for
    all searches together.)
    """

    def __init__(self, connection: sqlite3.Connection, file: Path, thread: ThreadPoolExecutor) -> None:
        super().__init__(connection, serde=PlainData())
        self._file, self._thread = file, thread

    async def begin(self) -> None:
        """Make the tables where there are none."""
        await self._kept(self.setup)

    async def names(self) -> list[str]:
        """The threads that were begun: an input alone is none yet."""
        return await self._kept(self._names)

    def _names(self) -> list[str]:
        query = "SELECT thread_id FROM checkpoints GROUP BY thread_id HAVING COUNT(*) > 1"
        found = [name for (name,) in self.conn.execute(query)]
        if not all(isinstance(name, str) for name in found):
            raise ValueError("a thread without a name")
        return found

    def setup(self) -> None:
        """As in LangGraph; so are the other methods."""
        if self.is_setup:
            return
        self.conn.execute("PRAGMA trusted_schema = OFF")
        super().setup()
        # With its write-ahead log, a step that is kept is safe from a kill at once, and soon from a power cut.
        self.conn.execute("PRAGMA synchronous = NORMAL")
        query = "SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger')"
        for (name,) in self.conn.execute(query):
            raise ValueError(f"a view or trigger {name!r}")

    async def aget_tuple(self, config: Any) -> CheckpointTuple | None:  # noqa: D102
        def found() -> CheckpointTuple | None:
            known = self.get_tuple(config)
            return known and checked(known)

        return await self._kept(found)

    async def alist(self, config: Any, **chosen: Any) -> AsyncIterator[CheckpointTuple]:  # noqa: D102
        def found() -> list[CheckpointTuple]:
            rows: Any = self.list(config, **chosen)
            with closing(rows):
                return [checked(row) for row in rows]

        for row in await self._kept(found):
            yield row

    async def aput(self, *arguments: Any) -> Any:  # noqa: D102
        return await self._kept(lambda: self.put(*arguments))

    async def aput_writes(  # noqa: D102
        self, config: Any, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await self._kept(lambda: self.put_writes(config, writes, task_id, task_path))

    async def _kept(self, work: Callable[[], Result]) -> Result:
        with _explained(self._file):
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)


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
