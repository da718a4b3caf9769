"""Turns bindings into callables: opens the backend of each tool that a graph needs, and puts a role before a model."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from inspect import signature
from pkgutil import resolve_name
from typing import Any

from ctgi.agents.abilities import EMBEDDED_ROLES, is_embedded
from ctgi.agents.grounder import grounding
from ctgi.agents.pool import QuestionPool
from ctgi.agents.prompts import Wording, prompt, worded
from ctgi.config import Binding, Endpoint, Settings
from ctgi.errors import CtgiError
from ctgi.network import public_url
from ctgi.plugins import OWN_CODE
from ctgi.tools.backends import Mllm, open_mllm
from ctgi.tools.chat_cache import ChatCache
from ctgi.tools.specs import TOOLS
from ctgi.tools.traces.interceptor import DIRECT, Interceptor

Role = Callable[[Mllm], Any]
Opener = Callable[[Binding, Settings], Any]


class Models:
    """Models by binding, each opened once. A program keeps them over many runs and closes them at the end.

    They belong to the event loop that first uses them.
    """

    def __init__(self) -> None:
        self._opened: list[tuple[tuple[Binding, Endpoint, Opener], Any]] = []

    def get(self, binding: Binding, settings: Settings, opener: Opener = open_mllm) -> Any:
        """The model behind a binding: an Mllm, or what `opener` opens. Raises as `opener` does."""
        wanted = (binding, settings.endpoint(binding), opener)
        for known, mllm in self._opened:
            if known == wanted:
                return mllm
        opened = opener(binding, settings)
        self._opened.append((wanted, opened))
        return opened

    async def aclose(self) -> None:
        """Close all models."""
        while self._opened:
            *_, opened = self._opened.pop()
            await opened.aclose()


@asynccontextmanager
async def kept_open(models: Models | None) -> AsyncIterator[Models]:
    """These models, which their owner closes; for None new ones, closed at the end."""
    opened = models or Models()
    try:
        yield opened
    finally:
        if models is None:
            await opened.aclose()


@asynccontextmanager
async def open_tools(
    settings: Settings,
    names: Iterable[str],
    pool: QuestionPool,
    *,
    cache: ChatCache | None = None,
    roles: Mapping[str, Role] | None = None,
    interceptor: Interceptor = DIRECT,
) -> AsyncIterator[dict[str, Any]]:
    """`serve_tools` with models of its own, closed at the end.

    Enter it in the event loop that will call the tools: HTTP clients belong to the running loop.

    Raises:
        CtgiError: a binding names no backend, or one that cannot serve this tool.
    """
    async with kept_open(None) as models:
        yield serve_tools(settings, names, pool, models, cache=cache, roles=roles, interceptor=interceptor)


def serve_tools(
    settings: Settings,
    names: Iterable[str],
    pool: QuestionPool,
    models: Models,
    *,
    cache: ChatCache | None = None,
    roles: Mapping[str, Role] | None = None,
    interceptor: Interceptor = DIRECT,
) -> dict[str, Any]:
    """The tools of these names, each served by its backend. Tools with the same binding share one backend.

    search_gallery is not among them: it needs a gallery (ctgi.tools.search_gallery).

    Args:
        settings: bindings and endpoints.
        names: the tools to open.
        pool: the questions that templates choose from.
        models: kept open, and closed, by the caller.
        cache: where model replies are looked up and kept.
        roles: roles by tool that replace the usual ones.
        interceptor: stands between callers and tools; it records a trace, or answers from one.

    Raises:
        CtgiError: a binding names no backend, or one that cannot serve this tool.
    """
    names = [*names]
    embedded = {name: role for name, role in EMBEDDED_ROLES.items() if is_embedded(settings, name)}
    speakers = {**embedded, **grounding(settings, names), **(roles or {})}
    own = worded(settings.prompts)
    shared: dict[Binding, Mllm] = {}

    def role(name: str) -> Role | None:
        return speakers.get(name) or _role(name, prompt if is_embedded(settings, name) else own)

    def model(binding: Binding) -> Mllm:
        if binding not in shared:
            mllm = interceptor.model(binding, models.get(binding, settings))
            shared[binding] = cache.wrap(binding, settings, mllm) if cache else mllm
        return shared[binding]

    def open_tool(name: str) -> Any:
        binding = settings.binding(name)
        opener = TOOLS[name].openers.get(settings.endpoint(binding).provider or "")
        if opener:
            return models.get(binding, settings, _resolved(opener))
        return _open_tool(name, binding, model, pool, role)

    return {name: interceptor.serve(name, settings.binding(name), partial(open_tool, name)) for name in names}


def _open_tool(
    name: str,
    binding: Binding,
    model: Callable[[Binding], Mllm],
    pool: QuestionPool,
    role_of: Callable[[str], Role | None],
) -> Any:
    if binding.endpoint == "templates":
        return _template(name, pool)
    if binding.endpoint == "human":
        return _human(name)
    role = role_of(name)
    if role is None:
        raise CtgiError(f"{name} cannot be bound to {str(binding)!r}: expected human")
    return role(model(binding))


def _role(name: str, wording: Wording) -> Role | None:
    """What puts a model to this task, in the words of the run."""
    role = _resolved(TOOLS[name].role)
    takes_words = role is not None and "wording" in signature(role).parameters
    return partial(role, wording=wording) if takes_words else role


def _resolved(where: str | None) -> Any:
    return resolve_name(where) if where else None


def _template(name: str, pool: QuestionPool) -> Any:
    template = _resolved(TOOLS[name].template)
    if template is None:
        raise CtgiError(
            f"{name} is bound to templates, which only compose text: bind it to a model, "
            f"like {name}=vllm:Qwen/Qwen2-VL-7B-Instruct"
        )
    return template(pool)


def _human(name: str) -> Any:
    human = _resolved(TOOLS[name].human)
    if human is None:
        able = ", ".join(tool for tool, spec in TOOLS.items() if spec.human)
        raise CtgiError(f"{name} cannot be bound to human; a person can do {able}")
    return human


def where(binding: Binding, settings: Settings) -> str:
    """The place of a backend in words: a URL, this process, or the terminal."""
    if binding.endpoint == "human":
        return "the terminal"
    if (
        binding.endpoint in ("templates", "embedded", "open_clip", "trained", "onnx", OWN_CODE)
        or settings.endpoint(binding).provider == "hf"
    ):
        return "this process"
    return public_url(settings.endpoint(binding).base_url or "unknown").replace(",", ", ")
