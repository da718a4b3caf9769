"""A test double: a multimodal model that answers from a script, in process, and records what it was asked."""

import asyncio
from collections.abc import Callable

from ctgi.tools.backends import Abilities, ChatReply, ChatRequest

Script = Callable[[ChatRequest], ChatReply | str]


class ScriptedMllm:
    """Answers `script(request)`; raises when it is asked more often than `limit`."""

    endpoint = "a test double"

    def __init__(self, script: Script, *, limit: int = 1000, latency_s: float = 0.0) -> None:
        self.requests: list[ChatRequest] = []
        self.closed = False
        self._script, self._limit, self._latency_s = script, limit, latency_s

    async def chat(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        assert len(self.requests) <= self._limit, f"asked more than {self._limit} times: {request.prompt!r}"
        await asyncio.sleep(self._latency_s)
        reply = self._script(request)
        return ChatReply(reply) if isinstance(reply, str) else reply

    async def probe(self) -> Abilities:
        return Abilities(images=True, logprobs=False, structured=False)

    async def aclose(self) -> None:
        self.closed = True
