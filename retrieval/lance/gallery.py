"""A gallery on LanceDB, opened for searching: one version of its table, however it changes meanwhile."""

import os
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.retrieval.caption_rows import CAPTION_WEIGHT, CaptionOf, caption_vectors, owners
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.fusion import blend, check_mode
from ctgi.retrieval.gallery import DEPTH, Check, Gallery, Narrowing
from ctgi.retrieval.gallery_manifest import Entry
from ctgi.retrieval.images import ImageRef, display
from ctgi.retrieval.lance.captioned import CaptionedRows
from ctgi.retrieval.lance.filters import Kind
from ctgi.retrieval.lance.found import FoundRows, Group
from ctgi.retrieval.lance.known import identifier, kinds_of, stored_name
from ctgi.retrieval.lance.known_columns import KnownColumns
from ctgi.retrieval.lance.place import LancePlace, explained
from ctgi.retrieval.lance.tables import (
    LIST_ROWS,
    MTIME,
    OWN,
    PATH,
    SHA256,
    SIZE,
    VECTOR,
    LanceTable,
    any_of,
    matrix,
    quoted,
)
from ctgi.retrieval.parts import PART_ROWS, Part, Space
from ctgi.retrieval.ranking import Candidate, Refinement
from ctgi.retrieval.sources.reading import is_unchanged
from ctgi.retrieval.sources.references import placed

if TYPE_CHECKING:
    import pyarrow as pa

_PROBES, _ONE_IN = 24, 50
"""So many lists of an index are read at least, and one in so many; more where a filter leaves too few rows in them."""
_COMPARED, _REFINE = 1000, 2
"""An index only chooses so many rows, or so many times those wanted, which are then compared exactly."""
_RANKED = (PATH, SHA256, VECTOR)


