"""What an agent's model decides: the tools to call next, or what it says instead."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ctgi.reading import Json
from ctgi.tools.types import Tokens

AGENT = "agent"
"""The agent's model among the bindings and in traces."""


@dataclass(frozen=True)
class ToolRequest:
    """One call that the model asks for."""

    id: str
    name: str
    arguments: str
    """As the model wrote them: JSON, if it did well."""

    def parsed(self) -> Json | None:
        """The arguments; None where they are no JSON object."""
        try:
            given = json.loads(self.arguments or "{}")
        except (ValueError, RecursionError):
            return None
        return given if isinstance(given, dict) else None


@dataclass(frozen=True)
class Decision:
    """One reply of an agent's model."""

    text: str
    calls: tuple[ToolRequest, ...] = ()
    """Empty where it only speaks."""
    tokens: Tokens = field(default_factory=Tokens)
    refused: bool = False
    """Whether the text is the refusal of the request."""


class Decide(Protocol):
    """An agent's model with its tools."""

    async def __call__(self, messages: Sequence[Json]) -> Decision:
        """What the model does next.

        Args:
            messages: the conversation in the chat-completions format.

        Raises:
            ToolError: there is no usable reply.
            EndpointDownError: the server is gone.
            CtgiError: something to set up, such as a model that cannot call tools.
        """
        ...
