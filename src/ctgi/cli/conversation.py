"""A search in which the person at the terminal answers."""

import shlex
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ctgi.cli.console import Terminal

if TYPE_CHECKING:
    from ctgi.retrieval.gallery import Gallery
    from ctgi.runs.search import Conversation


def chosen(bind: list[str] | None, profile: str | None, config: Path | None) -> list[str]:
    """The options that choose the same models and settings again."""
    options = [("--bind", spec) for spec in bind or ()]
    options += [(name, str(value)) for name, value in (("--profile", profile), ("--config", config)) if value]
    return [word for option in options for word in option]


def converse(
    gallery: "Gallery", thread: str | None, answers: Sequence[str], events: Terminal, again: list[str]
) -> "Conversation":
    """A dialogue with the person: first what is given, then at the terminal.

    again: options for the command that goes on with it.
    """
    from ctgi.graphs.mti import STOP
    from ctgi.runs.search import Conversation
    from ctgi.tools.backends.human import ask_user

    name, given = thread or uuid.uuid4().hex[:8], iter(answers)
    later = shlex.join(["ctgi", "search", "--interactive", "--thread", name, "-g", str(gallery.name), *again])
    hints = iter([f"to go on later: {later}"])  # told with the first question, when there is something to go on with

    async def ask(question: str, left: int) -> str:
        for hint in hints:
            events.tell(hint)
        for answer in given:
            return answer
        return (await ask_user(f"{question} ({left} more; skip or an empty line: next question, {STOP}: no more)")).text

    return Conversation(name, ask)
