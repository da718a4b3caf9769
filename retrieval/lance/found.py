"""Rows that a search of LanceDB found, compared exactly."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ctgi.retrieval.lance.tables import PATH, SHA256, matrix

if TYPE_CHECKING:
    import pyarrow as pa

Group = str | tuple[str | int | float]
"""A value of a column that groups images, or the path of an image without one."""


class FoundRows:
    """Rows found, each path once, with their exact scores."""

    def __init__(self, found: "pa.Table", groups: Sequence[Group], query: NDArray[np.float32]) -> None:
        paths: list[str] = found[PATH].to_pylist()
        once = list({path: row for row, path in enumerate(paths)}.values())
        self._paths, self._groups = [paths[row] for row in once], [groups[row] for row in once]
        contents: list[str] = found[SHA256].to_pylist()
        self._contents = [contents[row] for row in once]
        self._vectors = matrix(found)[np.array(once, np.int64)].astype(np.float32)
        self.scores = self.similarities(query)
        """[N], cosines with the query."""

    def similarities(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosines of all rows, equal for equal rows."""
        found: NDArray[np.float32] = np.einsum("ij,j->i", self._vectors, vector)
        return found

    def score(self, row: int) -> float:
        """The row's cosine with the query."""
        return float(self.scores[row])

    def image(self, row: int) -> tuple[str, str]:
        """Its path in the gallery, and the content."""
        return self._paths[row], self._contents[row]

    def group(self, row: int) -> Group:
        """What it belongs to."""
        return self._groups[row]

    def with_contents(self, contents: Sequence[str]) -> list[int]:
        """The rows with one of these contents."""
        return [row for row, content in enumerate(self._contents) if content in contents]

    def best(self, scores: NDArray[np.float32]) -> list[int]:
        """The best row of each group, best first; equal scores in the order of the paths."""
        ranked = sorted(range(len(scores)), key=lambda row: (-scores[row], self._paths[row]))
        first: dict[Group, int] = {}
        for row in ranked:
            first.setdefault(self._groups[row], row)
        return list(first.values())
