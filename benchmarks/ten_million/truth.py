"""The right answers: every query compared with every row."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.ten_million.rows import DIM, draws

K = 20
SHARES: Mapping[str, int] = {"all": 1, "50 %": 2, "2.4 %": 42, "0.05 %": 2000}
"""Filters: the share of rows that passes, and one in how many that is."""
_CHUNK_ROWS = 65_536


def embeddings(file: Path) -> NDArray[np.float16]:
    """The rows of a gallery's file of embeddings, memory-mapped: [N, DIM]."""
    return np.memmap(file, np.float16, "r").reshape(-1, DIM)


def best(rows: NDArray[np.float16], queries: NDArray[np.float32]) -> dict[str, NDArray[np.int64]]:
    """For each filter the nearest rows of each query, [Q, K] or fewer where fewer pass."""
    import torch  # here, because it takes 200 MB that no other stage needs

    asked, count = torch.from_numpy(queries), len(rows)
    keeps = {name: torch.from_numpy(draws(count, one_in) == 0) for name, one_in in SHARES.items()}
    scores = {name: torch.empty(len(queries), 0) for name in SHARES}
    found = {name: torch.empty(len(queries), 0, dtype=torch.int64) for name in SHARES}
    for start in range(0, count, _CHUNK_ROWS):
        near = asked @ torch.from_numpy(np.array(rows[start : start + _CHUNK_ROWS])).float().T
        for name, keep in keeps.items():
            places = keep[start : start + near.shape[1]].nonzero()[:, 0]
            top = near[:, places].topk(min(K, len(places)))
            both = torch.hstack([scores[name], top.values])
            at = torch.hstack([found[name], places[top.indices] + start])
            order = both.topk(min(K, both.shape[1])).indices
            scores[name], found[name] = both.gather(1, order), at.gather(1, order)
    return {name: value.numpy() for name, value in found.items()}


def recall(found: NDArray[np.int64], wanted: NDArray[np.int64]) -> float:
    """Share of the right rows that were found."""
    return len(np.intersect1d(found, wanted)) / max(1, len(wanted))
