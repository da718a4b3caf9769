"""A test double: an OpenAI-compatible chat server with scripted answers, latency and faults.

In a test: `with OpenAiDouble(answer=...) as double:` or the fixture `double`; it runs in a thread of its own.
As a process, `python -m tests.support.openai_server --port 0 --latency-ms 300` prints its URL and serves.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

KNOWN_FIELDS = {"model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stream"}


@dataclass(frozen=True)
class Seen:
    """One chat request as the server understood it."""

    system: str
    images: tuple[str, ...]
    """sha256 of the bytes of each image, in order."""
    prompts: tuple[str, ...]
    """Every user text, oldest first; the last one is the question."""
    replies: tuple[str, ...]
    """Every assistant text, oldest first."""
    parts: tuple[str, ...]
    """Kinds of the parts in order of appearance: "system", "image", "text" and "assistant"."""
    choices: tuple[str, ...]
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """What the server says to one request."""

    text: str | None = "a person in a red coat"
    tokens: tuple[tuple[str, float], ...] = ()
    """(token, probability) generated; by default the words of the text with probability 0.9 each."""
    top: dict[str, float] = field(default_factory=dict)
    """Probabilities of the alternatives at the first token."""
    refusal: str | None = None
    finish_reason: str = "stop"


@dataclass(frozen=True)
class Fault:
    """What the server does to one request instead of answering it."""

    status: int = 200
    body: bytes = b'{"error": {"message": "injected fault"}}'
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    reset: bool = False
    chunked: bool = False
    drip_s: float = 0
    """Pause between the bytes of the body."""


def error(status: int, message: str = "injected fault", **headers: str) -> Fault:
    """An error status; headers by name with underscores, like retry_after="1"."""
    body = json.dumps({"error": {"message": message, "type": "injected", "code": None}}).encode()
    return Fault(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def _completion(model: str, reply: Reply, logprobs: bool) -> bytes:
    words = (reply.text or "").split()
    tokens = reply.tokens or tuple((word, 0.9) for word in words)
    content = [{"token": token, "logprob": math.log(p), "bytes": None, "top_logprobs": []} for token, p in tokens]
    if content:
        content[0]["top_logprobs"] = [
            {"token": token, "logprob": math.log(p) if p else -9999.0, "bytes": None} for token, p in reply.top.items()
        ]
    message = {"role": "assistant", "content": reply.text, "refusal": reply.refusal}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    usage = {"prompt_tokens": 10, "completion_tokens": len(words), "total_tokens": 10 + len(words)}
    choice["logprobs"] = {"content": content} if logprobs else None
    answer = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice],
        "usage": usage,
    }
    return json.dumps(answer).encode()


EMPTY = Fault(body=_completion("double", Reply(text=""), logprobs=False))
MALFORMED = Fault(body=b'{"choices": [{"message": {"content": "half an ans')
HANG = Fault(hang=True)
RESET = Fault(reset=True)
HUGE = Fault(body=_completion("double", Reply(text="r" * 10_000_000), logprobs=False))
HUGE_CHUNKED = Fault(body=HUGE.body, chunked=True)


def _default_answer(seen: Seen) -> Reply:
    if seen.choices:
        return Reply(seen.choices[0], top=dict(zip(seen.choices, (0.8, 0.2), strict=False)))
    return Reply()


def _parse(body: dict[str, Any], headers: dict[str, str]) -> Seen:
    texts: dict[str, list[str]] = {"system": [], "user": [], "assistant": []}
    images, kinds = [], []
    for message in body["messages"]:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if part["type"] == "image_url":
                data = part["image_url"]["url"].partition(",")[2]
                images.append(hashlib.sha256(base64.b64decode(data)).hexdigest())
                kinds.append("image")
            else:
                texts[message["role"]].append(part["text"])
                kinds.append("text" if message["role"] == "user" else message["role"])
    return Seen(
        system="\n".join(texts["system"]),
        images=tuple(images),
        prompts=tuple(texts["user"]),
        replies=tuple(texts["assistant"]),
        parts=tuple(kinds),
        choices=tuple(body.get("structured_outputs", {}).get("choice", ())),
        body=body,
        headers=headers,
    )


class OpenAiDouble:
    """The server and what it saw. Attributes may be changed between requests."""

    def __init__(
        self,
        answer: Callable[[Seen], Reply | Fault | str] = _default_answer,
        *,
        models: tuple[str, ...] = ("double",),
        latency_s: float = 0.0,
        port: int = 0,
    ) -> None:
        self.answer = answer
        self.models = models
        self.latency_s = latency_s
        self.port = port
        self.faults: deque[Fault] = deque()
        """Consumed one per chat request, before anything is answered."""
        self.always: Fault | None = None
        """A fault that hits every chat request once `faults` is used up."""
        self.rejects: dict[str, int] = {}
        """Fields of a request that are refused, with the status: {"logprobs": 400}."""
        self.strict_fields = False
        """422 for every field that is not in KNOWN_FIELDS, as `transformers serve` does."""
        self.models_fault: Fault | None = None
        """What asking for the list of models comes to instead of the list."""
        self.key: str | None = None
        """If set, requests need this bearer token."""
        self.log: list[Seen] = []
        self.targets: list[str] = []
        """What each request line asked for: a path with its query, or a URL where it was taken for a proxy."""
        self.requests = 0
        self.bytes_received = 0
        self.peak_in_flight = 0
        self.connections: set[asyncio.Transport] = set()
        self._in_flight = 0
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """Address to bind to."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(started),), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def die(self) -> None:
        """Stop listening and reset every open connection; harmless when already dead."""
        if self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for transport in list(self.connections):
            transport.abort()

    async def respond(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Fault:
        """The response to one request, as a Fault that may be none."""
        self.bytes_received += len(body)
        self.targets.append(f"{method} {path}")
        path = urlsplit(path).path
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return error(401, f"Incorrect API key provided: {headers.get('authorization')}")
        if method == "GET" and path == "/v1/models":
            return self.models_fault or Fault(
                body=json.dumps({"object": "list", "data": [{"id": name} for name in self.models]}).encode()
            )
        if method != "POST" or path != "/v1/chat/completions":
            return error(404, "Not Found")
        self.requests += 1
        self._in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self._in_flight)
        try:
            return await self._chat(json.loads(body), headers)
        finally:
            self._in_flight -= 1

    async def _chat(self, body: dict[str, Any], headers: dict[str, str]) -> Fault:
        seen = _parse(body, headers)
        self.log.append(seen)
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        fault = self.faults.popleft() if self.faults else self.always
        if fault:
            return fault
        if body["model"] not in self.models:
            return error(404, f"The model `{body['model']}` does not exist.")
        unknown = sorted(set(body) - KNOWN_FIELDS) if self.strict_fields else []
        if unknown:
            return error(422, f"Unexpected fields in the request: {unknown}")
        for name, status in self.rejects.items():
            if name in body:
                return error(status, f"{name} is not supported")
        said = self.answer(seen)
        if isinstance(said, Fault):
            return said
        reply = Reply(said) if isinstance(said, str) else said
        return Fault(body=_completion(body["model"], reply, bool(body.get("logprobs"))))


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time, as far as an OpenAI client needs it."""

    def __init__(self, double: OpenAiDouble) -> None:
        self._double = double
        self._buffer = bytearray()
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._double.connections.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._double.connections.discard(self._transport)
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
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
        method, path, _ = first.split(" ")
        task = asyncio.ensure_future(self._reply(method, path, headers, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        fault = await self._double.respond(method, path, headers, body)
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


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--model", default="double")
    options = parser.parse_args()
    with OpenAiDouble(port=options.port, latency_s=options.latency_ms / 1000, models=(options.model,)) as double:
        double.log = deque(maxlen=1)  # type: ignore[assignment]  # a benchmark's requests would fill the memory
        print(double.base_url, flush=True)  # noqa: T201  (the process's one line of output)
        threading.Event().wait()


if __name__ == "__main__":
    main()
