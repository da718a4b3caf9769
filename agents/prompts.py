"""The prompts, read from agents/prompts/*.txt; what is filled in is data and is kept to one quoted line."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from ctgi.settings_tables import PromptSettings

Wording = Callable[[str], str]
"""The text of a prompt by its name."""


@cache
def prompt(name: str, wording: str = "ctgi") -> str:
    """The text of one prompt file of a shipped set, without its final newline."""
    folder: Any = files("ctgi.agents") / "prompts"
    folder = folder if wording == "ctgi" else folder / wording
    return str((folder / f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n"))


def worded(settings: PromptSettings) -> Wording:
    """The prompts of a run: the user's own, else those of the chosen set."""
    own = settings.own()

    def text(name: str) -> str:
        return own[name] if name in own else prompt(name, settings.set if name in PromptSettings.names() else "ctgi")

    return text


def prompt_names() -> list[str]:
    """The prompts there are."""
    found = (files("ctgi.agents") / "prompts").iterdir()
    return sorted(file.name.removesuffix(".txt") for file in found if file.is_file())


def quoted(text: str) -> str:
    """A text as one line that cannot close the quotation marks around it."""
    return " ".join(text.split()).replace('"', "'")
