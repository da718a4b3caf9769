"""Conditions of SQL as LanceDB's own filters, as far as both mean the same by them."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from ctgi.retrieval.condition_words import Word, words_of
from ctgi.retrieval.lance.tables import quoted

Kind = Literal["text", "whole", "real"]
"""What a column holds: texts, whole numbers, or numbers."""

_COMPARISONS = {"=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_MOST = 2**53
"""Whole numbers from here on are rounded as numbers."""


class _Beyond(Exception):  # no error: SQLite answers the condition then
    """The condition is not among those that mean the same to LanceDB."""


def translated(where: str, columns: Mapping[str, tuple[str, Kind]]) -> str | None:
    """A condition that SQLite accepts, as LanceDB reads it; None where only SQLite can answer it.

    Args:
        where: comparisons of columns with texts and numbers, IN, BETWEEN, LIKE and IS NULL, joined by AND, OR, NOT.
        columns: by name in lower case: the name in LanceDB's conditions, and what the column holds.
    """
    try:
        return _Parser(words_of(where), columns).whole()
    except _Beyond:
        return None


class _Parser:
    def __init__(self, words: list[Word], columns: Mapping[str, tuple[str, Kind]]) -> None:
        self._left = words[::-1]
        self._columns = columns

    def whole(self) -> str:
        found = self._either()
        if self._left:
            raise _Beyond
        return found

    def _either(self) -> str:
        return self._chain("OR", lambda: self._chain("AND", self._negated))

    def _chain(self, word: str, part: Callable[[], str]) -> str:
        parts = [part()]
        while self._takes(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else f"({f' {word} '.join(parts)})"

    def _negated(self) -> str:
        if self._takes("NOT"):
            return f"(NOT {self._negated()})"
        if self._takes("("):
            found = self._either()
            self._expect(")")
            return found
        return self._comparison()

    def _comparison(self) -> str:
        name, kind = self._column()
        group, word = self._next()
        if group == "mark" and word in _COMPARISONS:
            value, is_real = self._value(kind)
            return f"({_as_real(name, kind, is_real)} {_COMPARISONS[word]} {value})"
        if group != "word":
            raise _Beyond
        if word.upper() == "IS":
            negated = "NOT " if self._takes("NOT") else ""
            self._expect("NULL")
            return f"({name} IS {negated}NULL)"
        if word.upper() in ("ISNULL", "NOTNULL"):
            return f"({name} IS {'NOT ' if word.upper() == 'NOTNULL' else ''}NULL)"
        negated = ""
        if word.upper() == "NOT":
            if self._takes("NULL"):
                return f"({name} IS NOT NULL)"
            negated, (_, word) = "NOT ", self._next()
        return f"({negated}{self._test(word.upper(), name, kind)})"

    def _test(self, word: str, name: str, kind: Kind) -> str:
        if word == "IN":
            values = self._list(kind)
            told = ", ".join(value for value, _ in values)
            return f"{_as_real(name, kind, any(real for _, real in values))} IN ({told})"
        if word == "BETWEEN":
            low, low_real = self._value(kind)
            self._expect("AND")
            high, high_real = self._value(kind)
            return f"{_as_real(name, kind, low_real or high_real)} BETWEEN {low} AND {high}"
        if word == "LIKE" and kind == "text":
            group, pattern = self._next()
            if group != "text" or "\\" in pattern or not pattern.isascii() or self._takes("ESCAPE"):
                raise _Beyond  # LanceDB escapes by \, and folds the case of all letters
            return f"{name} ILIKE {pattern}"
        raise _Beyond

    def _list(self, kind: Kind) -> list[tuple[str, bool]]:
        self._expect("(")
        found = [self._value(kind)]
        while self._takes(","):
            found.append(self._value(kind))
        self._expect(")")
        return found

    def _column(self) -> tuple[str, Kind]:
        name = self._next().name
        if name is None or name.lower() not in self._columns:
            raise _Beyond
        return self._columns[name.lower()]

    def _value(self, kind: Kind) -> tuple[str, bool]:
        """A literal for a column, by SQLite's rules of affinity, and whether it has a fraction."""
        sign = "-" if self._takes("-") else ""
        group, word = self._next()
        if group == "text" and not sign:
            text = word[1:-1].replace("''", "'")
            if kind == "text":
                return quoted(text), False
            match = re.fullmatch(r"(-?)(\d+(?:\.\d*)?)", text)
            if match is None:
                raise _Beyond
            sign, word = match.groups()
        elif group != "number" or kind == "text":
            raise _Beyond
        whole = word.isdecimal()
        if whole and int(word) >= _MOST:
            raise _Beyond
        return sign + (word if whole and kind == "whole" else repr(float(word))), not whole

    def _next(self) -> Word:
        if not self._left:
            raise _Beyond
        return self._left.pop()

    def _takes(self, word: str) -> bool:
        if self._left and self._left[-1].told == word:
            self._left.pop()
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._takes(word):
            raise _Beyond


def _as_real(name: str, kind: Kind, is_real: bool) -> str:
    return f"CAST({name} AS DOUBLE)" if kind == "whole" and is_real else name


def names_in(where: str, names: Sequence[str]) -> list[str]:
    """The columns that a condition may speak of."""
    folded = where.lower()
    return [name for name in names if name.lower() in folded or name.lower().replace('"', '""') in folded]
