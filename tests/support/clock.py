"""Time in tests that does not pass: a loop whose clock jumps to its next timer, and sleeps that are written down."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _JumpingSelector(selectors.SelectSelector):
    """Where nothing is ready, a wait with a limit ends at once, as if its time had passed."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout:
            self.now += timeout
        return ready


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_timed(work: Coroutine[Any, Any, Result]) -> tuple[Result, float]:
    """The result, and the seconds that its sleeps come to where they overlap as they do; none of them is slept.

    For work in one thread: what a thread of its own does takes no time on this clock.
    """

    async def timed() -> tuple[Result, float]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        return await work, loop.time() - started

    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        return runner.run(timed())
