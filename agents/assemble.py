"""Turns bindings into callables: opens the backend of each tool that a graph needs, and puts a role before a model."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pkgutil import resolve_name
from typing import Any

from ctgi.agents.abilities import EMBEDDED_ROLES, is_embedded
from ctgi.agents.pool import QuestionPool
from ctgi.config import Binding, Endpoint, Settings
from ctgi.errors import CtgiError
from ctgi.network import public_url
from ctgi.plugins import OWN_CODE
from ctgi.tools.backends import Mllm, open_mllm
from ctgi.tools.chat_cache import ChatCache
from ctgi.tools.specs import TOOLS
from ctgi.tools.traces.interceptor import DIRECT, Interceptor

Role = Callable[[Mllm], Any]


class Models:
    """Models by binding, each opened once. A program keeps them over many runs and closes them at the end.

    They belong to the event loop that first uses them.
    """

    def __init__(self) -> None:
        self._opened: list[tuple[Binding, Endpoint, Mllm]] = []

    def get(self, binding: Binding, settings: Settings) -> Mllm:
        """The model behind a binding. Raises as `open_mllm` does."""
        endpoint = settings.endpoint(binding)
        for known, as_configured, mllm in self._opened:
            if (known, as_configured) == (binding, endpoint):
                return mllm
        mllm = open_mllm(binding, settings)
        self._opened.append((binding, endpoint, mllm))
        return mllm

    async def aclose(self) -> None:
        """Close all models."""
        while self._opened:
            *_, mllm = self._opened.pop()
            await mllm.aclose()


@asynccontextmanager
async def open_tools(
    settings: Settings,
    names: Iterable[str],
    pool: QuestionPool,
    *,
    cache: ChatCache | None = None,
    roles: Mapping[str, Role] | None = None,
    interceptor: Interceptor = DIRECT,
    models: Models | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """The tools of these names, each served by its backend. Tools with the same binding share one backend.

    Enter it in the event loop that will call the tools: HTTP clients belong to the running loop.
    search_gallery is not opened here: it needs a gallery (ctgi.tools.search_gallery).

    Args:
        settings: bindings and endpoints.
        names: the tools to open.
        pool: the questions that templates choose from.
        cache: where model replies are looked up and kept.
        roles: roles by tool that replace the usual ones.
        interceptor: stands between callers and tools; it records a trace, or answers from one.
        models: kept open by the caller; None opens and closes them here.

    Raises:
        CtgiError: a binding names no backend, or one that cannot serve this tool.
    """
    embedded = {name: role for name, role in EMBEDDED_ROLES.items() if is_embedded(settings, name)}
    speakers = {**embedded, **(roles or {})}
    opened = models or Models()
    shared: dict[Binding, Mllm] = {}

    def model(binding: Binding) -> Mllm:
        if binding not in shared:
            mllm = interceptor.model(binding, opened.get(binding, settings))
            shared[binding] = cache.wrap(binding, settings, mllm) if cache else mllm
        return shared[binding]

    try:
        yield {
            name: interceptor.serve(
                name, settings.binding(name), partial(_open_tool, name, settings.binding(name), model, pool, speakers)
            )
            for name in names
        }
    finally:
        if models is None:
            await opened.aclose()


def _open_tool(
    name: str, binding: Binding, model: Callable[[Binding], Mllm], pool: QuestionPool, roles: Mapping[str, Role]
) -> Any:
    if binding.endpoint == "templates":
        return _template(name, pool)
    if binding.endpoint == "human":
        return _human(name)
    role = roles.get(name) or _resolved(TOOLS[name].role)
    if role is None:
        raise CtgiError(f"{name} cannot be bound to {str(binding)!r}: expected human")
    return role(model(binding))


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
        binding.endpoint in ("templates", "embedded", "open_clip", "trained", OWN_CODE)
        or settings.endpoint(binding).provider == "hf"
    ):
        return "this process"
    return public_url(settings.endpoint(binding).base_url or "unknown")
