"""One model for callers in several event loops, such as an agent that awaits some calls but not others."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakKeyDictionary

from ctgi.errors import CtgiError
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest, Mllm


class PerLoop:
    """A model whose connections belong to an event loop, opened once in each loop that calls it. An `Mllm`."""

    def __init__(self, open_model: Callable[[], Mllm]) -> None:
        """Open the first one now, for the first calling loop, so that a wrong binding shows at once."""
        self._first: Mllm | None = open_model()
        self.endpoint = self._first.endpoint
        self._open = open_model
        self._opened: WeakKeyDictionary[asyncio.AbstractEventLoop, Mllm] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._closed = False

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Answer one request; raises as `Mllm.chat` says, and CtgiError once the model is closed."""
        return await self._here().chat(request)

    async def probe(self) -> Abilities:
        """Find out what the model can do."""
        return await self._here().probe()

    async def aclose(self) -> None:
        """Close each in its own loop; those of ended loops ended with them."""
        self._closed = True
        if self._first:
            await self._first.aclose()
        for loop, model in list(self._opened.items()):
            if loop is asyncio.get_running_loop():
                await model.aclose()
            elif loop.is_running():
                with suppress(RuntimeError):  # it ended just now
                    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(model.aclose(), loop))

    def _here(self) -> Mllm:
        if self._closed:
            raise CtgiError(f"{self.endpoint}: closed already: call the tools while they are open")
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._opened:
                self._opened[loop], self._first = self._first or self._open(), None
            return self._opened[loop]
