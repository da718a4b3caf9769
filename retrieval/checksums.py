"""Checksums of large files, block by block: they locate damage, and a sample of blocks checks a file quickly."""

import os
import zlib
from collections.abc import Iterable
from pathlib import Path

BLOCK_BYTES = 2**20
SAMPLED = 64
"""Number of blocks that `sample` chooses: reading 64 MiB takes about 50 ms."""

Checksums = tuple[int, ...]
"""crc32 of each block of a file."""


def checksums(path: Path, size: int, known: Checksums = ()) -> Checksums:
    """The checksums of the first `size` bytes of a file.

    known: checksums of complete blocks at its beginning; only the rest is read.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        rest = (_block(file.fileno(), number, size) for number in range(len(known), _count(size)))
        return (*known, *map(zlib.crc32, rest))


def damaged_blocks(path: Path, size: int, expected: Checksums, blocks: Iterable[int] | None = None) -> list[int]:
    """The blocks whose checksum differs, ascending; only those in `blocks`, if given.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        looked_at = range(_count(size)) if blocks is None else blocks
        return [n for n in looked_at if zlib.crc32(_block(file.fileno(), n, size)) != expected[n]]


def sample(size: int) -> list[int]:
    """A sample of blocks of a file of `size` bytes to check."""
    return spread(_count(size))


def spread(count: int) -> list[int]:
    """Of so many blocks the first, the last, and evenly spaced ones between."""
    if count <= SAMPLED:
        return list(range(count))
    return sorted({place * (count - 1) // (SAMPLED - 1) for place in range(SAMPLED)})


def whole_blocks(size: int) -> int:
    """Number of complete blocks, which do not change when the file grows."""
    return size // BLOCK_BYTES


def is_complete(expected: Checksums, size: int) -> bool:
    """Whether there is a checksum for every block of a file of `size` bytes."""
    return len(expected) == _count(size)


def _count(size: int) -> int:
    return -(-size // BLOCK_BYTES)


def _block(file: int, number: int, size: int) -> bytes:
    start = number * BLOCK_BYTES
    return os.pread(file, min(BLOCK_BYTES, size - start), start)
