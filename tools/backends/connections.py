"""Connections to one server that are found in no time, however many are open.

httpx keeps them in one pool, which looks at each of them whenever a request begins or ends: with 300 requests in
flight, that takes longer than all the rest. Here each connection is a pool of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import httpx2

Open = Callable[[httpx2.Limits], httpx2.AsyncBaseTransport]


class Connections(httpx2.AsyncBaseTransport):
    """As many connections as requests are in flight, and never more than `most`; idle ones are used again."""

    def __init__(self, open_one: Open, most: int) -> None:
        """`open_one` makes a transport within limits."""
        self._open_one, self._free = open_one, list[httpx2.AsyncBaseTransport]()
        self._places = asyncio.Semaphore(most)
        self._all = AsyncExitStack()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it by a connection that is idle, the last used first; else by a new one."""
        await self._places.acquire()
        one = self._free.pop() if self._free else await self._opened()
        try:
            response = await one.handle_async_request(request)
        except BaseException:
            self._give_back(one)
            raise
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Lent(response.stream, lambda: self._give_back(one))
        return response

    async def aclose(self) -> None:
        """Close all of them."""
        self._free.clear()
        await self._all.aclose()

    async def _opened(self) -> httpx2.AsyncBaseTransport:
        return await self._all.enter_async_context(
            self._open_one(httpx2.Limits(max_connections=1, max_keepalive_connections=1))
        )

    def _give_back(self, one: httpx2.AsyncBaseTransport) -> None:
        self._free.append(one)
        self._places.release()


class _Lent(httpx2.AsyncByteStream):
    """A response's content, after which its connection is given back."""

    def __init__(self, content: httpx2.AsyncByteStream, give_back: Callable[[], None]) -> None:
        self._content, self._give_back = content, give_back
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._content:
            yield piece

    async def aclose(self) -> None:
        try:
            await self._content.aclose()
        finally:
            if not self._is_closed:
                self._is_closed = True
                self._give_back()
