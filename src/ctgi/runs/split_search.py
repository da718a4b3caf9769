"""search_gallery over the features of a data set's split."""

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import ArgumentError
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.fusion import blend
from ctgi.retrieval.images import ImageRef
from ctgi.tools.types import Candidate, Ranking, Refinement


class SplitSearch:
    """search_gallery over features in memory; remembers the vector of every text it has read."""

    def __init__(
        self, texts: Sequence[str], vectors: NDArray[np.float32], images: Sequence[ImageRef],
        features: NDArray[np.float32], encoder: Encoder,
    ) -> None:  # fmt: skip
        self.images = tuple(images)
        self.features = features
        self._vectors: dict[str, NDArray[np.float32]] = dict(zip(texts, vectors, strict=True))
        self._columns: dict[str, list[int]] = {}
        for column, image in enumerate(images):
            self._columns.setdefault(image.sha256, []).append(column)
        self._encoder = encoder
        self._lock = asyncio.Lock()

    async def __call__(
        self, query: str, k: int, *, refinement: Refinement | None = None, where: str | None = None
    ) -> Ranking:
        """The k best images, by S(q, v) or by Eq. 7. Raises ArgumentError with `where`: an evaluation ranks all."""
        if where is not None:
            raise ArgumentError("where: nothing is known of these images beside their pixels: search without it")
        before = await self._scores(query)
        scores = before
        if refinement:
            second = await self._scores(refinement.query)
            scores = blend(before, second, self.columns(refinement.anchors), refinement.weight, refinement.mode)
        places = np.empty(len(before), np.int64)
        places[np.argsort(-before, kind="stable")] = np.arange(1, len(before) + 1)
        best = np.argsort(-scores, kind="stable")[:k]
        found = (Candidate(self.images[i], float(scores[i]), float(before[i]), int(places[i])) for i in best)
        return Ranking(tuple(found))

    async def _scores(self, text: str) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = self.features @ await self.vector(text)
        return scores

    def columns(self, anchors: Sequence[str]) -> list[int]:
        """Places in the gallery of the images with these contents (sha256)."""
        return [column for sha256 in anchors for column in self._columns[sha256]]

    async def vector(self, text: str) -> NDArray[np.float32]:
        """The vector of a text, [D]; one text is encoded at a time, off the event loop."""
        async with self._lock:
            if text not in self._vectors:
                self._vectors[text] = (await asyncio.to_thread(self._encoder.encode_texts, [text])).vectors[0]
        return self.known_vector(text)

    def known_vector(self, text: str) -> NDArray[np.float32]:
        """The vector of a text that was searched for before, [D]."""
        return self._vectors[text]
