"""Gallery.rank over a memory-mapped gallery against the raw faiss call on the same vectors; no text encoding in either.

Example: python -m benchmarks.index --rows 1000000 --dim 512
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np

from benchmarks.machine import describe_machine
from ctgi.retrieval.gallery import open_gallery
from ctgi.retrieval.gallery_header import Header
from ctgi.retrieval.gallery_manifest import Entry
from ctgi.retrieval.gallery_writer import GalleryWriter
from ctgi.retrieval.ranking import Refinement


def write_gallery(folder: Path, rows: int, dim: int) -> np.ndarray:
    """A gallery of random unit vectors; returns them."""
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((rows, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    header = Header(spec="random", fingerprint="random", dim=dim, dtype="float32", root="..", index="Flat")
    writer = GalleryWriter(folder, header)
    for start in range(0, rows, 50_000):
        names = range(start, min(start + 50_000, rows))
        writer.append([Entry(f"{i:07}.jpg", f"{i:064x}", 1, 1) for i in names], vectors[names.start : names.stop])
    writer.commit()
    writer.close()
    return vectors


def seconds_each(calls: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each call, taken in turns so that a slow moment hits all of them."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, found in zip(calls, times, strict=True):
            started = time.perf_counter()
            call()
            found.append(time.perf_counter() - started)
    return [statistics.median(found) for found in times]


def main() -> None:
    """Print both sides and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("-k", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        vectors = write_gallery(Path(folder), arguments.rows, arguments.dim)
        raw = faiss.IndexFlatIP(arguments.dim)
        raw.add(vectors)
        query, refined = vectors[:2] + 0
        del vectors
        started = time.perf_counter()
        gallery = open_gallery(folder)
        opened = time.perf_counter() - started
        refinement = Refinement("", (f"{7:064x}",), 0.8, "refined")
        ours, theirs, eq7, theirs_two = seconds_each(
            [
                lambda: gallery.rank(query, arguments.k),
                lambda: raw.search(query[None], arguments.k),
                lambda: gallery.rank_refined(query, refined, arguments.k, refinement),
                lambda: raw.search(np.stack([query, refined]), arguments.k),
            ],
            arguments.repeats,
        )
    print(f"opened {arguments.rows:,} x {arguments.dim} in {opened:.2f} s")
    print(f"search, k={arguments.k}: ctgi {ours * 1e3:.1f} ms, raw faiss {theirs * 1e3:.1f} ms: {ours / theirs:.3f}")
    print(f"Eq. 7, two queries: ctgi {eq7 * 1e3:.1f} ms, raw faiss {theirs_two * 1e3:.1f} ms: {eq7 / theirs_two:.3f}")


if __name__ == "__main__":
    main()
