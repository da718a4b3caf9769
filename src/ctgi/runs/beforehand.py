"""Announcements before a run: which models answer, and what leaves the machine."""

from collections.abc import Collection

from ctgi.agents.abilities import is_embedded
from ctgi.agents.senders import senders
from ctgi.config import Settings
from ctgi.runs.events import Events

_SMALL = (
    "the embedded models answer: they are tiny and often wrong on photographs (docs/embedded.md); --profile laptop "
    "downloads better ones once (5 GB), and --bind images=vllm:Qwen/Qwen2-VL-7B-Instruct uses a large one on a server"
)


def announce(settings: Settings, tools: Collection[str], events: Events) -> None:
    """Tell what `beforehand` says."""
    for line in beforehand(settings, tools):
        events.announce(line)


def beforehand(settings: Settings, tools: Collection[str], images: Collection[str] | None = None) -> list[str]:
    """One line for embedded models, and one per place outside this machine to which these tools send something.

    Args:
        settings: how the tools are bound.
        tools: those that the run may call.
        images: those that are given images.
    """
    small = [_SMALL] if any(is_embedded(settings, tool) for tool in tools) else []
    return small + senders(settings, tools, images=images)
