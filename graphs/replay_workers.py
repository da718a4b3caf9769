"""Replays of many items shared out to processes: between two calls it is the graph that takes the time."""

import asyncio
import signal
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from os import sched_getaffinity
from pathlib import Path
from typing import Any

from ctgi.config import Settings
from ctgi.graphs.replay_item import Replayed, open_work, replay_one
from ctgi.tools.replay import Replay
from ctgi.tools.trace_reader import Trace, open_trace

MIN_SHARE = 400
"""Items for which a process is worth starting."""
_CHUNK = 50


def worker_count(items: int) -> int:
    """Processes that replay so many items fastest."""
    return min(len(sched_getaffinity(0)), items // MIN_SHARE)


async def in_processes(
    trace: Trace, settings: Settings, replay: Replay, order: list[int], jobs: int
) -> AsyncIterator[tuple[int, Replayed]]:
    """Every item in the given order, replayed by `jobs` processes; nothing may go live."""
    chunks = [order[start : start + _CHUNK] for start in range(0, len(order), _CHUNK)]
    given = (trace.path, settings.model_dump(mode="json"), sorted(replay.computed))
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(jobs, get_context("spawn"), _start, given) as pool:
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


_worker: Any = None
"""In a process of the pool: replays a chunk."""


def _start(path: Path, settings: dict[str, Any], computed: list[str]) -> None:
    """Make this process ready; the parent alone answers Ctrl-C."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trace, loop = open_trace(path), asyncio.new_event_loop()
    replay = Replay(trace, computed=computed)
    work = loop.run_until_complete(open_work(trace, Settings(**settings), replay, None).__aenter__())
    one = partial(replay_one, trace, replay, work)

    async def chunk(numbers: list[int]) -> list[Replayed]:
        return [await one(number) for number in numbers]

    _worker = lambda numbers: loop.run_until_complete(chunk(numbers))  # noqa: E731


def _replay(numbers: list[int]) -> list[Replayed]:
    found: list[Replayed] = _worker(numbers)
    return found
