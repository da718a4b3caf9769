"""Says, before the first request, what leaves the machine, and that small models answer where they do."""

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctgi.config import Settings

_SMALL = (
    "the embedded models answer: they are tiny and often wrong on photographs (docs/embedded.md); for real work bind a "
    "large one, like --bind images=vllm:Qwen/Qwen2-VL-7B-Instruct"
)


def tell_senders(
    settings: "Settings", tools: Collection[str], *, quiet: bool, images: Collection[str] | None = None
) -> None:
    """One line on stderr per place outside this machine to which these tools send something; one for embedded models.

    Args:
        settings: how the tools are bound.
        tools: those that the command may call.
        quiet: say nothing.
        images: those that are given images; None for all that can look at one.
    """
    from ctgi.agents.abilities import is_embedded
    from ctgi.agents.senders import IMAGE_SENDERS, senders
    from ctgi.cli.console import notice

    if any(is_embedded(settings, tool) for tool in tools):
        notice(_SMALL, quiet=quiet)
    for line in senders(settings, tools, images=IMAGE_SENDERS if images is None else images):
        notice(line, quiet=quiet)
