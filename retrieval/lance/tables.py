"""One table of LanceDB as a gallery keeps it: rows by path, many writers at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.retrieval.gallery_manifest import Entry
from ctgi.retrieval.gallery_names import encoder_name
from ctgi.retrieval.images import display
from ctgi.retrieval.lance.place import NAME, LancePlace, explained, holds_table

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.table import Table

PATH, SHA256, SIZE, MTIME, VECTOR = "path", "ctgi_sha256", "ctgi_size", "ctgi_mtime_ns", "vector"
OWN = (PATH, SHA256, SIZE, MTIME, VECTOR)
"""Columns of every gallery; others are what is known of the images."""
COMMIT_ROWS = 10_000
"""Rows of one commit: each makes a version and files of its own."""
INDEX_ROWS = 200_000
"""A gallery of fewer rows is searched exactly, without an index."""
LIST_ROWS = 4096
"""Rows of one list of an index."""
_KEPT_VERSIONS = timedelta(days=1)
"""Earlier versions stay so long for those who search them."""
_FORMAT = 1
_KEY = {"lance-schema:unenforced-primary-key": "true"}  # without it, writers of the same path leave it twice
_AT_ONCE = 1000
"""Names in one condition."""
_PATIENCE = 300
"""Seconds that a commit waits for its turn among many writers."""


@dataclass(frozen=True)
class TableHeader:
    """What a gallery says of itself."""

    spec: str
    """The binding of the encoder, for messages."""
    fingerprint: str
    dim: int
    dtype: str
    """float32 or float16."""
    root: str
    """The folder that paths are relative to; others are absolute."""

    def schema(self) -> "pa.Schema":
        """The columns of an empty table."""
        import pyarrow as pa

        kind = pa.float16() if self.dtype == "float16" else pa.float32()
        fields = [
            pa.field(PATH, pa.string(), nullable=False, metadata=_KEY),
            pa.field(SHA256, pa.string()),
            pa.field(SIZE, pa.int64()),
            pa.field(MTIME, pa.int64()),
            pa.field(VECTOR, pa.list_(kind, self.dim)),
        ]
        told = {
            "ctgi_format": str(_FORMAT), "ctgi_encoder": self.spec, "ctgi_fingerprint": self.fingerprint,
            "ctgi_root": self.root,
        }  # fmt: skip
        return pa.schema(fields, metadata=told)

    @classmethod
    def of(cls, schema: "pa.Schema", place: LancePlace) -> "TableHeader":
        """What a table says of itself.

        Raises:
            CtgiError: it is no gallery, or one of a later version.
        """
        import pyarrow as pa

        told = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
        if "ctgi_format" not in told or not set(OWN) <= set(schema.names):
            raise CtgiError(f"{display(str(place))}: its table {NAME} is not a gallery of ctgi: choose another place")
        if told["ctgi_format"] != str(_FORMAT):
            raise CtgiError(f"{display(str(place))}: a gallery of a later ctgi: use the ctgi that made it")
        kind = schema.field(VECTOR).type
        dtype = "float16" if kind.value_type == pa.float16() else "float32"
        return cls(told["ctgi_encoder"], told["ctgi_fingerprint"], kind.list_size, dtype, told["ctgi_root"])


class LanceTable:
    """An open table. Threads may share it; processes open their own."""

    def __init__(self, place: LancePlace, table: "Table") -> None:
        self.place = place
        self.table = table
        self.header = TableHeader.of(table.schema, place)

    @classmethod
    def found(cls, place: LancePlace) -> "LanceTable | None":
        """The table that is there; None where there is none.

        Raises:
            CtgiError: it is no gallery, or cannot be read.
        """
        if not place.is_remote and not holds_table(Path(place.address)):
            return None
        database = place.connect()
        with explained(place):
            try:
                table = database.open_table(NAME)
            except ValueError as error:
                if "was not found" in str(error):
                    return None
                raise
        return cls(place, table)

    @classmethod
    def opened(cls, place: LancePlace) -> "LanceTable":
        """The table that is there.

        Raises:
            CtgiError: there is none, it is no gallery, or cannot be read.
        """
        found = cls.found(place)
        if found is None:
            place.check_kind()
            raise CtgiError(f"{display(str(place))}: no gallery here: make one with ctgi index IMAGES --out {place}")
        return found

    @classmethod
    def to_write(cls, place: LancePlace, wanted: TableHeader, *, rebuild: bool = False) -> "LanceTable":
        """The table for rows of an encoder, made where there is none; another process may make it meanwhile.

        rebuild: begin anew with an empty table.

        Raises:
            CtgiError: it is another encoder's, stored in another precision, or cannot be written.
        """
        found = None if rebuild else cls.found(place)
        if found is None:
            place.check_kind()
            database = place.connect()
            with explained(place):
                mode = "overwrite" if rebuild else "create"
                database.create_table(NAME, schema=wanted.schema(), mode=mode, exist_ok=not rebuild)
            found = cls.opened(place)
        found.check(wanted.spec, wanted.fingerprint)
        if found.header.dtype != wanted.dtype:
            raise CtgiError(
                f"{display(str(place))}: stored as {found.header.dtype}, but the configuration says {wanted.dtype}: "
                "run ctgi index --rebuild, or change [retriever] storage"
            )
        return found

    def check(self, spec: str, fingerprint: str) -> None:
        """Raise CtgiError unless the gallery's vectors are of this encoder's space."""
        header = self.header
        if fingerprint != header.fingerprint:
            made, opened = display(encoder_name(header.spec)), display(encoder_name(spec))
            bound = "" if opened == "embedded" else f" --bind search_gallery={display(spec)}"
            raise CtgiError(
                f"{display(str(self.place))}: made with {made} (fingerprint {display(header.fingerprint[:12])}), "
                f"opened with {opened} ({fingerprint[:12]}): weights, image size, resizing or context length differ. "
                "Bind search_gallery to the first, or make a gallery for the second elsewhere: "
                f"ctgi index IMAGES --out {display(str(self.place))}-2{bound}"
            )

    # --- rows in

    def upsert(self, entries: Sequence[Entry], vectors: NDArray[np.floating]) -> None:
        """Add rows, or replace those of the same paths, in one commit; give about COMMIT_ROWS at once.

        Whatever else is known of an image stays.

        Raises:
            CtgiError: it cannot be written.
        """
        schema = self.header.schema()
        self.merge(pa_table(schema, entries, vectors))

    def merge(self, rows: "pa.Table", *, insert: bool = True) -> None:
        """Write these columns of rows, by path; without `insert`, only of those that are there."""
        merging = self.table.merge_insert(PATH).when_matched_update_all()
        if insert:
            merging = merging.when_not_matched_insert_all()
        with explained(self.place):
            _persistently(lambda: merging.execute(rows))

    def delete(self, paths: Iterable[str]) -> None:
        """Remove the rows of these paths."""
        for some in in_parts(paths):
            condition = any_of(PATH, some)
            with explained(self.place):
                _persistently(partial(self.table.delete, condition))

    def optimize(self) -> list[str] | None:
        """Index the vectors and columns of a large gallery, join small files, and drop versions of yesterday.

        One process does this, beside writers and searchers.

        Returns:
            Columns that were indexed for the first time; None where there are too few rows for that.

        Raises:
            CtgiError: it cannot be written.
        """
        from lancedb.index import BTree, IvfRq

        rows, made = self.count(), []
        lists = max(1, rows // LIST_ROWS)
        with explained(self.place):
            known = {column for index in self.table.list_indices() for column in index.columns}
            for column in self.table.schema.names if rows >= INDEX_ROWS else ():
                if column not in (*known, SIZE, MTIME):
                    vectors = IvfRq(distance_type="dot", num_partitions=lists, max_iterations=10, sample_rate=64)
                    self.table.create_index(column, config=vectors if column == VECTOR else BTree())
                    made.append(column)
            self.table.optimize(cleanup_older_than=_KEPT_VERSIONS)
        return made if rows >= INDEX_ROWS else None

    def files(self) -> int:
        """Files of rows; many small ones make searches slow."""
        with explained(self.place):
            told: Any = self.table.stats()
            return int(told["fragment_stats"]["num_fragments"])

    # --- rows out

    def count(self) -> int:
        """Rows."""
        with explained(self.place):
            return int(self.table.count_rows())

    def committed(self) -> float:
        """When the last commit was, in seconds since 1970."""
        with explained(self.place):
            return float(max(version["timestamp"].timestamp() for version in self.table.list_versions()))

    def contents(self) -> int:
        """Different contents among the rows."""
        seen = [np.empty(0, np.uint64)]
        for batch in self.batches([SHA256]):
            digests: list[str] = batch[SHA256].to_pylist()
            seen.append(np.fromiter((int(digest[:16], 16) for digest in digests), np.uint64, len(digests)))
        return len(np.unique(np.concatenate(seen)))

    def bytes(self) -> int:
        """Bytes that the rows take, without indexes and earlier versions."""
        with explained(self.place):
            told: Any = self.table.stats()
            return int(told["total_bytes"])

    def known(self, paths: Sequence[str]) -> dict[str, Entry]:
        """The rows of these paths, without their vectors."""
        found: dict[str, Entry] = {}
        for some in in_parts(paths):
            rows = self.rows([PATH, SHA256, SIZE, MTIME], any_of(PATH, some))
            found |= {row[PATH]: Entry(*row.values()) for row in rows.to_pylist()}
        return found

    def vectors_of(self, contents: Sequence[str]) -> Mapping[str, NDArray[np.floating]]:
        """The embeddings of these contents, as far as there are any."""
        found: dict[str, NDArray[np.floating]] = {}
        for some in in_parts(contents):
            rows = self.rows([SHA256, VECTOR], any_of(SHA256, some))
            found |= dict(zip(rows[SHA256].to_pylist(), matrix(rows), strict=True))
        return found

    def rows(self, columns: Sequence[str], where: str | None = None) -> "pa.Table":
        """Some columns of the rows for which a condition of Lance holds."""
        query = self.table.search().select([*columns])
        with explained(self.place):
            return (query.where(where) if where else query).to_arrow().select([*columns])

    def batches(self, columns: Sequence[str], rows: int = COMMIT_ROWS) -> "Iterator[pa.RecordBatch]":
        """Some columns of all rows, streamed."""
        with explained(self.place):
            yield from self.table.search().select([*columns]).to_batches(rows)


def pa_table(schema: "pa.Schema", entries: Sequence[Entry], vectors: NDArray[np.floating]) -> "pa.Table":
    """Rows as LanceDB takes them."""
    import pyarrow as pa

    kind = schema.field(VECTOR).type
    flat = np.ascontiguousarray(vectors, kind.value_type.to_pandas_dtype()).reshape(-1)
    columns: list[Any] = [[entry[place] for entry in entries] for place in range(4)]
    return pa.table([*columns, pa.FixedSizeListArray.from_arrays(pa.array(flat), kind.list_size)], schema=schema)


def matrix(rows: "pa.Table") -> NDArray[np.floating]:
    """The vectors of rows, [N, D], as stored."""
    column = rows[VECTOR]
    found: NDArray[np.floating] = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return found.reshape(-1, column.type.list_size)


def any_of(column: str, texts: Iterable[str]) -> str:
    """The condition of Lance that a column is one of these texts."""
    return f"{column} IN ({', '.join(map(quoted, texts))})"


def quoted(text: str) -> str:
    """A text in a condition of Lance."""
    return "'" + text.replace("'", "''") + "'"


def in_parts(texts: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """As many as fit into one condition at once."""
    left = iter(texts)
    while part := tuple(islice(left, _AT_ONCE)):
        yield part


def _persistently(write: Callable[[], object]) -> None:
    """Write again where another process committed first; LanceDB itself tries some times before."""
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

    Retrying(
        retry=retry_if_exception(_is_conflict), wait=wait_random_exponential(0.1, 5), stop=stop_after_delay(_PATIENCE),
        reraise=True,
    )(write)  # fmt: skip


def _is_conflict(error: BaseException) -> bool:
    return "conflict" in str(error).lower() or "concurrent" in str(error).lower()
