"""Work shared out to several processes, its results in order."""

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from itertools import islice
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

from ctgi.errors import CtgiError

Item = TypeVar("Item")
Result = TypeVar("Result")
_AHEAD = 4  # items under way per process: enough to keep all busy, few enough to hold their results


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> "closing[Generator[Result, None, None]]":
    """The results of `work` in the order of `items`, made by `workers` processes; in this one if it is 1.

    Enter it as a context: leaving drops what was not begun and waits for what was.

    Raises:
        CtgiError: while iterating, that a process died; any error of `work` comes through.
    """
    if workers < 2:
        return closing(work(item) for item in items)
    return closing(_shared_out(work, iter(items), workers))


def _shared_out(work: Callable[[Item], Result], items: Iterator[Item], workers: int) -> Generator[Result, None, None]:
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_follow_parent)
    under_way: deque[Future[Result]] = deque()
    try:
        under_way.extend(pool.submit(work, item) for item in islice(items, workers * _AHEAD))
        while under_way:
            yield under_way.popleft().result()
            under_way.extend(pool.submit(work, item) for item in islice(items, 1))
    except BrokenProcessPool:
        raise CtgiError(
            "a process died, as happens when memory runs out: run the same command with fewer --workers to go on"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _follow_parent() -> None:
    """In a process of the pool: Ctrl-C is the parent's to handle, and a parent that was killed is not outlived."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)
