"""A gallery in a folder: rows written as ctgi index writes them, indexed by faiss, opened and searched."""

from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ten_million.cost import drop_from_memory, megabytes, percentiles, times_of
from benchmarks.ten_million.rows import DIM, blocks, draws, queries
from benchmarks.ten_million.truth import SHARES, K, best, embeddings, recall
from ctgi.retrieval.gallery import open_gallery
from ctgi.retrieval.gallery_files import embeddings_path, index_path, read_header
from ctgi.retrieval.gallery_header import Header
from ctgi.retrieval.gallery_manifest import Entry
from ctgi.retrieval.gallery_rows import open_embeddings
from ctgi.retrieval.gallery_writer import GalleryWriter, resume, writing
from ctgi.retrieval.index import Index, open_index
from ctgi.retrieval.ranking import Refinement

_APPENDED = 16_000


def home_of(folder: Path) -> Path:
    """The gallery."""
    return folder / "gallery"


def written(folder: Path, count: int, decay: float, index: str) -> dict[str, Any]:
    """Append the rows that are missing; a killed run goes on where it was."""
    with writing(home_of(folder)):
        writer = _writer(folder, index)
        with closing(writer):
            begun = len(writer.entries)
            for rows in blocks(count, decay, begun):
                for start in range(0, len(rows), _APPENDED):
                    part = rows[start : start + _APPENDED]
                    first = len(writer.entries)
                    writer.append([entry(number) for number in range(first, first + len(part))], part)
    return {"rows_added": count - begun}


def resumed(folder: Path, index: str) -> dict[str, Any]:
    """What `ctgi index` does before it looks at the images: it takes in the rows that are there."""
    with writing(home_of(folder)), closing(_writer(folder, index)) as writer:
        return {"rows": len(writer.entries)}


def indexed(folder: Path, index: str) -> dict[str, Any]:
    """Make the index and commit."""
    with writing(home_of(folder)), closing(_writer(folder, index)) as writer:
        header = writer.commit()
    home = home_of(folder)
    return {
        "embeddings_mb": megabytes(embeddings_path(home, header)), "index_mb": megabytes(index_path(home, header)),
        "all_mb": megabytes(home), "index": header.index,
    }  # fmt: skip


def told(folder: Path, asked: int, decay: float) -> dict[str, Any]:
    """Compare every query with every row, and keep the right answers."""
    home = home_of(folder)
    rows = embeddings(next(home.glob("embeddings-*.bin")))
    vectors = queries(rows, asked, decay)
    answers: dict[str, Any] = {"queries": vectors, **best(rows, vectors)}
    np.savez(folder / "truth.npz", **answers)
    return {"queries": asked}


def opened(folder: Path) -> dict[str, Any]:
    """Open the gallery as a search does: from the disk, and with its files in the system's memory."""
    home = home_of(folder)
    cold: list[float] = []
    for _ in range(5):
        drop_from_memory(home)
        cold += times_of([home], open_gallery)
    warm = times_of([home] * 5, open_gallery)
    return {"rows": len(open_gallery(home)), "from_disk": percentiles(cold), "again": percentiles(warm)}


def searched(folder: Path) -> dict[str, Any]:
    """The latency and recall of each filter, one query after the other; of whole searches, and of those by Eq. 7."""
    home = home_of(folder)
    header = read_header(home)
    index = open_index(home, header, open_embeddings(home, header))
    truth = np.load(folder / "truth.npz")
    figures: dict[str, Any] = {}
    for name, one_in in SHARES.items():
        passes = np.flatnonzero(draws(header.count, one_in) == 0)
        figures[name] = _measured(index if one_in == 1 else index.narrowed(passes), truth["queries"], truth[name])
    gallery = open_gallery(home)
    figures["rank"] = percentiles(times_of(truth["queries"], lambda query: gallery.rank(query, K)))
    anchor = gallery.rank(truth["queries"][0], 1)[0].image.sha256
    refinement = Refinement("", (anchor,), 0.8, "refined")
    first, *others = times_of(
        truth["queries"][:50], lambda query: gallery.rank_refined(query, truth["queries"][0], K, refinement)
    )
    figures["rank by Eq. 7"] = percentiles(others) | {"first_s": round(first, 2)}
    return figures


def _measured(index: Index, asked: NDArray[np.float32], wanted: NDArray[np.int64]) -> dict[str, float]:
    """Latency of one query after the other, after a few to warm up, and their recall."""
    for query in asked[:10]:
        index.search(query[None], K)
    found: list[NDArray[np.int64]] = []
    times = times_of(asked, lambda query: found.append(index.search(query[None], K)[1][0]))
    shares = [recall(one, right) for one, right in zip(found, wanted, strict=True)]
    return percentiles(times) | {"recall": round(float(np.mean(shares)), 4)}


def entry(number: int) -> Entry:
    """What the manifest says of an image that is not there."""
    content = sha256(b"%d" % number).hexdigest()
    return Entry(
        f"camera {number // 100_000:03}/{number:08}.jpg", content, 5000 + number % 20_000, 1_790_000_000 * 10**9
    )


def _writer(folder: Path, index: str) -> GalleryWriter:
    wanted = Header(
        spec="synthetic", fingerprint="synthetic", dim=DIM, dtype="float16", root=str(folder.absolute()), index=index
    )
    return resume(home_of(folder), wanted, rebuild=False)[0]
