"""Assembles a chat completion that arrives as an unrequested event stream."""

from pydantic_core import from_json

from ctgi.reading import Json

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")


def is_event_stream(body: bytes) -> bool:
    """Whether a body looks like server-sent events; JSON and HTML never do."""
    return body.startswith((b"data:", b"event:", b"id:", b"retry:", b":"))


def joined(body: bytes) -> Json:
    """The pieces of the events as one chat completion, or the event with an error.

    Raises:
        ValueError: an event is not a JSON object, or the stream ends before the reply.
    """
    text = body.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    events = [data for event in text.split("\n\n") for data in _data(event) if data]
    chunks = [_chunk(event) for event in events if event != "[DONE]"]
    choices = [choice for chunk in chunks for choice in _first_choice(chunk)]
    failed = next((chunk for chunk in chunks if chunk.get("error") or "choices" not in chunk), None)
    if failed is not None and (failed.get("error") or not choices):
        return failed
    finish = next((choice["finish_reason"] for choice in choices if choice.get("finish_reason")), None)
    if finish is None and "[DONE]" not in events:
        raise ValueError("the event stream ends before the reply does")
    usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)
    return {"choices": [_whole(choices) | {"finish_reason": finish}], "usage": usage}


def _data(event: str) -> list[str]:
    """The data of an event; several values if its lines are events without empty lines between."""
    lines = [line.removeprefix("data:").strip() for line in event.split("\n") if line.startswith("data:")]
    alone = all(line.startswith("{") or line == "[DONE]" for line in lines)
    return lines if alone else ["\n".join(lines)]


def _chunk(data: str) -> Json:
    chunk = from_json(data)
    if not isinstance(chunk, dict):
        raise ValueError("an event of the stream is not a JSON object")
    return chunk


def _first_choice(chunk: Json) -> list[Json]:
    choices = chunk.get("choices")
    found = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    return [choice for choice in found if not choice.get("index")][:1]


def _whole(choices: list[Json]) -> Json:
    """One choice: the joined texts of all pieces, with the log probabilities of their tokens."""
    pieces = [piece for choice in choices if isinstance(piece := choice.get("delta") or choice.get("message"), dict)]
    message: Json = {name: "".join(_texts(pieces, name)) or None for name in _TEXTS}
    whole = [one for choice in choices if isinstance(one := choice.get("message"), dict) and one.get("content")]
    if whole:  # each repeats everything so far
        message |= whole[-1]
    parts = [part for piece in pieces if isinstance(piece.get("content"), list) for part in piece["content"]]
    if parts:
        message["content"] = parts
    held = [choice["logprobs"] for choice in choices if isinstance(choice.get("logprobs"), dict)]
    tokens = [token for logprobs in held if isinstance(logprobs.get("content"), list) for token in logprobs["content"]]
    return {"message": message, "logprobs": {"content": tokens} if tokens else None}


def _texts(pieces: list[Json], name: str) -> list[str]:
    return [piece[name] for piece in pieces if isinstance(piece.get(name), str)]
