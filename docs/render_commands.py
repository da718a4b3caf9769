"""Writes docs/commands.md: the --help of every command, as it is printed. Run it with `make docs`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

PAGE = Path(__file__).parent / "commands.md"
_OPENING = """# Commands

What `ctgi COMMAND --help` prints, command by command. `make docs` renders this page; a test fails when it differs.
"""
_WIDTH = 110


def rendered() -> str:
    """The page as it should be."""
    from ctgi.cli import app

    sections = [f"## {name}\n\n```\n{text}\n```\n" for name, text in _helps(typer.main.get_command(app), "ctgi")]
    return "\n".join((_OPENING, *sections))


def _helps(command: Any, name: str, parent: Any = None) -> Iterator[tuple[str, str]]:
    """Each command's name and help, the groups before what is in them."""
    context = command.make_context(
        name.rpartition(" ")[2],
        [],
        parent=parent,
        resilient_parsing=True,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
    )
    lines = command.get_help(context).strip().splitlines()
    yield name, "\n".join(line.rstrip() for line in lines)
    for child in sorted(getattr(command, "commands", {})):
        yield from _helps(command.commands[child], f"{name} {child}", context)


if __name__ == "__main__":
    PAGE.write_text(rendered(), encoding="utf-8")
