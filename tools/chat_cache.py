"""Keeps model replies on disk: an evaluation resumes where it stopped, and a repeated call costs nothing."""

import asyncio
import hashlib
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from pydantic import TypeAdapter

from ctgi.bindings import Binding
from ctgi.embedded import MLLM
from ctgi.errors import CtgiError, ImageError, ToolError
from ctgi.network import without_user
from ctgi.plugins import OWN_CODE
from ctgi.reading import parse_json
from ctgi.settings import Settings
from ctgi.settings_tables import Endpoint
from ctgi.text import plain
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest, Mllm
from ctgi.tools.backends.thoughts import part
from ctgi.tools.reply_store import ReplyStore, is_broken, open_store, set_aside
from ctgi.tools.traces.call_notes import note
from ctgi.tools.types import Tokens

Result = TypeVar("Result")
_MB = 2**20
_REPLY = TypeAdapter(ChatReply)

logger = logging.getLogger(__name__)


class ChatCache:
    """Replies keyed by content: backend, settings, the image's sha256, and every word sent to the model.

    Prompts are part of the key, so other prompts are other calls. Failures are not kept: the next run asks again.
    """

    def __init__(self, store: ReplyStore | None, *, record: bool) -> None:
        """Open one with `open_chat_cache` or `open_user_cache`.

        Args:
            store: where replies are kept; None only counts calls.
            record: True for a run's own record: a reply that cannot be kept ends the run, and the server's address is
                not part of the key. Otherwise, trouble with the file turns the cache off, and the address is part of
                the key, because another server may use the same model name.
        """
        self._store, self._record = store, record
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ctgi-cache")  # a busy file must not block the loop
        self.made = 0
        """Calls to a model since the cache was opened, including those that failed."""
        self.spent = Tokens()
        """Tokens of these calls, including cut and refused replies."""
        self.reused = 0
        """Calls answered from the file."""
        self.thoughts = 0
        """Replies whose thoughts were cut off, including reused ones."""
        self.tokens = Tokens()
        """Tokens of all replies, including reused ones."""
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def turn(self, key: str) -> asyncio.Lock:
        """A lock for a key: the holder makes the call; those who wait find the reply, or call if that failed."""
        return self._turns.setdefault(key, asyncio.Lock())

    async def find(self, key: str, max_tokens: int) -> ChatReply | None:
        """The reply under a key that was requested with this limit, or None."""
        text = await self._use(lambda store: store.find(key))
        return _parse(text, max_tokens) if text else None

    async def keep(self, key: str, backend: str, reply: ChatReply) -> None:
        """Write a reply; once this returns, it survives a kill of the process.

        Raises:
            CtgiError: this is a run's record, and the disk is full or read-only.
        """
        await self._use(lambda store: store.keep(key, plain(backend), json.dumps(asdict(reply))))

    def wrap(self, binding: Binding, settings: Settings, mllm: Mllm) -> Mllm:
        """The model behind a binding, answering from this cache where it can.

        The user's own code is called anew in each run, because it may have changed.
        """
        endpoint = settings.endpoint(binding)
        if endpoint.provider == OWN_CODE and not self._record:
            return _CountedMllm(mllm, self)
        name = [binding.endpoint, binding.model, endpoint.temperature, endpoint.seed]
        name += [endpoint.min_pixels, endpoint.max_pixels]
        if not self._record:
            first = next(iter(endpoint.servers), None)  # whichever answers, the model is the same
            name += [endpoint.provider, first and without_user(first)]
        if endpoint.leave_out or endpoint.extra_body:
            name += [sorted(endpoint.leave_out), endpoint.extra_body]
        name += _weights(binding, endpoint)
        return _CachedMllm(mllm, self, str(binding), name)

    async def ask(self, mllm: Mllm, request: ChatRequest) -> ChatReply:
        """A model's reply. The call is counted with its tokens, even if it fails; an unusable image is no call."""
        try:
            reply = await mllm.chat(request)
        except ImageError:
            raise
        except ToolError as error:
            self.made += 1
            self.spent += Tokens(*error.spent)
            raise
        self.made += 1
        self.spent += reply.tokens
        self.count(reply)
        return reply

    def count(self, reply: ChatReply) -> None:
        """Count the tokens and thoughts of a reply, new or reused."""
        self.tokens += reply.tokens
        self.thoughts += reply.thoughts > 0

    def close(self) -> None:
        """Finish what is being written."""
        self._thread.shutdown()
        if self._store:
            with suppress(sqlite3.Error):  # only the times of last use are lost
                self._store.close()

    async def _use(self, work: Callable[[ReplyStore], Result]) -> Result | None:
        if self._store is None:
            return None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._store)
        except sqlite3.Error as error:
            if self._record:
                raise CtgiError(
                    f"cannot write a model's reply ({error}): free some space, then run the same command again; "
                    "every reply written so far is kept"
                ) from None
            self._give_up(error)
            return None

    def _give_up(self, error: sqlite3.Error) -> None:
        store, self._store = self._store, None
        if store is None:
            return  # another call was first
        if is_broken(error):
            store.set_aside()
        _warn(store.path, error)
        self._thread.submit(store.close)  # after the calls that still use it


