"""Other people's text on a terminal."""

from ctgi import text as others
from ctgi.secrets import masked


def plain(text: str) -> str:
    """`text` as one line that is safe for a terminal, without the configuration's keys and passwords."""
    return masked(others.plain(text))


def markup(text: str) -> str:
    """`text` as one safe line for rich markup: its square brackets are characters, never styles or links."""
    from rich.markup import escape

    return escape(plain(text))