class LanceGallery(Gallery):
    """One version of a table. Made by `open_lance`."""

    def __init__(self, table: LanceTable, encoder: Encoder | None) -> None:
        super().__init__(encoder)
        self._place = table.place
        self._header = table.header
        self._live = table
        self._filter: str | None = None
        self._group: str | None = None
        self._captions: CaptionedRows | None = None
        self._captions_crc32: int | None = None
        with explained(self._place):
            self._version = table.table.version
            self._table = _at_version(table, self._version)
            self._count: int = self._table.count_rows()
            self._probes = _probes(self._table)

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
        """What distinguishes this gallery from others: encoder, images, captions, filter."""
        told: dict[str, str | int] = {
            "fingerprint": self._header.fingerprint, "count": self._count, "version": self._version,
        }  # fmt: skip
        if self._captions_crc32 is not None:
            told["captions_crc32"] = self._captions_crc32
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

    def check(self) -> Check:
        """Whether images were deleted or changed since indexing; of a large gallery a sample is looked at."""
        looked_at = self._looked_at()
        with explained(self._place):
            rows = self._table.take_offsets([*looked_at]).select([PATH, SIZE, MTIME]).to_arrow()
        found = _columns(rows.select([PATH, SIZE, MTIME]))
        changed = (path for name, *state in found if not is_unchanged(path := self._path(name), *state))
        return Check(tuple(changed), len(looked_at))

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

    @property
    def space(self) -> Space:
        """What its embeddings are of."""
        header = self._header
        return Space(header.spec, header.fingerprint, header.dim, header.dtype, self.root)

    def parts(self) -> Iterator[Part]:
        """All of it, streamed."""
        import pyarrow as pa

        columns = [*OWN, *map(stored_name, self._kinds)]
        with explained(self._place):
            for batch in self._table.search().select(columns).to_batches(PART_ROWS):
                rows = pa.Table.from_batches([batch])
                own = _columns(rows.select([PATH, SHA256, SIZE, MTIME]))
                entries = [Entry(self._path(name), *others) for name, *others in own]
                told = _columns(rows.select(columns[len(OWN) :])) if self._kinds else iter([()] * len(entries))
                known = [dict(zip(self._kinds, row, strict=True)) for row in told]
                yield Part(entries, matrix(rows), known)

    # --- what is searched

    def with_captions(self, caption_of: CaptionOf, weight: float = CAPTION_WEIGHT) -> tuple[Gallery, int]:
        """This gallery, searched by image and caption together, and how many of its images have a caption.

        Every image is compared with every query then; an index cannot help.
        """
        if self.encoder is None:
            return self, 0
        images: list[str] = self._rows([SHA256])[SHA256].to_pylist()
        contents = sorted(set(images))
        known = owners(zip(contents, contents, strict=True), caption_of, weight)
        if not len(known.places):
            return self, 0
        owned = [contents[place] for place in known.places]
        vectors = caption_vectors((caption_of(owned[first]) or "" for first in known.firsts), self.encoder)
        found, places = copy(self), dict(zip(owned, known.captions.tolist(), strict=True))
        found._captions = CaptionedRows(places, vectors, weight)
        found._captions_crc32 = known.crc32
        return found, sum(content in places for content in images)

    def column_names(self) -> tuple[str, ...]:
        """What is known of its images beside their pixels."""
        return tuple(self._kinds)

    def narrowed(self, where: str | None = None, group: str | None = None) -> Self:
        """This gallery with a filter before the ranking, which LanceDB applies where it means the same by it."""
        found, count, ungrouped = copy(self), self._count, 0
        if where is not None:
            found._filter = self._columns_known.condition(where)
            count = found._passing()
        if group is not None:
            name = self._columns_known.named(group)
            found._group = None if name == PATH else stored_name(name)  # each path is a group of its own
            ungrouped = self._counted(f"{identifier(name)} IS NULL")
        found.narrowing = Narrowing(where, group, count, ungrouped)
        return found

    @cached_property
    def _kinds(self) -> Mapping[str, Kind]:
        with explained(self._place):
            return kinds_of(self._table.schema)

    @property
    def _columns_known(self) -> KnownColumns:
        return KnownColumns(self._table, self._place, self._kinds)

    def _passing(self) -> int:
        if self._filter == "false":
            return 0
        if self._filter and self._filter.startswith("_rowid"):
            return self._filter.count(",") + 1
        return self._counted(str(self._filter))

    def _counted(self, condition: str) -> int:
        with explained(self._place):
            found: int = self._table.count_rows(condition)
        return found

    def rank(self, query: NDArray[np.float32], k: int) -> tuple[Candidate, ...]:
        """The k best by a query vector [D]; equal scores in the order of the paths."""
        found = self._ranked_rows(self._nearest(query, k, _RANKED), query)
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
        places = self._places(self._nearest(query, max(DEPTH, k), [PATH]))
        found = self._nearest(lam * query + (1 - lam) * refined, k + len(refinement.anchors), _RANKED)
        if refinement.anchors:
            anchors = self._rows([*_RANKED, *self._grouped], self._and(any_of(SHA256, refinement.anchors)))
            anchors = self._captions.fused(anchors) if self._captions else anchors
            found = pa.concat_tables([found.select(anchors.column_names), anchors])
        rows = self._ranked_rows(found, query)
        anchored = rows.with_contents(refinement.anchors)
        fused = blend(rows.scores, rows.similarities(refined), anchored, refinement.weight, refinement.mode)
        return tuple(
            Candidate(self._ref(*rows.image(row)), float(fused[row]), rows.score(row), places.get(rows.group(row)))
            for row in rows.best(fused)[:k]
        )

    @property
    def _grouped(self) -> list[str]:
        return [] if self._group is None else [self._group]

    def _nearest(self, vector: NDArray[np.float32], k: int, columns: Sequence[str]) -> "pa.Table":
        """Rows of the k nearest groups at least, or all there are; without groups, the k nearest rows."""
        depth = k
        while True:
            found = self._search(vector, depth, [*columns, *self._grouped])
            if self._group is None or len(found) < depth or len(set(self._keys(found))) >= k:
                return found
            depth *= 4

    def _search(self, vector: NDArray[np.float32], k: int, columns: Sequence[str]) -> "pa.Table":
        if self._captions:
            names = list(dict.fromkeys([*columns, *_RANKED]))
            chosen = self._table.search().select(names)
            with explained(self._place):
                batches = (chosen.where(self._filter) if self._filter else chosen).to_batches()
                empty = self._table.schema.empty_table().select(names)
                return self._captions.nearest(empty, batches, vector, k)
        query: Any = self._table.search(np.asarray(vector, np.float32), vector_column_name=VECTOR)
        query = query.distance_type("dot").limit(k).select([*columns, "_distance"])
        if self._probes:
            compared = max(_REFINE, -(-_COMPARED // k))
            query = query.minimum_nprobes(self._probes).maximum_nprobes(0).refine_factor(compared)
        with explained(self._place):
            found: pa.Table = (query.where(self._filter, prefilter=True) if self._filter else query).to_arrow()
        return found

    def _keys(self, found: "pa.Table") -> list[Group]:
        """The group of each row; an image without one is a group of its own."""
        paths: list[str] = found[PATH].to_pylist()
        if self._group is None:
            return [*paths]
        pairs = zip(paths, found[self._group].to_pylist(), strict=True)
        return [path if value is None else (value,) for path, value in pairs]

    def _places(self, found: "pa.Table") -> dict[Group, int]:
        """Groups by their place in a ranking."""
        rows = zip(found["_distance"].to_pylist(), found[PATH].to_pylist(), self._keys(found), strict=True)
        ranked = dict.fromkeys(key for _, _, key in sorted(rows, key=lambda row: row[:2]))
        return {key: place for place, key in enumerate(ranked, 1)}

    def _ranked_rows(self, found: "pa.Table", query: NDArray[np.float32]) -> FoundRows:
        return FoundRows(found, self._keys(found), query)

    def _and(self, condition: str) -> str:
        return f"({self._filter}) AND {condition}" if self._filter else condition


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


def _probes(table: Any) -> int:
    """How many lists of the vectors' index a search reads at least; 0 where there is none."""
    name = next((index.name for index in table.list_indices() if VECTOR in index.columns), None)
    if name is None:
        return 0
    lists: int = table.index_stats(name).num_indexed_rows // LIST_ROWS
    return max(_PROBES, lists // _ONE_IN)


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


def _columns(rows: "pa.Table") -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in rows.columns), strict=True)
