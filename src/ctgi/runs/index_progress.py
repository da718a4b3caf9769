"""How far a gallery is that several nodes fill, told by its rows and the list of its images: from any machine."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.reading import Json
from ctgi.retrieval.finding import many_canonical
from ctgi.retrieval.lance.build import name_below
from ctgi.retrieval.lance.gallery import root_of
from ctgi.retrieval.lance.place import PREFIX, LancePlace
from ctgi.retrieval.lance.tables import PATH, SHA256, LanceTable
from ctgi.runs.manifest import all_rows
from ctgi.text import plain


@dataclass(frozen=True)
class Filled:
    """What there is of a gallery."""

    gallery: str
    images: int
    """On the list; those that cannot be read never get a row."""
    indexed: int
    """Those of them that have a row with their content."""
    idle_s: float | None
    """Since the last commit, by the clocks of this machine and of the writer's; None before the first."""

    def to_json(self) -> Json:
        """As `ctgi gallery status --json` prints it."""
        idle = None if self.idle_s is None else round(self.idle_s, 1)
        return {"gallery": self.gallery, "images": self.images, "indexed": self.indexed, "idle_s": idle}


def list_of(place: LancePlace) -> Path:
    """The list of the images of a gallery that several nodes fill, in their working directory."""
    return Path(f"{Path(place.address).name}.manifest.jsonl")


def filled(name: str) -> Filled:
    """How many images of the list have a row.

    Raises:
        CtgiError: not a gallery on LanceDB, or there is no list here.
    """
    if not name.startswith(PREFIX):
        raise CtgiError(f"{plain(name)}: several nodes fill galleries on LanceDB alone: name one, like lance:people")
    place = LancePlace.of(name)
    listed = list_of(place)
    if not listed.is_file():
        raise CtgiError(f"{plain(str(listed))}: no such file: run this where ctgi index --ray runs, which lists images")
    table = LanceTable.found(place)
    if table is None:
        return Filled(str(place), sum(1 for _ in all_rows(listed)), 0, None)
    there, root, real = _keys(table), root_of(place, table.header.root), many_canonical()
    images = indexed = 0
    for row in all_rows(listed):
        images += 1
        key = hash((name_below(row.path, root, real), row.sha256))
        at = int(there.searchsorted(key))
        indexed += at < len(there) and int(there[at]) == key
    return Filled(str(place), images, indexed, max(0.0, time.time() - table.committed()))


def _keys(table: LanceTable) -> NDArray[np.int64]:
    """A number for each row, by path and content, ascending."""

    def keys() -> Iterator[int]:
        for batch in table.batches([PATH, SHA256]):
            yield from map(hash, zip(batch[PATH].to_pylist(), batch[SHA256].to_pylist(), strict=True))

    return np.sort(np.fromiter(keys(), np.int64))
