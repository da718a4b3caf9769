"""Suggestions for unknown names: the most similar known name."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ctgi.faults import first_fault, first_place

_OTHER_NAMES = {"lambda": "lam", "top": "k", "model": "bindings"}
"""Common other words for our names."""


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The known name that is most like `word`, if any is.

    likeness: from 0 to 1, as difflib's ratio.
    """
    names = {name.lower(): name for name in known}
    other = _OTHER_NAMES.get(word.lower())
    found = [other] if other in names else get_close_matches(word.lower(), names, n=1, cutoff=likeness)
    return names[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean NAME?`, or nothing where no known name is like `word`."""
    name = nearest(word, known)
    return f"; did you mean {name}?" if name else ""


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """The first error in a table of settings: place, problem, and a suggestion."""
    problem = error.errors(include_url=False, include_input=False)[0]
    place, kind, name = problem["loc"], problem["type"], first_place(error)
    if kind == "extra_forbidden":
        known = keys_of(model, place[:-1])
        return f"{name}: no such setting{did_you_mean(str(place[-1]), known) or ': expected ' + ', '.join(known)}"
    if kind == "literal_error":
        given, known = error.errors(include_url=False)[0]["input"], re.findall("'([^']+)'", problem["msg"])
        return f"{name}: {problem['msg']}{did_you_mean(str(given), known)}"
    return first_fault(error)


def keys_of(model: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    """The keys of the table of settings at this place."""
    table: type[BaseModel] = model
    for part in place:
        if part in table.model_fields:  # else the name of an endpoint
            table = next(_tables(table.model_fields[part].annotation), table)
    return list(table.model_fields)


def _tables(annotation: Any) -> Iterator[type[BaseModel]]:
    """The tables in a type such as `dict[str, Endpoint]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _tables(part)
