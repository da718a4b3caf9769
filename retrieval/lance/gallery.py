"""A gallery on LanceDB, opened for searching: one version of its table, however it changes meanwhile."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import ArgumentError, CtgiError
from ctgi.retrieval.caption_rows import CAPTION_WEIGHT
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.fusion import blend, check_mode
from ctgi.retrieval.gallery import DEPTH, Gallery
from ctgi.retrieval.images import ImageRef, display
from ctgi.retrieval.lance.place import LancePlace, explained
from ctgi.retrieval.lance.tables import MTIME, PATH, SHA256, SIZE, VECTOR, LanceTable, any_of, matrix, quoted
from ctgi.retrieval.ranking import Candidate, Refinement
from ctgi.retrieval.sources.reading import is_unchanged
from ctgi.retrieval.sources.references import placed

if TYPE_CHECKING:
    import pyarrow as pa

_PROBES = 24
"""Lists of an index that are read at least; more where a filter leaves too few rows in them."""
_REFINE = 10
"""So many times the wanted rows are compared exactly."""
_CHECKED = 100_000
"""In a larger gallery, images are not looked up on disk when it is opened."""


class LanceGallery(Gallery):
    """One version of a table. Made by `open_lance`."""

    def __init__(self, table: LanceTable, encoder: Encoder | None) -> None:
        super().__init__(encoder)
        self._place = table.place
        self._header = table.header
        self._live = table
        self._filter: str | None = None
        self._group: str | None = None
        with explained(self._place):
            self._version = table.table.version
            self._table = _at_version(table, self._version)
            self._count: int = self._table.count_rows()
            self._indexed = any(VECTOR in index.columns for index in self._table.list_indices())

    def __len__(self) -> int:
        return self._count

    # --- what it is

    @property
    def root(self) -> str:
        """The folder of the images."""
        return root_of(self._place, self._header.root)

    @property
    def home(self) -> Path:
        """A folder of this machine for what belongs to the gallery."""
        return self._place.home

    @property
    def place(self) -> Path:
        """What `open_gallery` finds it by."""
        return Path(self.name)

    @property
    def name(self) -> str:
        """The name for messages and for `--gallery`."""
        return str(self._place)

    @property
    def index_command(self) -> str:
        """The command that updates it."""
        return index_command(self._place, self.root)

    @property
    def made_with(self) -> str:
        """The binding of its encoder."""
        return self._header.spec

    @property
    def fingerprint(self) -> str:
        """The digest of its encoder."""
        return self._header.fingerprint

    @property
    def factory(self) -> str | None:
        """None: faiss does not search it."""
        return None

    @property
    def failed(self) -> int:
        """0: each of the runs that fill it reports its own."""
        return 0

    @property
    def identity(self) -> dict[str, str | int]:
        """What distinguishes this gallery from others: encoder, images, filter."""
        told: dict[str, str | int] = {
            "fingerprint": self._header.fingerprint, "count": self._count, "version": self._version,
        }  # fmt: skip
        return told | (self.narrowing.told() if self.narrowing else {})

    def is_current(self) -> bool:
        """Whether nobody wrote meanwhile. Raises CtgiError where it is gone or cannot be read."""
        return LanceTable.opened(self._place).table.version == self._version

    def is_of(self, encoder: Encoder) -> bool:
        """Whether what is there now was made with this encoder."""
        return LanceTable.opened(self._place).header.fingerprint == encoder.fingerprint

    # --- its images

    def ref(self, row: int) -> ImageRef:
        """The image of a row."""
        with explained(self._place):
            found = self._table.take_offsets([row]).select([PATH, SHA256]).to_arrow().to_pylist()
        return self._ref(found[0][PATH], found[0][SHA256])

    def refs(self) -> Iterator[ImageRef]:
        """All images in row order, streamed."""
        with explained(self._place):
            for batch in self._table.search().select([PATH, SHA256]).to_batches():
                yield from map(self._ref, batch[PATH].to_pylist(), batch[SHA256].to_pylist())

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The stored embeddings of some rows, [N, D], L2-normalized."""
        wanted, places = np.unique(rows, return_inverse=True)
        with explained(self._place):
            found = self._table.take_offsets(wanted.tolist()).select([VECTOR]).to_arrow()
        return matrix(found).astype(np.float32)[places]

    def rows_of(self, sha256: str) -> list[int]:
        """Rows of the images with this content."""
        return self._rows_where(f"{SHA256} = {quoted(sha256)}")

    def rows_named(self, part: str) -> list[int]:
        """Rows of the images whose path within the gallery holds this text, whatever its case."""
        return self._rows_where(f"contains(lower({PATH}), {quoted(part.lower())})")

    def check(self) -> list[str]:
        """Paths of images deleted or changed since indexing; none in a gallery of more than 100,000."""
        if self._count > _CHECKED:
            return []
        rows = self._rows([PATH, SIZE, MTIME])
        return [path for name, *state in _columns(rows) if not is_unchanged(path := self._path(name), *state)]

    def _rows_where(self, where: str) -> list[int]:
        found: list[int] = self._rows(["_rowoffset"], where)["_rowoffset"].to_pylist()
        return sorted(found)

    def _rows(self, columns: Sequence[str], where: str | None = None) -> "pa.Table":
        query = self._table.search().select([*columns])
        with explained(self._place):
            return (query.where(where) if where else query).to_arrow().select([*columns])

    def _path(self, name: str) -> str:
        return placed(self.root, name)

    def _ref(self, name: str, sha256: str) -> ImageRef:
        return ImageRef(self._path(name), sha256)

    # --- what is searched

    def with_captions(self, captions: Mapping[str, str], weight: float = CAPTION_WEIGHT) -> tuple[Gallery, int]:
        """In a gallery in a folder only."""
        raise CtgiError(f"{display(self.name)}: captions are searched in a gallery in a folder: leave --captions out")

    def column_names(self) -> tuple[str, ...]:
        """What is known of its images beside their pixels."""
        return ()

    def narrowed(self, where: str | None = None, group: str | None = None) -> Self:
        """This gallery with a filter before the ranking."""
        raise ArgumentError(f"{display(self.name)}: where and group need a gallery in a folder")

    def rank(self, query: NDArray[np.float32], k: int) -> tuple[Candidate, ...]:
        """The k best by a query vector [D]; equal scores in the order of the paths."""
        found = _Ranked(self._nearest(query, k, [PATH, SHA256, VECTOR]), query)
        return tuple(
            Candidate(self._ref(*found.image(row)), found.score(row), found.score(row), place)
            for place, row in enumerate(found.best(found.scores)[:k], 1)
        )

    def rank_refined(
        self, query: NDArray[np.float32], refined: NDArray[np.float32], k: int, refinement: Refinement
    ) -> tuple[Candidate, ...]:
        """The k best by Eq. 7. One search with lam * q + (1 - lam) * q_refined finds them."""
        import pyarrow as pa

        check_mode(refinement.mode)
        lam = np.float32(refinement.weight)
        before = self._nearest(query, max(DEPTH, k), [PATH])
        places = {path: place for place, path in enumerate(_in_order(before), 1)}
        found = self._nearest(lam * query + (1 - lam) * refined, k + len(refinement.anchors), [PATH, SHA256, VECTOR])
        if refinement.anchors:
            anchors = self._rows([PATH, SHA256, VECTOR], self._and(any_of(SHA256, refinement.anchors)))
            found = pa.concat_tables([found.select([PATH, SHA256, VECTOR]), anchors])
        ranked = _Ranked(found, query)
        fused = blend(
            ranked.scores, ranked.similarities(refined), ranked.rows_of(refinement.anchors), refinement.weight,
            refinement.mode,
        )  # fmt: skip
        return tuple(
            Candidate(
                self._ref(*ranked.image(row)), float(fused[row]), ranked.score(row), places.get(ranked.image(row)[0])
            )
            for row in ranked.best(fused)[:k]
        )

    def _nearest(self, vector: NDArray[np.float32], k: int, columns: Sequence[str]) -> "pa.Table":
        query: Any = self._table.search(np.asarray(vector, np.float32), vector_column_name=VECTOR)
        query = query.distance_type("dot").limit(k).select([*columns, "_distance"])
        if self._indexed:
            query = query.minimum_nprobes(_PROBES).maximum_nprobes(0).refine_factor(_REFINE)
        with explained(self._place):
            found: pa.Table = (query.where(self._filter, prefilter=True) if self._filter else query).to_arrow()
        return found

    def _and(self, condition: str) -> str:
        return f"({self._filter}) AND {condition}" if self._filter else condition


