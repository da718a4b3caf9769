"""Search in a faiss index: an estimate picks candidates, the stored rows decide between them."""

import re
from copy import copy
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.retrieval.subset import Subset

_REFINE, _MOST_REFINED = 30, 4096
"""Candidates for each row that is wanted, and how many at most."""
_LISTS_LOOKED_THROUGH = 4
"""Times the square root of their number."""
_FEW = 50_000
"""So many rows that pass a filter are compared one by one: that is as fast as the index, and exact."""
_WHOLE = re.compile(r"(?:(?:IDMap2?|IVF\d+|IVF\d+_HNSW\d+|HNSW\d+|NSG\d+|Flat)(?:,|$))+")
"""Factory strings of indexes that keep the vectors as they are, so that their scores are exact."""


class Approximate:
    """A faiss index over rows. Where it finds fewer than k, as inverted lists and graphs may, all rows are compared."""

    def __init__(self, index: Any, factory: str, rows: NDArray[np.floating]) -> None:
        """Search an index with the rows that it was made of: [N, D]."""
        self._index = index
        self._factory = factory
        self._rows = rows
        self._refines = _WHOLE.fullmatch(factory) is None
        self._chosen: NDArray[np.int64] | None = None
        self._parameters: Any = None
        self._lists: Any = faiss.try_extract_index_ivf(index)
        if self._lists is not None:  # faiss's default of one list misses most neighbors
            self._lists.nprobe = min(self._lists.nlist, round(_LISTS_LOOKED_THROUGH * self._lists.nlist**0.5))

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """[Q, D] -> scores and rows, [Q, k] each, best first; -1 if there are no more."""
        depth = max(k, min(_REFINE * k, _MOST_REFINED, len(self._rows))) if self._refines else k
        try:
            scores, rows = self._index.search(queries, depth, params=self._parameters)
        except RuntimeError as error:
            raise CtgiError(
                f"index {self._factory!r}: faiss cannot search it ({reason(error)}): run ctgi index with --index Flat"
            ) from None
        rows[rows >= len(self._rows)] = -1
        if self._refines:
            scores, rows = self._refined(queries, rows, k)
        short = (rows < 0).any(axis=1)
        if short.any():
            every = Subset(self._rows, np.arange(len(self._rows)) if self._chosen is None else self._chosen)
            scores[short], rows[short] = every.search(queries[short], k)
        return scores, rows

    def narrowed(self, chosen: NDArray[np.int64]) -> "Approximate | Subset":
        """The index of these rows only, ascending; exact where these are few, or the index has no inverted lists."""
        takes_filters = self._lists is not None and isinstance(self._index, faiss.IndexIVF | faiss.IndexPreTransform)
        if len(chosen) <= _FEW or not takes_filters:
            return Subset(self._rows, chosen)
        found = copy(self)
        found._chosen, found._parameters = chosen, self._filter(chosen)
        return found

    def _filter(self, chosen: NDArray[np.int64]) -> Any:
        """What faiss wants to know of a filter. The fewer rows pass, the more lists are looked through."""
        passes = np.zeros(len(self._rows), np.bool_)
        passes[chosen] = True
        visited = min(self._lists.nlist, round(self._lists.nprobe * len(self._rows) / len(chosen)))
        bits = np.packbits(passes, bitorder="little")
        made: Any = faiss  # whose types know only the constructors of C++
        told = made.SearchParametersIVF(sel=made.IDSelectorBitmap(bits), nprobe=visited)
        transforms = isinstance(self._index, faiss.IndexPreTransform)
        return made.SearchParametersPreTransform(index_params=told) if transforms else told

    def _refined(
        self, queries: NDArray[np.float32], rows: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k best candidates of each query, by the stored rows."""
        scores = np.full((len(queries), k), -np.inf, np.float32)
        found = np.full((len(queries), k), -1, np.int64)
        for place, (query, candidates) in enumerate(zip(queries, rows, strict=True)):
            there = np.sort(candidates[candidates >= 0])  # in the order of the file
            exact = np.einsum("ij,j->i", self._rows[there].astype(np.float32), query)
            first = np.argsort(-exact, kind="stable")[:k]
            scores[place, : len(first)], found[place, : len(first)] = exact[first], there[first]
        return scores, found


def reason(error: Exception) -> str:
    """Faiss's message without the C++ function it came from."""
    return re.split(r"\.(?:cpp|h):\d+: ", str(error).strip())[-1][:200]
