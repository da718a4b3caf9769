"""Asks a model on the double of a server, as the tools do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ctgi.config import Binding, Settings
from ctgi.testing import ScriptedServer
from ctgi.tools.backends import ChatReply, ChatRequest, Mllm, open_mllm

Result = TypeVar("Result")
HELLO = ChatRequest("What does the person wear?")
VERDICT = ChatRequest("Does it match?", choices=("yes", "no"), max_tokens=8)


def with_mllm(
    double: ScriptedServer,
    use: Callable[[Mllm], Awaitable[Result]],
    *,
    provider: str = "vllm",
    model: str = "double",
    **settings: Any,
) -> Result:
    """The result of `use` with a model of the double, opened and closed in a loop of its own."""
    defaults = {"base_url": double.url, "retries": 1, "backoff_s": 0, "timeout_s": 5}
    endpoints = {provider: defaults | settings}

    async def opened() -> Result:
        mllm = open_mllm(Binding(provider, model, None), Settings(endpoints=endpoints))
        try:
            return await use(mllm)
        finally:
            await mllm.aclose()

    return asyncio.run(opened())


def chat(double: ScriptedServer, request: ChatRequest = HELLO, **settings: Any) -> ChatReply:
    """The reply to one request."""
    return with_mllm(double, lambda mllm: mllm.chat(request), **settings)


async def outcomes(mllm: Mllm, *requests: ChatRequest) -> list[ChatReply | BaseException]:
    """What each request comes to, one after the other."""
    return [(await asyncio.gather(mllm.chat(request), return_exceptions=True))[0] for request in requests]
