"""The same rows as a gallery on LanceDB: written, indexed, opened and searched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from lancedb.index import Bitmap, IvfRq
from numpy.typing import NDArray

from benchmarks.ten_million.cost import megabytes, percentiles, times_of
from benchmarks.ten_million.folder import entry
from benchmarks.ten_million.rows import DIM, blocks, draws
from benchmarks.ten_million.truth import SHARES, K, recall
from ctgi.retrieval.gallery import Gallery, open_gallery
from ctgi.retrieval.lance.place import LancePlace
from ctgi.retrieval.lance.tables import VECTOR, LanceTable, TableHeader, pa_table

Search = Callable[[NDArray[np.float32]], list[str]]
"""Paths of the nearest images."""
_LIST_ROWS = 4096
_REFINE = 10


def place_of(folder: Path) -> LancePlace:
    """The gallery."""
    return LancePlace.of(f"lance:{folder / 'lance'}")


def written(folder: Path, count: int, decay: float) -> dict[str, Any]:
    """Add the rows that are missing, a block in each commit, with a column for each filter."""
    place, header = place_of(folder), TableHeader("synthetic", "synthetic", DIM, "float16", str(folder.absolute()))
    known = {f"in_{one_in}": draws(count, one_in).astype(np.int32) for one_in in SHARES.values() if one_in > 1}
    schema = header.schema()
    for name in known:
        schema = schema.append(pa.field(name, pa.int32()))
    place.connect().create_table("gallery", schema=schema, exist_ok=True)
    table = LanceTable.to_write(place, header)
    begun = first = table.count()
    for rows in blocks(count, decay, begun):
        part = pa_table(header.schema(), [entry(number) for number in range(first, first + len(rows))], rows)
        for name, values in known.items():
            part = part.append_column(name, pa.array(values[first : first + len(rows)]))
        table.table.add(part)
        first += len(rows)
    return {"rows_added": count - begun, "mb": megabytes(folder / "lance")}


def indexed(folder: Path) -> dict[str, Any]:
    """Compress and sort the embeddings into lists, and index the columns of the filters."""
    table = LanceTable.opened(place_of(folder)).table
    lists = max(1, table.count_rows() // _LIST_ROWS)
    table.create_index(
        VECTOR, config=IvfRq(distance_type="dot", num_partitions=lists, max_iterations=10, sample_rate=64)
    )
    for one_in in SHARES.values():
        if one_in > 1:
            table.create_index(f"in_{one_in}", config=Bitmap())
    return {"lists": lists, "mb": megabytes(folder / "lance")}


def opened(folder: Path) -> dict[str, Any]:
    """Open the gallery as a search does."""
    first, *others = times_of(range(3), lambda _: open_gallery(str(place_of(folder))))
    return {"first_s": round(first, 2), "again_s": round(min(others), 2)}


def searched(folder: Path) -> dict[str, Any]:
    """The latency and recall of each filter, one query after the other, through ctgi; and of LanceDB alone."""
    truth = np.load(folder / "truth.npz")
    asked, figures = truth["queries"], {}
    gallery = open_gallery(str(place_of(folder)))
    for name, one_in in SHARES.items():
        narrowed = gallery.narrowed(f"in_{one_in} = 0") if one_in > 1 else gallery
        figures[name] = _measured(_through_ctgi(narrowed), asked, truth[name])
    figures["LanceDB alone"] = _measured(_alone(folder), asked, truth["all"])
    return figures


def _through_ctgi(gallery: Gallery) -> Search:
    return lambda query: [candidate.image.path for candidate in gallery.rank(query, K)]


def _alone(folder: Path) -> Search:
    """The bare query that ctgi's corresponds to."""
    table: Any = LanceTable.opened(place_of(folder)).table
    probes = max(24, table.count_rows() // _LIST_ROWS // 50)

    def search(query: NDArray[np.float32]) -> list[str]:
        found = table.search(query, vector_column_name=VECTOR).distance_type("dot").limit(K)
        found = found.select(["path", "_distance"]).minimum_nprobes(probes).maximum_nprobes(0).refine_factor(_REFINE)
        paths: list[str] = found.to_arrow()["path"].to_pylist()
        return paths

    return search


def _measured(search: Search, asked: NDArray[np.float32], wanted: NDArray[np.int64]) -> dict[str, float]:
    for query in asked[:10]:
        search(query)
    found: list[NDArray[np.int64]] = []
    times = times_of(asked, lambda query: found.append(np.array([int(Path(path).stem) for path in search(query)])))
    shares = [recall(one, right) for one, right in zip(found, wanted, strict=True)]
    return percentiles(times) | {"recall": round(float(np.mean(shares)), 4)}
