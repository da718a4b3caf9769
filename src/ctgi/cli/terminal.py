"""Other people's text on a terminal."""

from ctgi.text import plain

__all__ = ["markup", "plain"]


def markup(text: str) -> str:
    """`text` as one safe line for rich markup: its square brackets are characters, never styles or links."""
    from rich.markup import escape

    return escape(plain(text))
