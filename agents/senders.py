"""What leaves this machine: which tools send what, to whom, and through which proxy."""

import os
from collections.abc import Collection, Iterable

from ctgi.agents.assemble import where
from ctgi.config import Settings
from ctgi.errors import CtgiError
from ctgi.network import Proxies, is_local, place_of, proxy_for, public_url
from ctgi.tools.backends import MLLMS
from ctgi.tools.specs import TOOLS
from ctgi.tools.tool_calls import AGENT

_LANGSMITH = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2")


def senders(settings: Settings, tools: Iterable[str], *, images: Collection[str] | None = None) -> list[str]:
    """One line per place outside this machine and kind of content; empty if nothing leaves.

    Args:
        settings: how the tools are bound.
        tools: the tools that a run may call.
        images: the tools among them that get images in this run; None for all that may.
    """
    looking = [tool for tool, spec in TOOLS.items() if spec.takes_image] if images is None else images
    looking = [*looking, AGENT] if settings.agent.pictures else looking
    told: dict[tuple[str, str], list[str]] = {}
    for tool in tools:
        what = "images and texts" if tool in looking else "texts"
        for place in _destinations(tool, settings):
            told.setdefault((what, place), []).append(tool)
    return [
        f"these bindings send {what} to {place}: {', '.join(names)}" for (what, place), names in told.items()
    ] + _traced(settings)


def _destinations(tool: str, settings: Settings) -> list[str]:
    """Where a tool sends its input, in words; none if it stays here or cannot be sent."""
    binding = settings.binding(tool)
    if where(binding, settings) in ("this process", "the terminal"):
        return []
    endpoint = settings.endpoint(binding)
    if not endpoint.base_url:
        return [f"the plug-in {endpoint.provider}"] if endpoint.provider in MLLMS.names() else []
    return [place for url in endpoint.servers if (place := _place(url, endpoint.proxies))]


def _place(url: str, proxies: Proxies) -> str | None:
    """A server in words; None for one on this machine, or that cannot be reached."""
    try:
        proxy = proxy_for(url, proxies)
    except (ValueError, CtgiError):
        return None  # opening the model reports why
    if proxy is None and is_local(url):
        return None
    private = place_of(url) == "your network"
    place = f"{public_url(url)}{' in your own network' if private else ''}"
    return f"{place}, through {proxy}" if proxy else place


def _traced(settings: Settings) -> list[str]:
    """LangGraph reports to LangSmith if the environment says so, and what an agent's model sees is reported as well."""
    asked = next((name for name in _LANGSMITH if os.environ.get(name, "").lower() == "true"), None)
    address = os.environ.get("LANGSMITH_ENDPOINT") or "https://api.smith.langchain.com"
    if asked is None or is_local(address):
        return []
    seen = ", and the images that an agent sees," if settings.agent.pictures else ""
    return [f"LangGraph sends texts and the paths of images{seen} to {public_url(address)} ({asked})"]
