"""A condition of SQL in words and marks, as SQLite reads it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\])
    |(?P<comment>--[^\n]*|/\*.*?(?:\*/|$))
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
    |(?P<word>[^\W\d]\w*)
    |(?P<mark>\|\||->>|->|<=|>=|<>|!=|==|<<|>>|\S)
    )""",
    re.VERBOSE | re.DOTALL,
)


class Word(NamedTuple):
    """A part of a condition."""

    kind: str
    """text, quoted, number, word, or mark."""
    text: str
    """As it is written."""

    @property
    def told(self) -> str:
        """As it is compared: words and marks in upper case."""
        return self.text.upper() if self.kind in ("word", "mark") else ""

    @property
    def name(self) -> str | None:
        """The name that it may be, without its quotes."""
        if self.kind == "quoted":
            return self.text[1:-1].replace('""', '"')
        return self.text if self.kind == "word" else None


def words_of(where: str) -> list[Word]:
    """The parts of a condition, without its comments."""
    return [*_words(where)]


def _words(where: str) -> Iterator[Word]:
    for found in _TOKEN.finditer(where):
        kind = str(found.lastgroup)
        if kind != "comment":
            yield Word(kind, found[kind])
