"""search_gallery: ranks an opened gallery, off the event loop, one search at a time."""

import asyncio
from typing import TYPE_CHECKING

from ctgi.tools.types import Ranking, Refinement

if TYPE_CHECKING:
    from ctgi.retrieval.gallery import Gallery


class GallerySearch:
    """The retriever behind search_gallery."""

    def __init__(self, gallery: "Gallery") -> None:
        self._gallery = gallery
        self._lock = asyncio.Lock()

    async def __call__(self, query: str, k: int, *, refinement: Refinement | None = None) -> Ranking:
        """The k best candidates by S(q, v), or by the fused score of Eq. 7.

        Raises:
            CtgiError: the query is empty.
        """
        async with self._lock:
            return await asyncio.to_thread(self._gallery.search, query, k, refinement)
