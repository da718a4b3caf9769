"""The connections to one server: used again, given back whatever happens, never more than allowed."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from ctgi.tools.backends.connections import Connections

URL = "http://127.0.0.1/"


class Line(httpx2.AsyncBaseTransport):
    """A connection that answers when it is told to, and counts."""

    def __init__(self, lines: list["Line"], go: asyncio.Event) -> None:
        self.served, self.busy, self.is_closed = 0, False, False
        self._go = go
        lines.append(self)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert not self.busy, "two requests on one connection"
        self.busy = True
        try:
            await self._go.wait()
            self.served += 1
            if request.url.path == "/broken":
                raise httpx2.ReadError("broken")
        except BaseException:
            self.busy = False
            raise
        return httpx2.Response(200, stream=_Content(self))

    async def aclose(self) -> None:
        self.is_closed = True


class _Content(httpx2.AsyncByteStream):
    def __init__(self, line: Line) -> None:
        self._line = line

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"hello"

    async def aclose(self) -> None:
        self._line.busy = False


def test_connections_are_used_again_and_given_back_after_a_fault_or_a_cancellation() -> None:
    async def work() -> None:
        lines: list[Line] = []
        go = asyncio.Event()
        go.set()
        connections = Connections(lambda limits: Line(lines, go), 5)
        async with httpx2.AsyncClient(transport=connections) as client:
            for _ in range(3):
                assert (await client.get(URL)).text == "hello"
            assert [line.served for line in lines] == [3]
            go.clear()
            flock = [asyncio.create_task(client.get(URL)) for _ in range(7)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert len(lines) == 5, "two more wait for a place"
            flock[0].cancel()
            go.set()
            said = await asyncio.gather(*flock, return_exceptions=True)
            assert [type(one).__name__ for one in said] == ["CancelledError", *6 * ["Response"]]
            for _ in range(6):  # one more than there are places
                with pytest.raises(httpx2.ReadError):
                    await client.get(f"{URL}broken")
            async with client.stream("GET", URL):
                pass  # nothing of it is read
            assert (await client.get(URL)).text == "hello"
            assert len(lines) == 5
        assert all(line.is_closed and not line.busy for line in lines)

    asyncio.run(work())
