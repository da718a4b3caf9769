"""The servers of one endpoint: each call goes to the least busy of them, and a server that fails rests for a while."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from ctgi.errors import CtgiError, ToolError
from ctgi.tools.backends.endpoint import MAX_BACKOFF_S, Unavailable

_LEAST_BACKOFF_S = 0.5
_TOLD_AFTER = 2
"""Failures in a row of a server that can be reached."""

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


class Named(Protocol):
    """A server."""

    name: str
    """Its address, for messages."""


Server = TypeVar("Server", bound=Named)


class _Place(Generic[Server]):
    """A server, and how it does."""

    def __init__(self, server: Server, most: int) -> None:
        self.server, self._most = server, most
        self.in_flight = self.calls = self.failures = 0
        self.rests_until = 0.0
        self.last_failure: Unavailable | None = None
        self._told = False

    @property
    def has_room(self) -> bool:
        """One that has failed is tried with a single call."""
        return self.in_flight < (1 if self.failures else self._most)

    def fail(self, failure: Unavailable, backoff_s: float) -> None:
        """Let it rest, longer each time."""
        self.failures, self.last_failure = self.failures + 1, failure
        pause_s = min(MAX_BACKOFF_S, max(backoff_s, _LEAST_BACKOFF_S) * 2 ** (self.failures - 1))
        self.rests_until = time.monotonic() + max(pause_s, failure.wait_s)
        if not self._told and (failure.unreachable or self.failures >= _TOLD_AFTER):
            self._told = True
            logger.warning("%s: %s: left out, and tried again from time to time", self.server.name, failure.reason)

    def answer(self) -> None:
        """Take it back."""
        self.failures, self.rests_until, self.last_failure = 0, 0.0, None
        if self._told:
            self._told = False
            logger.warning("%s answers again", self.server.name)


class ServerPool(Generic[Server]):
    """Belongs to the running loop. A single server is called whatever happened before."""

    def __init__(self, servers: Sequence[Server], most: int, backoff_s: float) -> None:
        """Take servers in the order of the configuration.

        Args:
            servers: one at least.
            most: calls at once to each.
            backoff_s: how long a server rests after a failure; doubled after each further one.
        """
        self._places = [_Place(server, most) for server in servers]
        self._backoff_s = backoff_s
        self._changed = asyncio.Condition()

    async def call(self, work: Callable[[Server], Awaitable[Result]]) -> Result:
        """What `work` makes of a server; where it raises Unavailable, the next one is asked at once.

        Raises:
            Unavailable: none of them serves the call; names what each said.
        """
        if len(self._places) == 1:
            return await work(self._places[0].server)
        tried: set[_Place[Server]] = set()
        while place := await self._take(tried):
            tried.add(place)
            try:
                result = await work(place.server)
            except Unavailable as failure:
                if not failure.strikes:  # about this call, not about the server
                    raise Unavailable(f"{place.server.name}: {failure.reason}", strikes=0) from None
                place.fail(failure, self._backoff_s)
            except ToolError:
                place.answer()
                raise
            except CtgiError as error:
                if not place.failures:
                    raise
                place.fail(Unavailable(str(error)), self._backoff_s)  # it is just starting, or was replaced
            else:
                place.answer()
                return result
            finally:
                await self._give_back(place)
        raise _together({place.server.name: place.last_failure for place in self._places if place.last_failure})

    async def _take(self, tried: Collection[_Place[Server]]) -> _Place[Server] | None:
        """The least busy server; None once all were tried, or rest."""
        async with self._changed:
            while True:
                left, now = [place for place in self._places if place not in tried], time.monotonic()
                awake = [place for place in left if place.rests_until <= now]
                free = [place for place in awake if place.has_room]
                if not awake:
                    free = [] if tried else [min(left, key=lambda place: place.rests_until)]
                if free:
                    place = min(free, key=lambda place: (place.in_flight, place.calls))
                    place.in_flight += 1
                    place.calls += 1
                    return place
                if not awake:
                    return None
                wakes_in = min((place.rests_until - now for place in left if place not in awake), default=None)
                with suppress(TimeoutError):
                    async with asyncio.timeout(wakes_in):
                        await self._changed.wait()

    async def _give_back(self, place: _Place[Server]) -> None:
        place.in_flight -= 1
        async with self._changed:
            self._changed.notify_all()


def named(servers: Sequence[Named]) -> str:
    """Servers in front of what was said by each of them; the name of a single one."""
    return servers[0].name if len(servers) == 1 else f"{len(servers)} servers"


def _together(failures: dict[str, Unavailable]) -> Unavailable:
    """One failure for those of several servers."""
    told = "; ".join(f"{name}: {failure.reason}" for name, failure in failures.items())
    return Unavailable(
        told,
        wait_s=min(failure.wait_s for failure in failures.values()),
        strikes=max(failure.strikes for failure in failures.values()),
        unreachable=all(failure.unreachable for failure in failures.values()),
    )
