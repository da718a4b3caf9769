"""A chat request as a server understands it."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_ROLES = {"developer": "system"}


@dataclass(frozen=True)
class Request:
    """One chat request as the scripted server understood it."""

    system: str
    images: tuple[str, ...]
    """sha256 of the bytes of each image, in order; of one given by address, the address."""
    prompts: tuple[str, ...]
    """Every user text, oldest first."""
    replies: tuple[str, ...]
    """Every assistant text, oldest first."""
    tools: tuple[str, ...]
    """Names of the tools that are offered."""
    results: tuple[str, ...]
    """What called tools returned, oldest first."""
    parts: tuple[str, ...]
    """Kinds of the parts in order of appearance: "system", "image", "text", "assistant" and "tool"."""
    choices: tuple[str, ...]
    """The words one of which the reply has to be."""
    body: Mapping[str, Any]
    """The JSON as it was sent."""
    headers: Mapping[str, str]
    """By name in lower case."""

    @property
    def prompt(self) -> str:
        """The last user text: the question."""
        return self.prompts[-1] if self.prompts else ""


def parse_request(body: Mapping[str, Any], headers: Mapping[str, str]) -> Request:
    """The parts of a request's body."""
    parts = [part for message in body["messages"] for part in _parts(message)]

    def texts(kind: str) -> tuple[str, ...]:
        return tuple(text for other, text in parts if other == kind)

    return Request(
        system="\n".join(texts("system")),
        images=texts("image"),
        prompts=texts("text"),
        replies=texts("assistant"),
        tools=tuple(tool["function"]["name"] for tool in body.get("tools") or ()),
        results=texts("tool"),
        parts=tuple(kind for kind, _ in parts),
        choices=tuple((body.get("structured_outputs") or {}).get("choice", ())),
        body=body,
        headers=headers,
    )


def _parts(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind, text) of each part; a message that holds tool calls alone has none."""
    role = _ROLES.get(message["role"], message["role"])
    content = message.get("content") or []
    parts: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for part in parts:
        if part["type"] == "image_url":
            yield "image", _image(part["image_url"]["url"])
        else:
            yield "text" if role == "user" else role, part["text"]


def _image(url: str) -> str:
    if not url.startswith("data:"):
        return url
    return hashlib.sha256(base64.b64decode(url.partition(",")[2])).hexdigest()
