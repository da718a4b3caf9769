"""Checksums of large files, block by block: damage is found where it is, and a few blocks tell about the whole."""

import os
import zlib
from collections.abc import Iterable
from pathlib import Path

BLOCK_BYTES = 2**20
SAMPLED = 64
"""Blocks that `sample` chooses: 64 MiB take some 50 ms."""

Checksums = tuple[int, ...]
"""crc32 of each block of a file."""


def checksums(path: Path, size: int, known: Checksums = ()) -> Checksums:
    """The checksums of the first `size` bytes of a file.

    known: those of its beginning, of whole blocks alone; only what follows is read.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        rest = (_block(file.fileno(), number, size) for number in range(len(known), _count(size)))
        return (*known, *map(zlib.crc32, rest))


def damaged_blocks(path: Path, size: int, expected: Checksums, blocks: Iterable[int] | None = None) -> list[int]:
    """The blocks, of all or of these, that do not have their checksum, ascending.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        looked_at = range(_count(size)) if blocks is None else blocks
        return [n for n in looked_at if zlib.crc32(_block(file.fileno(), n, size)) != expected[n]]


def sample(size: int) -> list[int]:
    """Blocks to look at where not all can be: the first, the last, and some in equal distances between."""
    count = _count(size)
    if count <= SAMPLED:
        return list(range(count))
    return sorted({place * (count - 1) // (SAMPLED - 1) for place in range(SAMPLED)})


def whole_blocks(size: int) -> int:
    """Blocks that are filled to their end, and stay as they are when the file grows."""
    return size // BLOCK_BYTES


def is_complete(expected: Checksums, size: int) -> bool:
    """Whether there is a checksum for every block of so many bytes."""
    return len(expected) == _count(size)


def _count(size: int) -> int:
    return -(-size // BLOCK_BYTES)


def _block(file: int, number: int, size: int) -> bytes:
    start = number * BLOCK_BYTES
    return os.pread(file, min(BLOCK_BYTES, size - start), start)
