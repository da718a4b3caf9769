"""The user's own model as an encoder: three methods are enough."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import ArgumentError, CtgiError
from ctgi.plugins import described, own_code
from ctgi.retrieval.encoder import Encoder, TextFeatures
from ctgi.settings_tables import RetrieverSettings
from ctgi.text import plain

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

_METHODS = ("preprocess", "encode_images", "encode_texts")
_PROBE = "a person in a red coat"


def load_own_encoder(where: str, settings: RetrieverSettings) -> Encoder:
    """The encoder behind `search_gallery=python:module:name`.

    Args:
        where: `module:name` of a class that is called without arguments, or of an object. It offers
            `preprocess(image) -> [3, H, W]`, `encode_images([B, 3, H, W]) -> [B, D]` and
            `encode_texts(texts) -> [B, D]`; arrays or tensors of any norm.
        settings: not used, because the class has its own sizes.

    Raises:
        CtgiError: it cannot be imported or made, or lacks a method.
    """
    model = own_code(where)
    missing = [name for name in _METHODS if not callable(getattr(model, name, None))]
    if missing:
        raise CtgiError(f"python:{plain(where)}: it has no method {missing[0]}: expected {', '.join(_METHODS)}")
    return _OwnEncoder(model, plain(where))


class _OwnEncoder:
    def __init__(self, model: Any, where: str) -> None:
        from PIL import Image

        self.spec = f"python:{where}"
        self.context_length = int(getattr(model, "context_length", 0))
        self._model, self._where = model, where
        vector = self.encode_texts([_PROBE]).vectors[0]
        picture = self.preprocess(Image.new("RGB", (64, 192), "red"))
        pixels = self.encode_images(picture[None])[0]
        self.dim = len(vector)
        if vector.shape != pixels.shape:
            raise CtgiError(
                f"{self.spec}: texts have {len(vector)} dimensions but images {len(pixels)}: return the same for both"
            )
        digest = hashlib.sha256(np.concatenate([vector, pixels]).round(3).tobytes()).hexdigest()
        self.fingerprint = str(getattr(model, "fingerprint", "") or f"{self.spec}:{digest[:16]}")

    def preprocess(self, image: "Image") -> "Tensor":
        """RGB image -> [3, H, W] float32."""
        import torch

        return torch.as_tensor(self._call("preprocess", image), dtype=torch.float32)

    def encode_images(self, images: "Tensor") -> NDArray[np.float32]:
        """[B, 3, H, W] -> [B, D], L2-normalized."""
        return self._vectors("encode_images", images, len(images))

    def encode_texts(self, texts: Sequence[str]) -> TextFeatures:
        """Texts -> [B, D], L2-normalized. Tokens that the model cuts off are unknown and count as 0."""
        if not all(text.strip() for text in texts):
            raise ArgumentError("a text is empty: describe the person")
        return TextFeatures(self._vectors("encode_texts", list(texts), len(texts)), (0,) * len(texts))

    def _vectors(self, method: str, batch: Any, count: int) -> NDArray[np.float32]:
        raw = self._call(method, batch)
        raw = raw.detach().cpu().numpy() if hasattr(raw, "detach") else raw
        vectors = np.asarray(raw, dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != count:
            raise CtgiError(f"{self.spec}: {method} returned shape {vectors.shape} for {count}: expected [{count}, D]")
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
        return unit

    def _call(self, method: str, argument: Any) -> Any:
        try:
            return getattr(self._model, method)(argument)
        except CtgiError:
            raise
        except Exception as error:  # whatever the user's own code raises
            raise CtgiError(f"{self.spec}: {method} raised {described(error)}") from error
