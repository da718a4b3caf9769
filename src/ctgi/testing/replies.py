"""What a scripted server says: replies with tool calls and probabilities, and faults."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model asks for."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    """A text is sent as it is, so that it may be malformed: ToolCall("search", '{"query": ')."""
    id: str | None = None
    """By default one that no other call of the server has."""


@dataclass(frozen=True)
class Reply:
    """What the model says to one request."""

    text: str | None = None
    _: KW_ONLY
    tool_calls: Sequence[ToolCall] = ()
    """Several are parallel calls."""
    tokens: Sequence[tuple[str, float]] = ()
    """(token, probability) generated; by default the words of the text with probability 0.9 each."""
    top: Mapping[str, float] = field(default_factory=dict)
    """Probabilities of the alternatives at the first token: {"yes": 0.8, "no": 0.2}."""
    refusal: str | None = None
    finish_reason: str | None = None
    """By default "stop", or "tool_calls" where there are some."""


@dataclass(frozen=True)
class Fault:
    """What the server does to one request instead of answering it."""

    status: int = 200
    body: bytes = b'{"error": {"message": "injected fault"}}'
    headers: Mapping[str, str] = field(default_factory=dict)
    _: KW_ONLY
    hang: bool = False
    """Never answer."""
    reset: bool = False
    """Close the connection."""
    chunked: bool = False
    """Send the body without its length."""
    drip_s: float = 0
    """Pause between the bytes of the body."""


HANG = Fault(hang=True)
RESET = Fault(reset=True)
MALFORMED = Fault(body=b'{"choices": [{"message": {"content": "half an ans')


def http_error(status: int, message: str = "injected fault", **headers: str) -> Fault:
    """An error status; headers by name with underscores, like retry_after="1"."""
    body = json.dumps({"error": {"message": message, "type": "injected", "code": None}}).encode()
    return Fault(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def completion(reply: Reply, body: Mapping[str, Any], number: int) -> Fault:
    """The HTTP response that carries a reply to the request of this body, as a stream where it asks for one.

    Args:
        reply: what is said.
        body: the request.
        number: of the request, for ids.
    """
    calls = [_call(call, f"call_{number}_{index}") for index, call in enumerate(reply.tool_calls)]
    reason = reply.finish_reason or ("tool_calls" if calls else "stop")
    common = {"id": f"chatcmpl-{number}", "created": 0, "model": body["model"]}
    words = (reply.text or "").split()
    usage = {"prompt_tokens": 10, "completion_tokens": len(words), "total_tokens": 10 + len(words)}
    if body.get("stream"):
        return _stream(_deltas(reply, calls, reason), common, usage if _wants_usage(body) else None)
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": reply.refusal}
    message |= {"tool_calls": calls} if calls else {}
    choice = {"index": 0, "message": message, "finish_reason": reason}
    choice["logprobs"] = {"content": _logprobs(reply, words)} if body.get("logprobs") else None
    answer = common | {"object": "chat.completion", "choices": [choice], "usage": usage}
    return Fault(body=json.dumps(answer).encode())


def _call(call: ToolCall, default_id: str) -> dict[str, Any]:
    given = call.arguments
    arguments = given if isinstance(given, str) else json.dumps(given)
    return {"id": call.id or default_id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _logprobs(reply: Reply, words: Sequence[str]) -> list[dict[str, Any]]:
    tokens = reply.tokens or [(word, 0.9) for word in words]
    content: list[dict[str, Any]] = [
        {"token": token, "logprob": math.log(p), "bytes": None, "top_logprobs": []} for token, p in tokens
    ]
    if content:
        content[0]["top_logprobs"] = [
            {"token": token, "logprob": math.log(p) if p else -9999.0, "bytes": None} for token, p in reply.top.items()
        ]
    return content


def _wants_usage(body: Mapping[str, Any]) -> bool:
    return bool((body.get("stream_options") or {}).get("include_usage"))


def _deltas(reply: Reply, calls: list[dict[str, Any]], reason: str) -> list[tuple[dict[str, Any], str | None]]:
    """What each chunk adds, and the reason to finish in the last one; a text comes word by word."""
    words = (reply.text or "").split(" ") if reply.text else []
    spoken = [word if index == 0 else f" {word}" for index, word in enumerate(words)]
    said: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": word} for word in spoken)]
    said += [{"refusal": reply.refusal}] if reply.refusal else []
    said += [{"tool_calls": [call | {"index": index}]} for index, call in enumerate(calls)]
    return [*((delta, None) for delta in said), ({}, reason)]


def _stream(
    deltas: list[tuple[dict[str, Any], str | None]], common: dict[str, Any], usage: dict[str, int] | None
) -> Fault:
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in deltas
    ]
    chunks += [{"choices": [], "usage": usage}] if usage else []
    events = [json.dumps(common | {"object": "chat.completion.chunk"} | chunk) for chunk in chunks]
    body = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
    return Fault(body=body.encode(), headers={"content-type": "text/event-stream"})
