"""The backends behind tools: one file per provider, imported only when a binding names it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ctgi.bindings import Binding
from ctgi.embedded import MLLM, embedded
from ctgi.errors import CtgiError
from ctgi.plugins import OWN_CODE, Plugins
from ctgi.retrieval.images import ImageRef
from ctgi.suggest import did_you_mean
from ctgi.tools.types import Tokens

if TYPE_CHECKING:
    from ctgi.settings import Settings  # which knows the tools, which may speak to models

MLLMS = Plugins(
    "ctgi.backends",
    {
        "vllm": "ctgi.tools.backends.openai_compatible:open_vllm",
        "openai": "ctgi.tools.backends.openai_compatible:open_openai",
        "hf": "ctgi.tools.backends.hf:open_hf",
        "embedded": "ctgi.tools.backends.hf:open_hf",
        OWN_CODE: "ctgi.tools.backends.own_model:open_own_model",
    },
)
"""Each is called with (model, endpoint) and returns an Mllm; `model` is the text after the provider's colon."""
WITHOUT_MODEL = ("templates", "human")
"""Backends that are not models."""


@dataclass(frozen=True)
class ChatRequest:
    """A request to a multimodal model: the image first, then the earlier turns, then the prompt."""

    prompt: str
    image: ImageRef | None = None
    history: tuple[tuple[str, str], ...] = ()
    """Earlier (prompt, reply) pairs about the same image, oldest first; the image stands before the first prompt."""
    system: str = ""
    choices: tuple[str, ...] = ()
    """If given, the reply should be one of these words and the reply carries their probabilities."""
    max_tokens: int = 256


@dataclass(frozen=True)
class ChatReply:
    """A reply of a multimodal model."""

    text: str
    confidence: float | None = None
    """Geometric mean of the probabilities of the generated tokens; None if the backend has no logprobs."""
    choices: dict[str, float] = field(default_factory=dict)
    """Probability of each of the request's choices, summing to 1; empty if the backend reports none."""
    tokens: Tokens = field(default_factory=Tokens)
    thoughts: int = 0
    """Characters of the model's thoughts, which are not part of the text."""
    cut: bool = False
    """The reply reached its limit before its end."""


@dataclass(frozen=True)
class Abilities:
    """What a backend can do, found out by asking it."""

    images: bool
    logprobs: bool
    structured: bool
    """Replies can be forced into one of the choices."""


class Mllm(Protocol):
    """A multimodal model that answers chat requests; safe to call concurrently from one event loop."""

    endpoint: str
    """Where it is, for `ctgi tools list` and messages: a URL, or "this process (cpu)"."""

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Answer one request.

        Raises:
            ToolError: this request failed for good (retries spent, unreadable image, refused by the server).
            EndpointDownError: the server is gone.
            CtgiError: something that only the user can fix, such as an unknown model or a missing key.
        """
        ...

    async def probe(self) -> Abilities:
        """Find out with small real requests what the backend can do. Raises as `chat` does."""
        ...

    async def aclose(self) -> None:
        """Release connections, threads and weights."""
        ...


def open_mllm(binding: Binding, settings: "Settings") -> Mllm:
    """The model behind a binding; its provider's packages are imported only here. Call it in the running loop.

    Raises:
        CtgiError: no such provider, or no model named.
    """
    endpoint = settings.endpoint(binding)
    provider = endpoint.provider or binding.endpoint
    opener = MLLMS.find(provider)
    if opener is None:
        known = [*MLLMS.names(), *WITHOUT_MODEL, *settings.endpoints]
        meant = did_you_mean(provider, known)
        expected = f": expected provider:model, with a provider among {', '.join(known)}"
        raise CtgiError(f"unknown backend {str(binding)!r}{meant or expected}")
    model = embedded(MLLM) if provider == "embedded" else binding.model
    if not model:
        raise CtgiError(f"backend {str(binding)!r} names no model: expected {binding.endpoint}:MODEL")
    from ctgi.tools.backends.whole_replies import WholeReplies

    return WholeReplies(opener(model, endpoint), table=binding.endpoint, max_tokens=endpoint.max_tokens)
