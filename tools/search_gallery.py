"""search_gallery: ranks an opened gallery, off the event loop, one search at a time."""

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ctgi.errors import ArgumentError
from ctgi.tools.types import Ranking, Refinement

if TYPE_CHECKING:
    from ctgi.retrieval.gallery import Gallery


class GallerySearch:
    """The retriever behind search_gallery."""

    def __init__(self, gallery: "Gallery", renewed: "Callable[[], Gallery] | None" = None) -> None:
        """Search `gallery`; where it may be indexed again meanwhile, `renewed` opens it as it then is."""
        self._now = renewed or (lambda: gallery)
        self._lock = threading.Lock()  # callers may be in several event loops

    async def __call__(
        self, query: str, k: int, *, refinement: Refinement | None = None, where: str | None = None
    ) -> Ranking:
        """The k best candidates by S(q, v), or by the fused score of Eq. 7.

        Raises:
            ArgumentError: the query is empty, k is below 1, or `where` is no condition over the columns.
        """
        if k < 1:
            raise ArgumentError(f"k is {k}: expected at least 1")
        return await asyncio.to_thread(self._search, query, k, refinement, where)

    def _search(self, query: str, k: int, refinement: Refinement | None, where: str | None) -> Ranking:
        with self._lock:
            gallery = self._now()
            searched = gallery if where is None else gallery.narrowed(where)
            return searched.search(query, k, refinement)