class _Ranked:
    """Rows found, each path once, with their exact scores."""

    def __init__(self, found: "pa.Table", query: NDArray[np.float32]) -> None:
        paths: list[str] = found[PATH].to_pylist()
        once = list({path: row for row, path in enumerate(paths)}.values())
        self._paths = [paths[row] for row in once]
        self._contents: list[str] = found[SHA256].take(once).to_pylist()
        self._vectors = matrix(found)[once].astype(np.float32)
        self.scores = self.similarities(query)

    def similarities(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosines of all rows, equal for equal rows."""
        found: NDArray[np.float32] = np.einsum("ij,j->i", self._vectors, vector)
        return found

    def score(self, row: int) -> float:
        return float(self.scores[row])

    def image(self, row: int) -> tuple[str, str]:
        return self._paths[row], self._contents[row]

    def rows_of(self, contents: Sequence[str]) -> list[int]:
        return [row for row, content in enumerate(self._contents) if content in contents]

    def best(self, scores: NDArray[np.float32]) -> list[int]:
        """Rows, best first; equal scores in the order of the paths."""
        return sorted(range(len(scores)), key=lambda row: (-scores[row], self._paths[row]))

    @cached_property
    def paths(self) -> list[str]:
        return self._paths


def open_lance(place: LancePlace, encoder: Encoder | None = None) -> LanceGallery:
    """The gallery there.

    Raises:
        CtgiError: there is none, it is empty, cannot be read, or is another encoder's.
    """
    table = LanceTable.opened(place)
    if encoder is not None:
        table.check(encoder.spec, encoder.fingerprint)
    found = LanceGallery(table, encoder)
    if not len(found):
        raise CtgiError(f"{display(str(place))}: the gallery holds no images yet: run {found.index_command}")
    return found


def root_of(place: LancePlace, root: str) -> str:
    """The folder that the paths of a gallery count from."""
    return root if place.is_remote else os.path.normpath(Path(place.address).resolve() / root)


def index_command(place: LancePlace, root: str) -> str:
    """The command that updates a gallery, for messages."""
    import shlex

    return shlex.join(map(display, ["ctgi", "index", root, "--out", str(place)]))


def _at_version(table: LanceTable, version: int) -> Any:
    """The table as it then was; what is written meanwhile does not show."""
    found = table.place.connect().open_table(table.table.name)
    found.checkout(version)
    return found


def _in_order(found: "pa.Table") -> list[str]:
    pairs = zip(found["_distance"].to_pylist(), found[PATH].to_pylist(), strict=True)
    return [path for _, path in sorted(pairs)]


def _columns(rows: "pa.Table") -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in rows.columns), strict=True)
