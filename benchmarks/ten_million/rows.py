"""Synthetic embeddings: people times views, unit length; each block has its own seed, so work can go on anywhere."""

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

DIM = 512
PEOPLE, VIEWS = 6400, 10
"""People of a block, and images of each."""
BLOCK = PEOPLE * VIEWS
_NOISE, _ASKED_NOISE = 0.7, 0.4


def blocks(count: int, decay: float, first: int = 0) -> Iterator[NDArray[np.float16]]:
    """Rows from `first` to `count`, [N, DIM], at most a block at a time.

    Args:
        count: rows in all.
        decay: the variance along the i-th principal direction falls as i to the power of -decay; 0: white noise.
        first: rows that are there already.
    """
    for number in range(first // BLOCK, -(-count // BLOCK)):
        start = number * BLOCK
        yield _block(number, decay)[max(0, first - start) : count - start]


def queries(rows: NDArray[np.floating], count: int, decay: float) -> NDArray[np.float32]:
    """What is searched for: [count, DIM], each near a row chosen at random."""
    random = np.random.Generator(np.random.SFC64(2))
    near = rows[np.sort(random.integers(0, len(rows), count))].astype(np.float32)
    noise = _unit(random.standard_normal((count, DIM), np.float32) @ _shape(decay))
    return _unit(near + np.float32(_ASKED_NOISE) * noise)


def draws(count: int, one_in: int) -> NDArray[np.uint16]:
    """A whole number below `one_in` for each row, at random: a filter keeps the rows with 0."""
    return np.random.Generator(np.random.SFC64([3, one_in])).integers(0, one_in, count, np.uint16)


def _block(number: int, decay: float) -> NDArray[np.float16]:
    random = np.random.Generator(np.random.SFC64([1, number]))
    people = random.standard_normal((PEOPLE, DIM), np.float32)[random.permutation(BLOCK) % PEOPLE]
    people += np.float32(_NOISE) * random.standard_normal((BLOCK, DIM), np.float32)
    return _unit(people @ _shape(decay)).astype(np.float16)


@cache
def _shape(decay: float) -> NDArray[np.float32]:
    """A random rotation after a scale along each direction."""
    random = np.random.Generator(np.random.SFC64(0))
    rotation = np.linalg.qr(random.standard_normal((DIM, DIM)))[0]
    return (np.arange(1, DIM + 1)[:, None] ** (-decay / 2) * rotation).astype(np.float32)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