class _CountedMllm:
    """A model whose calls are counted and whose replies are not kept."""

    def __init__(self, mllm: Mllm, cache: ChatCache) -> None:
        self.endpoint = mllm.endpoint
        self._mllm, self._cache = mllm, cache

    async def chat(self, request: ChatRequest) -> ChatReply:
        return await self._cache.ask(self._mllm, request)

    async def probe(self) -> Abilities:
        return await self._mllm.probe()

    async def aclose(self) -> None:
        await self._mllm.aclose()


class _CachedMllm(_CountedMllm):
    """A model whose replies are kept, and which is asked only for what is not known."""

    def __init__(self, mllm: Mllm, cache: ChatCache, backend: str, name: list[object]) -> None:
        super().__init__(mllm, cache)
        self._backend, self._name = backend, name

    async def chat(self, request: ChatRequest) -> ChatReply:
        """The reply. One from the cache took no tokens and is noted as such for the recorder."""
        key = _key(self._name, request)
        async with self._cache.turn(key):
            known = await self._cache.find(key, request.max_tokens)
            if known:
                self._cache.count(known)
                self._cache.reused += 1
                note(src="cache")
                return replace(known, tokens=Tokens())
            reply = await self._cache.ask(self._mllm, request)
            await self._cache.keep(key, self._backend, reply)
        return reply


def _key(name: list[object], request: ChatRequest) -> str:
    """The image's content counts, not its path."""
    content = asdict(request) | {"image": request.image.sha256 if request.image else None}
    content.pop("pictures", None)  # of an agent's conversation, which names them by their content
    return hashlib.sha256(json.dumps([name, content]).encode()).hexdigest()


def _weights(binding: Binding, endpoint: Endpoint) -> list[object]:
    """What distinguishes a local checkpoint from another one with the same name."""
    folder = MLLM if endpoint.provider == "embedded" else Path(binding.model)
    if endpoint.provider not in ("embedded", "hf") or not folder.is_dir():
        return []
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _parse(text: str, max_tokens: int) -> ChatReply | None:
    """A kept reply; None for a row that was edited, or whose reply may be cut or hold thoughts.

    ctgi 0.2 kept such replies and did not record whether a reply was cut.
    """
    try:
        fields = parse_json(text)
        reply = _REPLY.validate_python(fields)
    except ValueError:
        return None
    is_doubtful = reply.tokens.output >= max_tokens or part(reply.text).answer != reply.text.strip()
    return None if "cut" not in fields and is_doubtful else reply


def _warn(path: Path, error: Exception) -> None:
    logger.warning("%s: the cache of model replies cannot be used (%s): going on without it", plain(str(path)), error)


@contextmanager
def open_chat_cache(path: Path) -> Iterator[ChatCache]:
    """A run's own record of replies at `path`, new or existing; nothing is ever evicted from it.

    Raises:
        CtgiError: it cannot be written, or is not a cache file.
    """
    try:
        store = open_store(path)
    except (OSError, sqlite3.Error) as error:
        raise CtgiError(
            f"{plain(str(path))}: cannot keep model replies here ({error}): expected a new or an earlier cache file"
        ) from None
    with _closing(ChatCache(store, record=True)) as cache:
        yield cache


@contextmanager
def open_user_cache(settings: Settings) -> Iterator[ChatCache]:
    """The user's cache, shared by all runs. If it is off or unusable, the result only counts calls.

    A damaged file is renamed, and a new one begun.
    """
    store = _open_or_begin_anew(settings) if settings.cache.enabled else None
    with _closing(ChatCache(store, record=False)) as cache:
        yield cache


def _open_or_begin_anew(settings: Settings) -> ReplyStore | None:
    path, limit = settings.cache.file, settings.cache.max_mb * _MB
    if path is None:
        logger.warning("this user has no home folder: replies are not cached; set [cache] file, or XDG_CACHE_HOME")
        return None
    try:
        inode = path.stat().st_ino if path.exists() else 0
        try:
            return open_store(path, limit_bytes=limit)
        except sqlite3.DatabaseError as error:
            if not is_broken(error):
                raise
            set_aside(path, inode)
            return open_store(path, limit_bytes=limit)
    except (OSError, sqlite3.Error) as error:
        _warn(path, error)
        return None


@contextmanager
def _closing(cache: ChatCache) -> Iterator[ChatCache]:
    try:
        yield cache
    finally:
        cache.close()
