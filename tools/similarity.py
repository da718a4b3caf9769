"""Similarity of texts to each other and to an image, by the retriever's embeddings."""

import asyncio
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, TypeVar

from ctgi.retrieval.images import ImageRef, picture_at
from ctgi.settings import Settings
from ctgi.tools.traces.call_notes import spending
from ctgi.tools.traces.interceptor import Interceptor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ctgi.retrieval.encoder import Encoder

Result = TypeVar("Result")
_REMEMBERED = 256  # images and texts of the dialogues in flight


class EncoderSimilarity:
    """Cosines from one encoder, computed off the event loop; repeated texts and images are encoded once."""

    def __init__(self, encoder: "Encoder") -> None:
        self._encoder = encoder
        self._turn = asyncio.Lock()
        self._image = lru_cache(_REMEMBERED)(self._encode_image)
        self._text = lru_cache(_REMEMBERED)(self._encode_text)

    async def to_image(self, text: str, image: ImageRef) -> float:
        """Cosine of a text and an image."""
        return await self._in_turn(lambda: float(self._text(text) @ self._image(image)))

    async def to_texts(self, text: str, others: Sequence[str]) -> list[float]:
        """Cosine of a text to each of the others."""
        return await self._in_turn(lambda: [float(self._text(text) @ self._text(other)) for other in others])

    async def _in_turn(self, work: Callable[[], Result]) -> Result:
        async with self._turn:
            with spending():
                return await asyncio.to_thread(work)

    def _encode_image(self, image: ImageRef) -> "NDArray[np.float32]":
        with picture_at(image.path) as picture:
            pixels = self._encoder.preprocess(picture.image)
        vector: NDArray[np.float32] = self._encoder.encode_images(pixels[None])[0]
        return vector

    def _encode_text(self, text: str) -> "NDArray[np.float32]":
        vector: NDArray[np.float32] = self._encoder.encode_texts([text]).vectors[0]
        return vector


class _SeamSimilarity:
    """The two comparisons as calls that can be recorded; the encoder is loaded when one of them first needs it."""

    def __init__(self, settings: Settings, interceptor: Interceptor) -> None:
        binding = settings.binding("search_gallery")

        @cache
        def opened() -> EncoderSimilarity:
            from ctgi.retrieval.encoder import load_encoder

            return EncoderSimilarity(load_encoder(str(binding), settings.retriever))

        self.to_image = interceptor.serve("compare_image", binding, lambda: opened().to_image)
        self.to_texts = interceptor.serve("compare_texts", binding, lambda: opened().to_texts)


def open_similarity(settings: Settings, interceptor: Interceptor) -> _SeamSimilarity:
    """Similarities by the encoder that search_gallery is bound to, behind the interceptor."""
    return _SeamSimilarity(settings, interceptor)
