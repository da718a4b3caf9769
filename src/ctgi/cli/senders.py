"""Says, before the first request, what leaves the machine."""

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctgi.config import Settings


def tell_senders(
    settings: "Settings", tools: Collection[str], *, quiet: bool, images: Collection[str] | None = None
) -> None:
    """One line on stderr per place outside this machine to which these tools send something.

    Args:
        settings: how the tools are bound.
        tools: those that the command may call.
        quiet: say nothing.
        images: those that are given images; None for all that can look at one.
    """
    from ctgi.agents.senders import IMAGE_SENDERS, senders
    from ctgi.cli.console import notice

    for line in senders(settings, tools, images=IMAGE_SENDERS if images is None else images):
        notice(line, quiet=quiet)
