"""Nearest rows: exact search over the stored embeddings, or any faiss index."""

import errno
import mmap
import os
from pathlib import Path
from typing import Any, Literal, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.retrieval.approximate import Approximate, reason
from ctgi.retrieval.checksums import sample
from ctgi.retrieval.gallery_files import index_path
from ctgi.retrieval.gallery_header import Header, UnreadableError
from ctgi.retrieval.gallery_names import DamagedGalleryError
from ctgi.retrieval.gallery_rows import is_whole
from ctgi.retrieval.images import display
from ctgi.retrieval.subset import Subset

Storage = Literal["float32", "float16"]

_CHUNK_ROWS = 65_536
_TRAINING_ROWS = 262_144


class TooFewError(CtgiError):
    """Too few rows to train the index."""


class Index(Protocol):
    """Finds rows by inner product."""

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """[Q, D] -> scores and rows, [Q, k] each, best first; -1 if there are no more."""
        ...

    def narrowed(self, chosen: NDArray[np.int64]) -> "Index":
        """The index of these rows only, ascending, whatever rows it was narrowed to before."""
        ...


class _Exact:
    """Faiss's exhaustive search over the memory-mapped rows: no second copy on disk or in memory."""

    def __init__(self, rows: NDArray[np.floating]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        scores, rows = faiss.knn(
            queries, self._rows.astype(np.float32, copy=False), k, metric=faiss.METRIC_INNER_PRODUCT
        )
        return scores, rows

    def narrowed(self, chosen: NDArray[np.int64]) -> Subset:
        return Subset(self._rows, chosen)


def exact_index(rows: NDArray[np.floating]) -> Index:
    """Exhaustive search over rows [N, D]."""
    return _Exact(rows)


def open_index(folder: Path, header: Header, embeddings: NDArray[np.floating]) -> Index:
    """The index over the committed rows, which finds k rows if there are k. A sample of blocks of its file is checked.

    Raises:
        DamagedGalleryError: its file is missing, or has changed since it was written.
        UnreadableError: it cannot be read.
    """
    if is_exact(header):
        return _Exact(embeddings)
    path = index_path(folder, header)
    if not is_whole(folder, header, path, header.index_bytes, header.index_crc32, sample(header.index_bytes)):
        raise DamagedGalleryError(folder, f"{path.name} has changed since it was written", header)
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except (RuntimeError, MemoryError) as error:
        unreadable = _os_error(path)
        if isinstance(error, MemoryError) and header.index_crc32 is not None:
            unreadable = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        if unreadable:
            raise UnreadableError(path, unreadable) from None
        raise DamagedGalleryError(folder, f"{path.name} is missing or not an index ({reason(error)})", header) from None
    if (index.ntotal, index.d) != (header.count, header.dim):
        raise DamagedGalleryError(folder, f"{path.name} has changed since it was written", header)
    return Approximate(index, header.index, embeddings)


def _os_error(path: Path) -> OSError | None:
    """Why a file cannot be read; None if it can be read, or is missing."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
            return None
    except (FileNotFoundError, ValueError):  # empty
        return None
    except OSError as error:
        return error


def is_exact(header: Header) -> bool:
    """Whether the embeddings serve as the index, so that none is built."""
    return header.index == "Flat" and header.dtype == "float32"


def new_index(dim: int, factory: str, dtype: str) -> Any:
    """An empty faiss index for inner products.

    Raises:
        CtgiError: faiss rejects the factory string, at least for this dimension.
    """
    name = "SQfp16" if factory == "Flat" and dtype == "float16" else factory  # exact over rows stored in half precision
    try:
        return faiss.index_factory(dim, name, faiss.METRIC_INNER_PRODUCT)
    except (RuntimeError, MemoryError) as error:
        raise CtgiError(
            f"index {factory!r}: faiss cannot make it for {dim} dimensions ({reason(error)}): "
            "expected a factory string like Flat, HNSW32 or IVF256,Flat"
        ) from None


def build_index(folder: Path, header: Header, embeddings: NDArray[np.floating]) -> None:
    """Train, fill and write the index of these rows.

    Raises:
        TooFewError: there are too few rows to train it.
        CtgiError: faiss cannot make it of these rows, or the file cannot be written.
    """
    index = new_index(header.dim, header.index, header.dtype)
    try:
        _fill(index, embeddings)
    except RuntimeError as error:
        cure = "index more images, or use a smaller one, or Flat"
        if "training points" in str(error):
            raise TooFewError(
                f"index {header.index!r}: {len(embeddings)} images are too few to train it ({reason(error)}): {cure}"
            ) from None
        raise CtgiError(
            f"index {header.index!r}: faiss cannot make it of {len(embeddings)} images ({reason(error)}): {cure}"
        ) from None
    path = index_path(folder, header)
    written = path.with_name(f".{path.name}.tmp")
    try:
        faiss.write_index(index, str(written))
    except RuntimeError as error:
        written.unlink(missing_ok=True)
        full = any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT))
        cure = "free some space" if full else "choose another place with --out"
        raise CtgiError(f"{display(str(path))}: cannot write the index ({reason(error)}): {cure}") from None
    written.replace(path)


def _add(index: Any, rows: NDArray[np.float32], first: int) -> None:
    """Add rows. An index with ids (IDMap) gets the row numbers."""
    if isinstance(index, faiss.IndexIDMap):
        index.add_with_ids(rows, np.arange(first, first + len(rows)))
    else:
        index.add(rows)


def _fill(index: Any, embeddings: NDArray[np.floating]) -> None:
    if not index.is_trained:
        index.train(np.ascontiguousarray(embeddings[:: max(1, len(embeddings) // _TRAINING_ROWS)], np.float32))
    for start in range(0, len(embeddings), _CHUNK_ROWS):
        _add(index, np.ascontiguousarray(embeddings[start : start + _CHUNK_ROWS], np.float32), start)
