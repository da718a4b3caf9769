"""Many graph runs at once: a bounded number in flight, each result handed over as it is finished."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from ctgi.errors import EXHAUSTED, ToolError, exhausted

Item = TypeVar("Item")
Result = TypeVar("Result")


async def run_many(
    items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], *, in_flight: int
) -> AsyncIterator[tuple[Item, Result | ToolError]]:
    """Results as they finish; at most `in_flight` items are held, so memory does not grow with the collection.

    Items are drawn in a thread, so an iterator may read files. A ToolError is that item's result; so is what
    exhausts this process's memory or stack. Any other exception ends the batch: what runs is cancelled, and the
    exception is raised once.
    """
    source = iter(items)
    running: dict[asyncio.Task[Result], Item] = {}
    exhausted = False
    try:
        while running or not exhausted:
            while not exhausted and len(running) < in_flight:
                drawn = await asyncio.to_thread(_draw, source)
                if drawn:
                    running[_start(work, drawn[0])] = drawn[0]
                exhausted = not drawn
                if any(task.done() for task in running):
                    break
            if running:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield running.pop(task), _result(task)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _start(work: Callable[[Item], Awaitable[Result]], item: Item) -> asyncio.Task[Result]:
    async def run() -> Result:
        return await work(item)

    return asyncio.create_task(run())


def _draw(source: Iterator[Item]) -> tuple[Item, ...]:
    return next(((item,) for item in source), ())


def _result(task: asyncio.Task[Result]) -> Result | ToolError:
    error = task.exception()
    if isinstance(error, (ToolError, *EXHAUSTED)):
        return exhausted(error)
    return task.result()
