"""Replies of models kept on disk, so that a long evaluation goes on where it stopped and repeats cost nothing."""

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from weakref import WeakValueDictionary

from ctgi.config import Binding, Settings
from ctgi.errors import CtgiError
from ctgi.text import plain
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest, Mllm
from ctgi.tools.types import Tokens


class ChatCache:
    """Replies by content: backend and its settings, image sha256, and every word said to the model.

    Failures are not kept, so the next run asks again. Several processes may use one file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.made = 0
        """Calls that went to a model since the cache was opened."""
        self.reused = 0
        """Calls answered from the file."""
        self.tokens = Tokens()
        """What all of them counted, reused ones too."""
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def turn(self, key: str) -> asyncio.Lock:
        """Whoever holds it may ask for this key; who waits for it finds the reply, or asks if that failed."""
        return self._turns.setdefault(key, asyncio.Lock())

    def find(self, key: str) -> ChatReply | None:
        """The reply under a key, or None."""
        row = self._connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        fields = json.loads(row[0])
        return ChatReply(**(fields | {"tokens": Tokens(**fields["tokens"])}))

    def keep(self, key: str, reply: ChatReply) -> None:
        """Write a reply; it is on disk before this returns, as far as a killed process goes.

        Raises:
            CtgiError: the disk is full or read-only.
        """
        try:
            self._connection.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, json.dumps(asdict(reply))))
        except sqlite3.OperationalError as error:
            raise CtgiError(
                f"cannot write down a model's reply ({error}): make room, then run the same command again; "
                "every reply written so far is kept"
            ) from None

    def wrap(self, binding: Binding, settings: Settings, mllm: Mllm) -> Mllm:
        """The model behind a binding, answering from this cache where it can."""
        endpoint = settings.endpoint(binding)
        name = [binding.endpoint, binding.model, endpoint.temperature, endpoint.seed]
        return _CachedMllm(mllm, self, [*name, endpoint.min_pixels, endpoint.max_pixels])


class _CachedMllm:
    def __init__(self, mllm: Mllm, cache: ChatCache, name: list[object]) -> None:
        self.endpoint = mllm.endpoint
        self._mllm, self._cache, self._name = mllm, cache, name

    async def chat(self, request: ChatRequest) -> ChatReply:
        key = _key(self._name, request)
        async with self._cache.turn(key):
            reply = self._cache.find(key)
            if reply is None:
                reply = await self._mllm.chat(request)
                self._cache.keep(key, reply)
                self._cache.made += 1
            else:
                self._cache.reused += 1
        self._cache.tokens += reply.tokens
        return reply

    async def probe(self) -> Abilities:
        return await self._mllm.probe()

    async def aclose(self) -> None:
        await self._mllm.aclose()


def _key(name: list[object], request: ChatRequest) -> str:
    """The address of a server is left out: the same model elsewhere says the same; so is the image's path."""
    content = asdict(request) | {"image": request.image.sha256 if request.image else None}
    return hashlib.sha256(json.dumps([name, content]).encode()).hexdigest()


@contextmanager
def open_chat_cache(path: Path) -> Iterator[ChatCache]:
    """Open the SQLite file at `path`, or make it.

    Raises:
        CtgiError: it cannot be written, or is something else.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None, timeout=60)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT) WITHOUT ROWID")
    except (OSError, sqlite3.Error) as error:
        raise CtgiError(
            f"{plain(str(path))}: cannot keep model replies here ({error}): expected a new or an earlier cache file"
        ) from None
    with closing(connection):
        yield ChatCache(connection)
