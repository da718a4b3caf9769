"""Columns of a gallery's table beside its own: their names, and what they hold."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ctgi.retrieval.lance.filters import Kind
from ctgi.retrieval.lance.tables import OWN, PATH

if TYPE_CHECKING:
    import pyarrow as pa

_ESCAPED = {"%": "%25", ".": "%2E", "`": "%60"}
"""What LanceDB does not take in a name."""


def stored_name(name: str) -> str:
    """A column's name as the table has it: any name is fine, also those of the table's own columns."""
    escaped = "".join(_ESCAPED.get(char, char) for char in name)
    return f"%{escaped}" if name in OWN or name.startswith("_") else escaped


def shown_name(stored: str) -> str:
    """The name that a person gave."""
    if stored.startswith("%") and not stored.startswith(tuple(_ESCAPED.values())):
        stored = stored[1:]
    for char, escape in reversed(_ESCAPED.items()):
        stored = stored.replace(escape, char)
    return stored


def kinds_of(schema: "pa.Schema") -> Mapping[str, Kind]:
    """What each column of the person holds, by its name."""
    import pyarrow as pa

    found: dict[str, Kind] = {}
    for field in schema:
        if field.name in OWN:
            continue
        if pa.types.is_integer(field.type):
            found[shown_name(field.name)] = "whole"
        elif pa.types.is_floating(field.type):
            found[shown_name(field.name)] = "real"
        elif pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            found[shown_name(field.name)] = "text"
    return found


def identifier(name: str) -> str:
    """A column in a condition of LanceDB."""
    return PATH if name == PATH else f"`{stored_name(name)}`"
