"""Where the lines of a manifest lie and what its blocks sum up to, so that a large one opens without being read.

Kept in a small file beside a manifest of many blocks. Each block is then compared with its checksum when it is read.
"""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctgi.files import write_whole
from ctgi.retrieval.checksums import SAMPLED, spread

BLOCK_BYTES = 2**16
PIECE_BLOCKS = 64
"""Blocks that are read at a time."""
_FORMAT = 1


@dataclass(frozen=True)
class Lines:
    """What is known of the first bytes of a manifest."""

    size: int
    """Bytes."""
    crc32: int
    """Checksum of all of them."""
    before: NDArray[np.int64]
    """How many lines end before each block, and in all."""
    blocks: NDArray[np.int64]
    """Checksum of each block."""

    @property
    def count(self) -> int:
        """Lines in all."""
        return int(self.before[-1])

    @property
    def are_many(self) -> bool:
        """Whether a file of them spares more than it costs."""
        return len(self.blocks) > SAMPLED

    def fit(self, block: int, content: bytes) -> bool:
        """Whether this is a block as it was."""
        return zlib.crc32(content) == int(self.blocks[block])


def survey(path: Path, size: int) -> Lines:
    """Read the first `size` bytes of a file, or all where it is shorter.

    Raises:
        OSError: it cannot be read.
    """
    counts, blocks, crc, done = [0], [], 0, 0
    with path.open("rb") as file:  # to read is faster than to touch a map, and leaves nothing in memory
        while piece := memoryview(file.read(min(PIECE_BLOCKS * BLOCK_BYTES, size - done))):
            done, crc = done + len(piece), zlib.crc32(piece, crc)
            for place in range(0, len(piece), BLOCK_BYTES):
                block = piece[place : place + BLOCK_BYTES]
                counts.append(int(np.count_nonzero(line_ends(block))))
                blocks.append(zlib.crc32(block))
    return Lines(done, crc, np.cumsum(counts), np.array(blocks, np.int64))


def sample_fits(path: Path, lines: Lines) -> bool:
    """Whether some blocks of a manifest, evenly spread, are as they were.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:  # a map would read more than these
        places = ((block, block * BLOCK_BYTES) for block in spread(len(lines.blocks)))
        return all(
            lines.fit(block, os.pread(file.fileno(), min(BLOCK_BYTES, lines.size - start), start))
            for block, start in places
        )


def keep(path: Path, lines: Lines) -> None:
    """Write them to a file.

    Raises:
        CtgiError: it cannot be written.
    """
    told = np.concatenate([_head(lines.size, lines.crc32), lines.before, lines.blocks]).astype("<i8").tobytes()
    write_whole(path, told + zlib.crc32(told).to_bytes(8, "little"))


def kept(path: Path, size: int, crc32: int) -> Lines | None:
    """What `keep` wrote of a manifest of this size and checksum; None where it is not there, or not whole."""
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError:
        return None
    told, crc = content[:-8], content[-8:]
    head, count = _head(size, crc32), -(-size // BLOCK_BYTES)
    if zlib.crc32(told).to_bytes(8, "little") != crc or len(told) != 8 * (len(head) + 2 * count + 1):
        return None
    numbers = np.frombuffer(told, "<i8").astype(np.int64)
    if not np.array_equal(numbers[: len(head)], head):
        return None
    before, blocks = np.split(numbers[len(head) :], [count + 1])
    return Lines(size, crc32, before, blocks)


def line_ends(block: bytes | memoryview) -> NDArray[np.bool_]:
    """Which of the bytes end a line."""
    found: NDArray[np.bool_] = np.frombuffer(block, np.uint8) == ord("\n")
    return found


def _head(size: int, crc32: int) -> NDArray[np.int64]:
    return np.array([_FORMAT, BLOCK_BYTES, size, crc32], np.int64)
