"""An OpenAI-compatible chat server that answers from a script, with latency and faults."""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

from ctgi.testing.http import Connection
from ctgi.testing.replies import Fault, Reply, completion, http_error
from ctgi.testing.requests import Request, parse_request
from ctgi.testing.script import Replies, Script, as_script

KNOWN_FIELDS = {"model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stream"}
START_S = 10

Scripted = Reply | Fault | str


def default_reply(request: Request) -> Reply:
    """A person in a red coat; of choices the first."""
    if request.choices:
        return Reply(request.choices[0], top=dict(zip(request.choices, (0.8, 0.2), strict=False)))
    return Reply("a person in a red coat")


class ScriptedServer:
    """A server in a thread of its own, and what it saw. Its attributes may be changed between requests.

        with ScriptedServer({"shoes": "white sneakers", "": "yes"}) as server:
            session = ctgi.Session(bindings={"images": server.binding}, cache={"enabled": False})

    What the script has no reply for gets status 400 with the reason.
    """

    def __init__(
        self,
        replies: Replies[Request, Scripted] | Scripted = default_reply,
        *,
        models: Sequence[str] = ("scripted",),
        latency_s: float = 0.0,
        port: int = 0,
    ) -> None:
        """A server; it listens inside a `with`.

        Args:
            replies: the script: a function of the request, a mapping from phrases of the last prompt to replies, a
                list of replies in order, or one reply. Each is a text, a Reply or a Fault.
            models: what it serves; another model gets status 404.
            latency_s: how long each reply takes.
            port: 0 takes any that is free.
        """
        self.replies = replies
        self.models = models
        self.latency_s = latency_s
        self.port = port
        self.faults: deque[Fault | Reply] = deque()
        """Given first, one a request, before the script is asked."""
        self.rejects: dict[str, int] = {}
        """Fields of a request that are refused, with the status: {"logprobs": 400}."""
        self.strict_fields = False
        """422 for every field that is not in KNOWN_FIELDS, as `transformers serve` does."""
        self.models_fault: Fault | None = None
        """What asking for the list of models comes to instead of the list."""
        self.key: str | None = None
        """If set, requests need this bearer token."""
        self.seen: list[Request] = []
        """The chat requests, oldest first."""
        self.targets: list[str] = []
        """What each request line asked for: a path with its query, or a URL where it was taken for a proxy."""
        self.peak_in_flight = 0
        """The most chat requests that were open at once."""
        self._in_flight = 0
        self._connections: set[asyncio.Transport] = set()
        self._thread: threading.Thread | None = None

    @property
    def replies(self) -> Script[Request, Scripted]:
        """The script; what is assigned may be anything that `ScriptedServer(replies)` takes."""
        return self._script

    @replies.setter
    def replies(self, replies: Replies[Request, Scripted] | Scripted) -> None:
        self._script: Script[Request, Scripted] = as_script(replies)

    @property
    def url(self) -> str:
        """Its address, as OpenAI clients take it for `base_url`."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def binding(self) -> str:
        """Its first model as a binding: `vllm:scripted@http://127.0.0.1:8123/v1`."""
        return f"vllm:{self.models[0]}@{self.url}"

    def __enter__(self) -> Self:
        """Start to listen."""
        started = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(started),), daemon=True)
        self._thread.start()
        if not started.wait(START_S):
            raise RuntimeError(f"the scripted server does not listen on port {self.port} after {START_S} s")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop listening and reset every open connection; harmless when already stopped, also inside the script."""
        if self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            if threading.current_thread() is not self._thread:
                self._thread.join(START_S)

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(
            lambda: Connection(self._respond, self._connections), "127.0.0.1", self.port, backlog=512
        )
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for transport in list(self._connections):
            transport.abort()

    async def _respond(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Fault:
        self.targets.append(f"{method} {target}")
        path = urlsplit(target).path
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return http_error(401, f"Incorrect API key provided: {headers.get('authorization')}")
        if method == "GET" and path == "/v1/models":
            listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
            return self.models_fault or Fault(body=json.dumps(listed).encode())
        if method != "POST" or path != "/v1/chat/completions":
            return http_error(404, "Not Found")
        try:
            request = parse_request(json.loads(body), headers)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return http_error(400, f"this is no chat request: {type(error).__name__}: {error}")
        self._in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self._in_flight)
        try:
            return await self._chat(request)
        finally:
            self._in_flight -= 1

    async def _chat(self, request: Request) -> Fault:
        self.seen.append(request)
        number = len(self.seen)
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        try:
            said = self.faults.popleft() if self.faults else self._refusal(request.body) or self._script(request)
            if isinstance(said, Fault):
                return said
            return completion(Reply(said) if isinstance(said, str) else said, request.body, number)
        except Exception as error:  # whatever a test's own function raises
            return http_error(400, f"the script raised {type(error).__name__}: {error}")

    def _refusal(self, body: Mapping[str, Any]) -> Fault | None:
        if body["model"] not in self.models:
            return http_error(404, f"The model `{body['model']}` does not exist.")
        unknown = sorted(set(body) - KNOWN_FIELDS) if self.strict_fields else []
        if unknown:
            return http_error(422, f"Unexpected fields in the request: {unknown}")
        rejected = next((name for name in self.rejects if name in body), None)
        return http_error(self.rejects[rejected], f"{rejected} is not supported") if rejected else None
