"""How close texts are to each other and to an image, by the retriever's own embeddings."""

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ctgi.retrieval.images import ImageRef, read_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ctgi.retrieval.encoder import Encoder

_REMEMBERED = 256  # images and texts of the dialogues in flight


class EncoderSimilarity:
    """Cosines from one encoder, off the event loop; what a dialogue repeats is encoded once."""

    def __init__(self, encoder: "Encoder") -> None:
        self._encoder = encoder
        self._turn = asyncio.Lock()
        self._image = lru_cache(_REMEMBERED)(self._encode_image)
        self._text = lru_cache(_REMEMBERED)(self._encode_text)

    async def to_image(self, text: str, image: ImageRef) -> float:
        """Cosine of a text and an image."""
        async with self._turn:
            return await asyncio.to_thread(lambda: float(self._text(text) @ self._image(image)))

    async def to_texts(self, text: str, others: Sequence[str]) -> list[float]:
        """Cosine of a text to each of the others."""
        async with self._turn:
            return await asyncio.to_thread(lambda: [float(self._text(text) @ self._text(other)) for other in others])

    def _encode_image(self, image: ImageRef) -> "NDArray[np.float32]":
        vector: NDArray[np.float32] = self._encoder.encode_images(
            self._encoder.preprocess(read_image(image.path))[None]
        )[0]
        return vector

    def _encode_text(self, text: str) -> "NDArray[np.float32]":
        vector: NDArray[np.float32] = self._encoder.encode_texts([text]).vectors[0]
        return vector
