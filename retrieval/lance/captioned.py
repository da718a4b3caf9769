"""Rows of LanceDB that stand for an image and its dense caption."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ctgi.retrieval.caption_rows import with_captions
from ctgi.retrieval.lance.tables import SHA256, VECTOR, matrix

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class CaptionedRows:
    """Captions of images, for (1 - weight) * image + weight * caption."""

    owners: Mapping[str, int]
    """Content of an image -> place of its caption in `vectors`."""
    vectors: NDArray[np.float32]
    """[M, D]."""
    weight: float

    def fused(self, rows: "pa.Table") -> "pa.Table":
        """Rows with the vectors of image and caption."""
        import pyarrow as pa

        contents: list[str] = rows[SHA256].to_pylist()
        owned = np.array([row for row, content in enumerate(contents) if content in self.owners], np.int64)
        captions = self.vectors[[self.owners[contents[row]] for row in owned]]
        vectors = with_captions(matrix(rows), owned, captions, self.weight)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        return rows.set_column(rows.column_names.index(VECTOR), VECTOR, column)

    def nearest(
        self, empty: "pa.Table", batches: "Iterable[pa.RecordBatch]", query: NDArray[np.float32], k: int
    ) -> "pa.Table":
        """The k best of these rows, with the column `_distance` as LanceDB gives it; all are compared."""
        import pyarrow as pa

        best = self._compared(empty, query)
        for batch in batches:
            both = pa.concat_tables([best, self._compared(pa.Table.from_batches([batch]), query)])
            best = both.take(np.argsort(both["_distance"].to_numpy(), kind="stable")[:k])
        return best

    def _compared(self, rows: "pa.Table", query: NDArray[np.float32]) -> "pa.Table":
        import pyarrow as pa

        fused = self.fused(rows)
        scores = np.einsum("ij,j->i", matrix(fused), query)
        return fused.append_column("_distance", pa.array((1 - scores).astype(np.float32)))
