"""LanceGallery.rank against LanceDB's own query on the same table: latency, recall, memory; no text is encoded.

Example: python -m benchmarks.lance --rows 100000 --indexed
"""

import argparse
import resource
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.index import seconds_each
from benchmarks.machine import describe_machine
from ctgi.retrieval.gallery import open_gallery
from ctgi.retrieval.gallery_manifest import Entry
from ctgi.retrieval.lance import tables
from ctgi.retrieval.lance.place import LancePlace
from ctgi.retrieval.lance.tables import COMMIT_ROWS, PATH, SHA256, VECTOR, LanceTable, TableHeader
from ctgi.retrieval.ranking import Refinement

VIEWS = 10
K = 20


def people(rows: int, dim: int) -> NDArray[np.float32]:
    """Unit vectors, ten around each person."""
    random = np.random.default_rng(0)
    centers = random.standard_normal((-(-rows // VIEWS), dim), dtype=np.float32)
    vectors = np.repeat(centers, VIEWS, axis=0)[:rows] + 0.8 * random.standard_normal((rows, dim), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def filled(place: LancePlace, vectors: NDArray[np.float32]) -> LanceTable:
    """A gallery of these vectors, in commits as ctgi index makes them."""
    header = TableHeader("random", "random", vectors.shape[1], "float32", "/people")
    table = LanceTable.to_write(place, header)
    for first in range(0, len(vectors), COMMIT_ROWS):
        names = range(first, min(first + COMMIT_ROWS, len(vectors)))
        entries = [Entry(f"{number:08}.jpg", f"{number:064x}", 1, 1) for number in names]
        table.upsert(entries, vectors[names.start : names.stop])
    return table


def bare(table: Any, query: NDArray[np.float32], *, indexed: bool) -> Any:
    """LanceDB's own query, with what ctgi asks of an index."""
    found = table.search(query, vector_column_name=VECTOR).distance_type("dot").limit(K)
    found = found.select([PATH, SHA256, "_distance"])
    if indexed:
        found = found.minimum_nprobes(24).maximum_nprobes(0).refine_factor(50)
    return found.to_arrow()


def main() -> None:
    """Print both sides and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--indexed", action="store_true", help="with an index, whatever the number of rows")
    asked = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        place = LancePlace.of(f"lance:{folder}/db")
        vectors = people(asked.rows, asked.dim)
        table = filled(place, vectors)
        random = np.random.default_rng(1)
        queries = vectors[random.choice(asked.rows, asked.queries)]
        queries = queries + 0.9 * random.standard_normal(queries.shape, dtype=np.float32) / asked.dim**0.5
        if asked.indexed:
            tables.INDEX_ROWS = 0
        table.optimize()
        gallery = open_gallery(str(place))
        query, refined = queries[:2]
        refinement = Refinement("", (f"{7:064x}",), 0.8, "refined")
        ours, theirs, eq7 = seconds_each(
            [
                lambda: gallery.rank(query, K),
                lambda: bare(table.table, query, indexed=asked.indexed),
                lambda: gallery.rank_refined(query, refined, K, refinement),
            ],
            30,
        )
        right = [{f"{row:08}.jpg" for row in np.argsort(-(vectors @ one))[:K]} for one in queries]
        found = [{Path(each.image.path).name for each in gallery.rank(one, K)} for one in queries]
    recall = np.mean([len(one & other) / K for one, other in zip(found, right, strict=True)])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"search, k={K}: ctgi {ours * 1e3:.1f} ms, LanceDB {theirs * 1e3:.1f} ms: {ours / theirs:.3f}")
    print(f"Eq. 7 with an anchor: {eq7 * 1e3:.1f} ms")
    print(f"recall at {K} over {asked.queries} queries: {recall:.4f}; memory {memory:,.0f} MB with the vectors")


if __name__ == "__main__":
    main()
