"""The prompts, read from agents/prompts/*.txt; what is filled in is data and is kept to one quoted line."""

from functools import cache
from importlib.resources import files


@cache
def prompt(name: str) -> str:
    """The text of one prompt file, without its final newline."""
    return (files("ctgi.agents") / "prompts" / f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n")


def prompt_names() -> list[str]:
    """The prompts there are."""
    return sorted(file.name.removesuffix(".txt") for file in (files("ctgi.agents") / "prompts").iterdir())


def quoted(text: str) -> str:
    """A text as one line that cannot close the quotation marks around it."""
    return " ".join(text.split()).replace('"', "'")
