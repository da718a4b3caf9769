"""Says, before the first request, which models answer and what leaves the machine."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from ctgi.cli.console import notice

if TYPE_CHECKING:
    from ctgi.config import Settings


def tell_senders(settings: "Settings", tools: Collection[str], *, quiet: bool) -> None:
    """What `ctgi.runs.beforehand` has to say, on stderr."""
    from ctgi.runs.beforehand import beforehand

    for line in beforehand(settings, tools):
        notice(line, quiet=quiet)
