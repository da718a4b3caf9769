"""The embeddings of a gallery on disk, memory-mapped and checked."""

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ctgi.retrieval.checksums import Checksums, damaged_blocks, is_complete, sample
from ctgi.retrieval.gallery_files import embeddings_path
from ctgi.retrieval.gallery_header import Header, UnreadableError
from ctgi.retrieval.gallery_names import DamagedGalleryError

_NORMS_CHECKED = 1024

T = TypeVar("T")


def open_embeddings(folder: Path, header: Header) -> NDArray[np.floating]:
    """The committed rows, memory-mapped: [count, D]. A sample of blocks is checked; in a small gallery, all.

    Raises:
        DamagedGalleryError: the file is missing, too short, or has other content.
        UnreadableError: it cannot be read.
    """
    path = embeddings_path(folder, header)
    rows: NDArray[np.floating] = mapped(
        folder, header, path, lambda: np.memmap(path, header.dtype, "r", shape=(header.count, header.dim))
    )
    vectors = mapped(folder, header, path, lambda: _some_rows(path, header))
    with np.errstate(over="ignore", invalid="ignore"):
        sound = np.abs(np.einsum("ij,ij->i", vectors, vectors) - 1) < 0.02
    size = header.embeddings_bytes
    if not sound.all() or not is_whole(folder, header, path, size, header.embeddings_crc32, sample(size)):
        raise DamagedGalleryError(folder, f"{path.name} has changed since it was written", header)
    return np.asarray(rows)


def open_for_some(folder: Path, header: Header) -> NDArray[np.floating]:
    """The committed rows once more, for reading a few here and there: [count, D].

    The system reads no neighbors ahead, which would be a hundred times as much as is wanted.

    Raises:
        DamagedGalleryError: the file is missing or too short.
        UnreadableError: it cannot be read.
    """
    path = embeddings_path(folder, header)
    content = mapped(folder, header, path, lambda: _mapped_at_random(path, header.embeddings_bytes))
    return np.frombuffer(content, header.dtype).reshape(header.count, header.dim)


def _mapped_at_random(path: Path, size: int) -> mmap.mmap:
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    content.madvise(mmap.MADV_RANDOM)
    return content


def _some_rows(path: Path, header: Header) -> NDArray[np.float32]:
    """Rows evenly spread, read without mapping the pages around them."""
    places = range(0, header.count, max(1, header.count // _NORMS_CHECKED))
    with path.open("rb", buffering=0) as file:
        found = b"".join(os.pread(file.fileno(), header.row_bytes, row * header.row_bytes) for row in places)
    return np.frombuffer(found, header.dtype).reshape(-1, header.dim).astype(np.float32)


def is_whole(
    folder: Path, header: Header, path: Path, size: int, expected: Checksums | None, blocks: list[int] | None = None
) -> bool:
    """Whether a file's blocks (or only `blocks`) are as committed; True if no checksums were recorded.

    Raises:
        DamagedGalleryError: it is missing.
        UnreadableError: it cannot be read.
    """
    if expected is None:
        return True
    if not is_complete(expected, size):
        return False
    return not mapped(folder, header, path, lambda: damaged_blocks(path, size, expected, blocks))


def mapped(folder: Path, header: Header, path: Path, read: Callable[[], T]) -> T:
    """What `read` returns. A missing or short file counts as damaged; one that cannot be read does not."""
    if path.exists() and not path.is_file():  # opening a pipe would block
        raise DamagedGalleryError(folder, f"{path.name} is not a file", header)
    try:
        return read()
    except FileNotFoundError:
        raise DamagedGalleryError(folder, f"{path.name} is missing", header) from None
    except OSError as error:
        raise UnreadableError(path, error) from None
    except (ValueError, OverflowError):
        raise DamagedGalleryError(folder, f"{path.name} is too short", header) from None
