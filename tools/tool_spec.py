"""The description of a tool: all that ctgi knows about it."""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ctgi.tools.desk import Answer

Form = Callable[..., Coroutine[Any, Any, Answer]]
"""A tool as an agent's model calls it."""


class Profiles(NamedTuple):
    """The backend of a tool in each profile."""

    embedded: str
    paper: str
    openai: str
    laptop: str


@dataclass(frozen=True)
class ToolSpec:
    """One tool. Values `module:name` are imported on use."""

    name: str
    protocol: type
    """The signature of its calls."""
    result: Any
    """The type of what a call returns."""
    profiles: Profiles
    form: Form
    """Its signature and docstring are what an agent's model reads."""
    role: str | None = None
    """`module:class` that turns a model into this tool; None if no model can serve it."""
    openers: Mapping[str, str] = field(default_factory=dict)
    """Providers whose backends serve it without a chat model, each with the `module:function` that opens one: called
    with (binding, settings), it returns the tool, which has `aclose`.
    """
    template: str | None = None
    """`module:class` that works without a model, made from the question pool."""
    human: str | None = None
    """`module:function` that asks a person."""
    prompts: tuple[str, ...] = ()
    """The prompts that its answers depend on: a replay reports changes of them."""
    example: Mapping[str, Any] = field(default_factory=dict)
    """The arguments of the small request that `ctgi tools check` makes, without the image."""
    looks: bool = False
    """Whether the binding `images` includes it."""

    @property
    def prompt_files(self) -> set[str]:
        """Its prompts as a trace names them."""
        return {f"prompts/{name}.txt" for name in self.prompts}

    @property
    def takes_image(self) -> bool:
        """Whether it may be given an image."""
        return "image" in signature_of(self.protocol).parameters


def signature_of(protocol: type) -> inspect.Signature:
    """The arguments of a tool's calls by name."""
    signature = inspect.signature(protocol.__call__)
    return signature.replace(parameters=list(signature.parameters.values())[1:])
