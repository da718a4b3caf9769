"""Conditions of SQL that are valid and mean nothing, or not what they say: told before one is answered."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ctgi.retrieval.condition_words import Word
from ctgi.retrieval.metadata import Value
from ctgi.text import plain

Example = Callable[[str], Value]
"""A value of a column, a time where it has one; None for a column without values."""

_ORDERS = ("<", "<=", ">", ">=")
_COMPARISONS = ("=", "==", "<>", "!=", *_ORDERS)
_ENDS = ("", "(", ")", ",", "AND", "OR", "NOT", "WHEN", "THEN", "ELSE", "CASE", "END")
"""What may stand beside a comparison; the first is nothing."""
_JOINTS = ("AND", "OR", "NOT", ",", "WHEN", "THEN", "ELSE", "CASE", "END")
_GIVE_TEXT = (
    "date", "datetime", "lower", "ltrim", "rtrim", "strftime", "substr", "substring", "time", "trim", "typeof", "upper",
)  # fmt: skip
_GIVE_NUMBERS = ("abs", "instr", "json_array_length", "julianday", "length", "round", "unixepoch")
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d.*")
_NOTHING = Word("mark", "")


class _Side(NamedTuple):
    """One side of a comparison, where it is nothing but a column, a call or a literal."""

    kind: str
    """column, call, number or text."""
    shown: str
    name: str = ""


def trap_in(words: Sequence[Word], kinds: Mapping[str, str], example: Example) -> str | None:
    """What is wrong with a condition that SQLite would answer, with the cure; None where nothing is.

    Args:
        words: the condition.
        kinds: NUMERIC or TEXT by column, in lower case.
        example: a column's value.
    """
    return _chained(words) or _of_lists(words) or _of_nulls(words) or _of_kinds(words, kinds, example)


def _chained(words: Sequence[Word]) -> str | None:
    """1 < height < 2 is true of every height, since 1 < height is 0 or 1."""
    compared = [False]
    for word in words:
        if word.told == "(":
            compared.append(False)
        elif word.told == ")" and len(compared) > 1:
            compared.pop()
        elif word.told in _JOINTS:
            compared[-1] = False
        elif word.told in _COMPARISONS:
            if compared[-1]:
                return "two comparisons in a row: join them, as in height > 1 and height < 2"
            compared[-1] = True
    return None


def _of_lists(words: Sequence[Word]) -> str | None:
    for at, word in enumerate(words):
        if word.told == "IN" and _told(words, at + 1) == "(":
            inside = [one.told for one in words[at + 2 : _closing(words, at + 1)]]
            if not inside:
                return "the list behind IN is empty: name values, as in camera in ('north', 'south')"
            if "NULL" in inside:
                return "NULL in a list is equal to nothing: leave it out, and add: or camera is null"
    return None


def _of_nulls(words: Sequence[Word]) -> str | None:
    for at, word in enumerate(words):
        if word.told in _COMPARISONS and "NULL" in (_told(words, at - 1), _told(words, at + 1)):
            negated = "not " if word.told in ("<>", "!=") else ""
            return f"{word.text} NULL holds for no image: write it like camera is {negated}null"
    return None


def _of_kinds(words: Sequence[Word], kinds: Mapping[str, str], example: Example) -> str | None:
    for left, mark, right in _comparisons(words, kinds):
        for one, other in ((left, right), (right, left)):
            fault = _of_column(one, mark, other, kinds, example) if one.kind == "column" else _of_call(one, other)
            if fault:
                return fault
    return None


def _of_column(column: _Side, mark: str, other: _Side, kinds: Mapping[str, str], example: Example) -> str | None:
    """What a comparison of a column with a literal of the other kind would find: nothing, everything or chance."""
    if kinds[column.name.lower()] == "TEXT":
        return _of_texts(column.shown, mark, other.shown, example(column.name)) if other.kind == "number" else None
    if other.kind != "text" or _NUMBER.fullmatch(other.name) or (value := example(column.name)) is None:
        return None
    return f"{column.shown} holds numbers, such as {value}, and {other.shown} is a text: write a number"


def _of_texts(column: str, mark: str, number: str, value: Value) -> str | None:
    """What is wrong where a column of texts, such as `value`, is compared with a number."""
    if mark not in _ORDERS:  # camera = 3 is that camera
        return None
    if isinstance(value, str) and _TIME.fullmatch(value):
        return f"{column} holds times, and {number} is a number: write a time, as in {column} {mark} '{value}'"
    such = "" if value is None else f", such as '{plain(str(value))[:40]}'"
    cure = f"write it in single quotes, or compare cast({column} as real)"
    return f"{column} holds texts{such}, and {number} is a number: {cure}"


def _of_call(call: _Side, other: _Side) -> str | None:
    if call.kind != "call":
        return None
    if call.name in _GIVE_TEXT and other.kind == "number":
        return f"{call.name}(...) is a text, and {other.shown} is a number: write '{other.shown}'"
    if call.name in _GIVE_NUMBERS and other.kind == "text":
        return f"{call.name}(...) is a number, and {other.shown} is a text: write a number without quotes"
    return None


def _comparisons(words: Sequence[Word], kinds: Mapping[str, str]) -> Iterator[tuple[_Side, str, _Side]]:
    """Both sides of each comparison that have a kind; BETWEEN is two of them, IN one for each value."""
    for at, word in enumerate(words):
        if word.told in (*_COMPARISONS, "BETWEEN", "IN"):
            left = _before(words, at - (_told(words, at - 1) == "NOT"), kinds)
            for mark, right in _compared(words, at, kinds) if left else ():
                if left and right:
                    yield left, mark, right


def _compared(words: Sequence[Word], at: int, kinds: Mapping[str, str]) -> Iterator[tuple[str, _Side | None]]:
    """What the left side of the comparison at this place is compared with, and how."""
    right, end = _after(words, at + 1, kinds)
    if words[at].told == "BETWEEN":
        yield ">=", right
        if _told(words, end) == "AND":
            yield "<=", _after(words, end + 1, kinds)[0]
    elif words[at].told != "IN":
        yield words[at].text, right
    elif _told(words, at + 1) == "(":
        for place in range(at + 2, _closing(words, at + 1)):
            if _told(words, place - 1) in ("(", ","):
                yield "=", _after(words, place, kinds)[0]


def _before(words: Sequence[Word], end: int, kinds: Mapping[str, str]) -> _Side | None:
    """What stands before this place, where it is one thing."""
    start = end - 1
    if _told(words, start) == ")":
        start = _opening(words, start) - 1
    elif _told(words, start - 1) in ("-", "+") and words[start].kind == "number":
        start -= 1
    side, after = _after(words, start, kinds) if start >= 0 else (None, 0)
    return side if after == end and _told(words, start - 1) in _ENDS else None


def _after(words: Sequence[Word], start: int, kinds: Mapping[str, str]) -> tuple[_Side | None, int]:
    """What stands from this place on, where it is one thing; and the place behind it."""
    sign = "-" if _told(words, start) == "-" else ""
    at = start + (_told(words, start) in ("-", "+"))
    word = words[at] if at < len(words) else _NOTHING
    end, side = at + 1, None
    if word.kind == "number":
        side = _Side("number", sign + word.text)
    elif word.kind == "text" and at == start:
        side = _Side("text", word.text, word.text[1:-1].replace("''", "'"))
    elif word.kind == "word" and _told(words, end) == "(":
        side, end = _Side("call", word.text, word.text.lower()), _closing(words, end) + 1
    elif word.name is not None and word.name.lower() in kinds:
        side = _Side("column", plain(word.text), word.name)
    follows = words[end] if end < len(words) else _NOTHING
    is_alone = follows.told in (*_ENDS, *_COMPARISONS, "BETWEEN", "IN") and follows.kind in ("word", "mark")
    return (side if is_alone else None), end


def _told(words: Sequence[Word], at: int) -> str:
    return words[at].told if 0 <= at < len(words) else ""


def _closing(words: Sequence[Word], opening: int) -> int:
    """The place of the bracket that closes this one; the end where none does."""
    depth = 0
    for at in range(opening, len(words)):
        depth += {"(": 1, ")": -1}.get(words[at].told, 0)
        if not depth:
            return at
    return len(words)


def _opening(words: Sequence[Word], closing: int) -> int:
    depth = 0
    for at in range(closing, -1, -1):
        depth += {")": 1, "(": -1}.get(words[at].told, 0)
        if not depth:
            return at
    return 0
