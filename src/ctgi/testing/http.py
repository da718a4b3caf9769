"""HTTP/1.1 with keep-alive, one request at a time, as far as an OpenAI client needs it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from ctgi.testing.replies import Fault

Respond = Callable[[str, str, Mapping[str, str], bytes], Awaitable[Fault]]


class Connection(asyncio.Protocol):
    """One client's connection; it enters itself among the open ones."""

    def __init__(self, respond: Respond, open_ones: set[asyncio.Transport]) -> None:
        """Serve a connection.

        Args:
            respond: the response to (method, target, headers, body).
            open_ones: the server's connections.
        """
        self._respond, self._open_ones = respond, open_ones
        self._buffer = bytearray()
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_ones.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        """Forget the transport and what was being answered."""
        self._open_ones.discard(self._transport)
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer a request once it is whole."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(self._buffer) < end + 4 + length:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        method, target, _ = first.split(" ")
        task = asyncio.ensure_future(self._answer(method, target, headers, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
        fault = await self._respond(method, target, headers, body)
        if fault.hang:
            return
        if fault.reset:
            self._transport.abort()
            return
        fixed = {"content-type": "application/json", **fault.headers}
        fixed |= {"transfer-encoding": "chunked"} if fault.chunked else {"content-length": str(len(fault.body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
        payload = b"%x\r\n%b\r\n0\r\n\r\n" % (len(fault.body), fault.body) if fault.chunked else fault.body
        start = f"HTTP/1.1 {fault.status} Scripted\r\n{head}\r\n".encode()
        self._transport.write(start if fault.drip_s else start + payload)
        for number in range(len(payload) if fault.drip_s else 0):
            await asyncio.sleep(fault.drip_s)
            self._transport.write(payload[number : number + 1])
