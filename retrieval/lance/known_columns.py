"""Conditions of SQL over what is known of the images in a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctgi.retrieval.conditions import KEPT_TIME, Conditions
from ctgi.retrieval.lance.filters import Kind, names_in, translated
from ctgi.retrieval.lance.known import identifier, stored_name
from ctgi.retrieval.lance.place import LancePlace, explained
from ctgi.retrieval.lance.tables import PATH
from ctgi.retrieval.metadata import Value


@dataclass(frozen=True)
class KnownColumns:
    """The columns of one version of a table."""

    table: Any
    place: LancePlace
    kinds: Mapping[str, Kind]

    def named(self, name: str) -> str:
        """The column that is meant. Raises ArgumentError where there is none."""
        return Conditions(self._affinities()).named(name)

    def condition(self, where: str) -> str:
        """A condition of SQL as one of LanceDB; what LanceDB would answer otherwise, SQLite answers.

        Raises:
            ArgumentError: not a condition over the columns.
        """
        sample = Conditions(self._affinities(), self._examples(names_in(where, [*self.kinds])))
        told = sample.checked(where)
        sample.rows(where)  # says what else is wrong
        columns = {name.lower(): (identifier(name), kind) for name, kind in self.kinds.items()}
        condition = translated(told, {PATH: (PATH, "text"), **columns})
        return condition if condition is not None else self._rows_by_id(where)

    def _affinities(self, names: Sequence[str] | None = None) -> dict[str, str]:
        """The columns as SQLite takes them, all or some."""
        kinds = self.kinds if names is None else {name: self.kinds[name] for name in names}
        return {name: "TEXT" if kind == "text" else "NUMERIC" for name, kind in kinds.items()}

    def _examples(self, names: Sequence[str]) -> Iterator[list[Value]]:
        """For each of these columns a row with a value, a time where it has one: by them faults are found and told."""
        for name in names:
            times = f"{identifier(name)} LIKE '{KEPT_TIME}'"
            found = self._first(name, times) if self.kinds[name] == "text" else []
            for value in found or self._first(name, f"{identifier(name)} IS NOT NULL"):
                yield ["", *(value if name == one else None for one in self.kinds)]

    def _first(self, name: str, where: str) -> list[Value]:
        query = self.table.search().select([stored_name(name)]).where(where).limit(1)
        with explained(self.place):
            return list(query.to_arrow()[stored_name(name)].to_pylist())

    def _rows_by_id(self, where: str) -> str:
        names = names_in(where, [*self.kinds])
        ids: list[int] = []
        passing = Conditions(self._affinities(names), self._streamed(names, ids)).rows(where)
        chosen = ",".join(str(ids[row]) for row in passing.tolist())
        return f"_rowid IN ({chosen})" if chosen else "false"

    def _streamed(self, names: Sequence[str], ids: list[int]) -> Iterator[Sequence[Value]]:
        """The path and these columns of all rows; their ids are added to `ids`."""
        columns = [PATH, *map(stored_name, names)]
        query = self.table.search().select(columns).with_row_id(True)
        with explained(self.place):
            for batch in query.to_batches():
                ids += batch["_rowid"].to_pylist()
                yield from zip(*(batch[column].to_pylist() for column in columns), strict=True)
