"""Exact search over some rows of a gallery, for filters: few rows are cheaper to compare than to skip in an index."""

import faiss
import numpy as np
from numpy.typing import NDArray

_CHUNK_ROWS = 65_536


class Subset:
    """An index over chosen rows."""

    def __init__(self, rows: NDArray[np.floating], chosen: NDArray[np.int64]) -> None:
        """Compare these rows alone.

        Args:
            rows: [N, D], all embeddings.
            chosen: rows to search, ascending.
        """
        self._rows = rows
        self._chosen = chosen

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """[Q, D] -> scores and rows, [Q, k] each, best first; -1 if there are no more."""
        scores = np.full((len(queries), 0), -np.inf, np.float32)
        found = np.full((len(queries), 0), -1, np.int64)
        for start in range(0, len(self._chosen), _CHUNK_ROWS):
            chosen = self._chosen[start : start + _CHUNK_ROWS]
            vectors = np.ascontiguousarray(self._rows[chosen], np.float32)
            near, places = faiss.knn(queries, vectors, min(k, len(chosen)), metric=faiss.METRIC_INNER_PRODUCT)
            scores, found = np.hstack([scores, near]), np.hstack([found, chosen[places]])
            best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            scores, found = np.take_along_axis(scores, best, 1), np.take_along_axis(found, best, 1)
        missing = ((0, 0), (0, max(0, k - found.shape[1])))
        return np.pad(scores, missing, constant_values=-np.inf), np.pad(found, missing, constant_values=-1)

    def narrowed(self, chosen: NDArray[np.int64]) -> "Subset":
        """The same of other rows."""
        return Subset(self._rows, chosen)
