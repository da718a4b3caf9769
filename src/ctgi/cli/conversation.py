"""A search in which the person at the terminal answers."""

import shlex
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ctgi.cli.console import Terminal

if TYPE_CHECKING:
    from ctgi.graphs.agent_state import AgentState
    from ctgi.retrieval.gallery import Gallery
    from ctgi.retrieval.images import ImageRef
    from ctgi.runs.search import ByAgent, Conversation
    from ctgi.tools.types import Reply


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
    later = shlex.join(["ctgi", "search", "--interactive", "--thread", name, "-g", gallery.name, *again])
    hints = iter([f"to go on later: {later}"])  # told with the first question, when there is something to go on with

    async def ask(question: str, left: int) -> str:
        for hint in hints:
            events.tell(hint)
        for answer in given:
            return answer
        return (await ask_user(f"{question} ({left} more; skip or an empty line: next question, {STOP}: no more)")).text

    return Conversation(name, ask)


def by_agent(*, asking: bool, goes_on: bool = False, as_json: bool = False) -> "ByAgent":
    """A search by an agent, which may ask the person at the terminal; whoever closes the terminal says nothing more."""
    from ctgi.cli.search_table import print_ranking
    from ctgi.errors import CtgiError
    from ctgi.graphs.agent import Person
    from ctgi.runs.search import ByAgent
    from ctgi.tools.backends import human
    from ctgi.tools.types import Reply

    if not asking:
        return ByAgent()

    def show(state: "AgentState") -> None:
        print_ranking(state["ranking"][: state["length"]], as_json)

    async def ask(question: str, image: "ImageRef | None" = None) -> "Reply":
        try:
            return await human.ask_user(f"{question} (empty: no more)\n>", image)
        except CtgiError:
            return Reply("")

    return ByAgent(Person(goes_on, show) if goes_on else Person(goes_on), ask)
