"""Other people's text on a terminal."""

import io

import pytest
from rich.console import Console

from ctgi.cli.terminal import markup, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("woman with a red bag", "woman with a red bag"),
        ("\x1b[31mred\x1b[0m\x07", r"\x1b[31mred\x1b[0m\x07"),
        ("\x9b31m \x7f \x00", r"\x9b31m \x7f \x00"),
        ("two\nlines\r\nand\ttabs\u2028", "two lines  and tabs "),
        ("gnp.\u202eexe \u2066x\u2069 \ufeff\u200b", r"gnp.\u202eexe \u2066x\u2069 \ufeff\u200b"),
        ("caf\udce9", r"caf\udce9"),
        ("红色的包 مرحبا 👩\u200d🦰", "红色的包 مرحبا 👩\u200d🦰"),
        ("\U000e0041", r"\U000e0041"),
        ("", ""),
    ],
)
def test_plain_shows_what_would_act(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[link=http://a]x[/link]", "[/]", "a\\", "\\[red]x", "\x1b[1m"])
def test_markup_is_printed_and_not_obeyed(text: str) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=200, highlight=False)
    console.print(f"[green]{markup(text)}[/green]")
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert printed == f"\x1b[32m{plain(text)}\x1b[0m\n"
