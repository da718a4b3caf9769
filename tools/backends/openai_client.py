"""Connections to one server: the OpenAI SDK's client over an HTTP client that belongs to the running loop."""

from collections.abc import AsyncIterator

import httpx2
import openai
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from ctgi.config import Endpoint
from ctgi.tools.backends.endpoint import Unavailable

MAX_BODY_BYTES = 4_000_000


def sdk_client(model: str, base_url: str, key: str, http: httpx2.AsyncClient) -> openai.AsyncOpenAI:
    """The OpenAI client inside langchain-openai's model, over our connections.

    Requests go through its generic `post`: ChatOpenAI.ainvoke and `chat.completions.create` convert messages
    and replies that are built and read here anyway, at several times the cost (benchmarks/client.py).
    """
    chat_model = ChatOpenAI(
        model=model,
        base_url=base_url,  # explicit, or OPENAI_BASE_URL would redirect it
        api_key=SecretStr(key),
        timeout=http.timeout,
        max_retries=0,  # Limits retries, over unreadable replies as well
        http_async_client=http,  # the default one is shared by the whole process and dies with its first loop
        openai_proxy="",  # OPENAI_PROXY beside a client of one's own is an error there
    )
    client: openai.AsyncOpenAI = chat_model.root_async_client
    return client


def http_client(endpoint: Endpoint) -> httpx2.AsyncClient:
    """Connections for all calls that the endpoint allows at once; bodies over MAX_BODY_BYTES raise Unavailable."""
    connections = endpoint.concurrency + 1  # one for the list of models
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(endpoint.timeout_s, connect=min(endpoint.timeout_s, 10)),
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        headers={"Accept-Encoding": "identity"},  # so that the bound on a body's size holds for what it unpacks to
        event_hooks={"response": [_bound_body]},
    )


async def _bound_body(response: httpx2.Response) -> None:
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = _BoundedStream(response.stream)


class _BoundedStream(httpx2.AsyncByteStream):
    """A body that is read no further than MAX_BODY_BYTES."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise Unavailable(f"a reply of more than {MAX_BODY_BYTES:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
