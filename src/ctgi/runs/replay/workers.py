"""Replays of many items shared out to processes: between two calls it is the graph that takes the time."""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from ctgi.config import Settings
from ctgi.reading import Json
from ctgi.runs.replay.item import Replayed, replay_one
from ctgi.runs.replay.kinds import kind_of
from ctgi.tools.traces.player import Replay
from ctgi.tools.traces.reader import Trace, open_trace

_SHARE = {"fork": 25, "spawn": 400}
"""Items for which a process is worth starting: a new one reads every package again, a fork has them."""
_CHUNK = 20


def worker_count(items: int) -> int:
    """Processes that replay so many items fastest."""
    return min(_cores(), items // _SHARE[_method()])


def _method() -> str:
    """A fork takes no threads along, so it is for processes that have but one, and systems where it is sound."""
    return "fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def in_processes(
    trace: Trace, settings: Settings, replay: Replay, order: list[int], jobs: int
) -> AsyncIterator[tuple[int, Replayed]]:
    """Every item in the given order, replayed by `jobs` processes; nothing may go live."""
    chunks = [order[start : start + _CHUNK] for start in range(0, len(order), _CHUNK)]
    given = (trace.path, settings.model_dump(mode="json"), sorted(replay.computed))
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(jobs, get_context(_method()), _start, given) as pool:
        running: deque[asyncio.Future[list[Replayed]]] = deque()
        try:
            for chunk in chunks:
                running.append(loop.run_in_executor(pool, _replay, chunk))
                if len(running) > 2 * jobs:
                    break
            for place, chunk in enumerate(chunks):
                results = await running.popleft()
                following = place + 2 * jobs + 1
                if following < len(chunks):
                    running.append(loop.run_in_executor(pool, _replay, chunks[following]))
                for number, result in zip(chunk, results, strict=True):
                    yield number, result
        finally:
            for future in running:
                future.cancel()


class _Worker:
    """What a process of the pool holds: the trace, the tools, and a loop of its own."""

    def __init__(self, path: Path, settings: Json, computed: list[str]) -> None:
        gc.freeze()  # the collector would look through every imported package again and again
        gc.set_threshold(20_000)
        self._loop = asyncio.new_event_loop()
        trace = open_trace(path)
        replay = Replay(trace, computed=computed)
        opened = kind_of(trace.header).work(trace, Settings(**settings), replay, None)
        self._one = partial(replay_one, trace, replay, self._loop.run_until_complete(opened.__aenter__()))

    def replay(self, numbers: list[int]) -> list[Replayed]:
        return self._loop.run_until_complete(self._all(numbers))

    async def _all(self, numbers: list[int]) -> list[Replayed]:
        return [await self._one(number) for number in numbers]


_workers: list[_Worker] = []
"""The one of this process."""


def _start(path: Path, settings: Json, computed: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone answers Ctrl-C
    _workers.append(_Worker(path, settings, computed))


def _replay(numbers: list[int]) -> list[Replayed]:
    return _workers[0].replay(numbers)
