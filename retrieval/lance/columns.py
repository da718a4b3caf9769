"""Takes over what tables say of images: as columns of a gallery's own table, where LanceDB filters by them."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from ctgi.errors import CtgiError
from ctgi.retrieval.columns import ColumnsReport
from ctgi.retrieval.lance.filters import Kind
from ctgi.retrieval.lance.gallery import root_of
from ctgi.retrieval.lance.known import identifier, kinds_of, stored_name
from ctgi.retrieval.lance.place import explained
from ctgi.retrieval.lance.tables import COMMIT_ROWS, PATH, LanceTable, any_of, in_parts
from ctgi.retrieval.metadata import SOURCES, MetadataRow, Value, is_number, read_metadata
from ctgi.text import plain

if TYPE_CHECKING:
    import pyarrow as pa

_ORDER: tuple[Kind, ...] = ("whole", "real", "text")
"""A column holds what the widest of its values needs."""


@dataclass
class _Kinds:
    """What columns need to hold."""

    found: dict[str, Kind] = field(default_factory=dict)
    values: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    """How many of the values are no numbers."""
    least: dict[str, str] = field(default_factory=dict)
    """The first of these by the alphabet."""

    def take(self, values: Mapping[str, Value]) -> None:
        for name, value in values.items():
            kind = _kind(value)
            known = self.found.get(name)
            self.values[name] += kind is not None
            if kind == "text":
                self.texts[name] += 1
                self.least[name] = min(self.least.get(name, str(value)), str(value))
            self.found[name] = max((one for one in (known, kind) if one), key=_ORDER.index, default="whole")

    def mixed(self) -> dict[str, str]:
        """Columns of numbers with a text among them."""
        return {name: text for name, text in self.least.items() if 2 * self.texts[name] < self.values[name]}


def update_table(table: LanceTable, tables: Sequence[Path]) -> ColumnsReport | None:
    """Take over what tables, and the sources.jsonl beside crops, say of a gallery's images; None where nothing does.

    Raises:
        CtgiError: a table cannot be read or names an image twice, or the gallery cannot be written.
    """
    root = Path(root_of(table.place, table.header.root))
    found = [*_sources(root, table), *tables]
    before = kinds_of(table.table.schema)
    if not found and not before:
        return None
    needed = _Kinds(dict(before))
    for file in found:
        for row in read_metadata(file, root):
            needed.take(row.values)
    _widen(table, before, needed.found)
    unmatched = sum(_take_over(table, needed.found, file, root) for file in found)
    known = " OR ".join(f"{identifier(name)} IS NOT NULL" for name in needed.found)
    with explained(table.place):
        images = table.table.count_rows(known) if known else 0
    return ColumnsReport(tuple(needed.found), images, unmatched, needed.mixed())


def _sources(root: Path, table: LanceTable) -> list[Path]:
    """The tables that lie in the folders of the images, or above them within the root."""
    folders: set[PurePath] = set()
    for batch in table.batches([PATH]):
        for parent in {PurePath(path).parent for path in batch[PATH].to_pylist()} - folders:
            folders |= {parent, *parent.parents}
    return sorted(root / folder / SOURCES for folder in folders if (root / folder / SOURCES).is_file())


def _widen(table: LanceTable, before: Mapping[str, Kind], needed: Mapping[str, Kind]) -> None:
    """Add columns, and let those hold more that need to."""
    import pyarrow as pa

    new = [pa.field(stored_name(name), _type(kind)) for name, kind in needed.items() if name not in before]
    wider = {name: kind for name, kind in needed.items() if name in before and kind != before[name]}
    with explained(table.place):
        if new:
            table.table.add_columns(new)
        for name, kind in wider.items():
            stored, kept = stored_name(name), f"{stored_name(name)}%"
            cast = "STRING" if kind == "text" else "DOUBLE"
            added: Any = {kept: f"CAST({identifier(name)} AS {cast})"}
            table.table.add_columns(added)
            table.table.drop_columns([stored])
            renamed: Any = {"path": kept, "rename": stored}
            table.table.alter_columns(renamed)


def _take_over(table: LanceTable, kinds: Mapping[str, Kind], file: Path, root: Path) -> int:
    """Write a table's rows; returns how many are of no image of the gallery."""
    named: set[int] = set()
    unmatched = 0
    rows = read_metadata(file, root)
    while some := list(islice(rows, COMMIT_ROWS)):
        known = _known(table, kinds, [name for row in some for name in _names(row, root)])
        changed: dict[str, dict[str, Value]] = {}
        for row in some:
            name = next((place for place in _names(row, root) if place in known), None)
            if name is None:
                unmatched += 1
                continue
            if hash(name) in named:
                raise CtgiError(f"{plain(str(file))}, line {row.line}: the second row of {plain(row.places[0])}")
            named.add(hash(name))
            values = {column: _held(value, kinds[column]) for column, value in row.values.items()}
            if any(known[name][column] != value for column, value in values.items()):
                changed[name] = known[name] | values
        if changed:
            table.merge(_rows(table, kinds, changed), insert=False)
    return unmatched


def _known(table: LanceTable, kinds: Mapping[str, Kind], names: Iterable[str]) -> dict[str, dict[str, Value]]:
    """What the gallery knows of the images of these names."""
    columns = [PATH, *map(stored_name, kinds)]
    found: dict[str, dict[str, Value]] = {}
    for some in in_parts(filter(_is_utf8, dict.fromkeys(names))):
        held = table.rows(columns, any_of(PATH, some)).columns
        for path, *values in zip(*(column.to_pylist() for column in held), strict=True):
            found[path] = dict(zip(kinds, values, strict=True))
    return found


def _names(row: MetadataRow, root: Path) -> list[str]:
    """Names that the image of a row may have: from the root, or absolute where it is not below."""
    return [os.path.normpath(root / place) if place.startswith("..") else place for place in row.places]


def _rows(table: LanceTable, kinds: Mapping[str, Kind], changed: Mapping[str, Mapping[str, Value]]) -> "pa.Table":
    import pyarrow as pa

    fields = [table.header.schema().field(PATH), *(pa.field(stored_name(name), _type(kinds[name])) for name in kinds)]
    columns: list[Any] = [list(changed), *([values[name] for values in changed.values()] for name in kinds)]
    return pa.table(columns, schema=pa.schema(fields))


def _kind(value: Value) -> Kind | None:
    """What a column must hold for a value; None for one that fits anywhere."""
    if value is None:
        return None
    if isinstance(value, str):
        if not is_number(value):
            return "text"
        value = _number(value)
    return "whole" if isinstance(value, int) else "real"


def _held(value: Value, kind: Kind) -> Value:
    """A value as a column of this kind holds it."""
    if value is None or kind == "text":
        return value if value is None else str(value)
    number = _number(value) if isinstance(value, str) else value
    return float(number) if kind == "real" else number


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def _type(kind: Kind) -> "pa.DataType":
    import pyarrow as pa

    return {"whole": pa.int64(), "real": pa.float64(), "text": pa.string()}[kind]


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
