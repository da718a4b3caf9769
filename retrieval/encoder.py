"""Images and texts to vectors: the interface of an encoder, and the encoders by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ctgi.bindings import Binding
from ctgi.embedded import CLIP, embedded
from ctgi.errors import CtgiError
from ctgi.plugins import OWN_CODE, Plugins
from ctgi.retrieval.rerank import matcher_of
from ctgi.settings_tables import RetrieverSettings
from ctgi.suggest import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

ENCODERS = Plugins(
    "ctgi.encoders",
    {
        "open_clip": "ctgi.retrieval.open_clip_encoder:load_open_clip",
        "trained": "ctgi.retrieval.trained_encoder:load_trained",
        "hf": "ctgi.retrieval.hub_encoder:load_from_hub",
        "onnx": "ctgi.retrieval.onnx_encoder:load_onnx",
        OWN_CODE: "ctgi.retrieval.own_encoder:load_own_encoder",
    },
)
"""Each is called with (model, settings) and returns an Encoder; `model` is the text after the provider's colon."""


@dataclass(frozen=True)
class TextFeatures:
    """Texts as vectors, and how much of each text was cut."""

    vectors: "NDArray[np.float32]"
    """[B, D], L2-normalized."""
    truncated: tuple[int, ...]
    """[B]: tokens of each text beyond the context length; 0 if the whole text was read."""


class Encoder(Protocol):
    """A model with one vector space for images and texts. Any thread may preprocess; one at a time encodes."""

    spec: str
    """The binding it was loaded by, for messages."""
    fingerprint: str
    """Digest of weights, layers, image size, resizing, context length and normalization.

    Equal digests mean equal vectors.
    """
    dim: int
    context_length: int
    """Text tokens read, including the start and end tokens."""

    def preprocess(self, image: "Image") -> "Tensor":
        """RGB image -> [3, H, W] float32, normalized."""
        ...

    def encode_images(self, images: "Tensor") -> "NDArray[np.float32]":
        """[B, 3, H, W] of `preprocess` -> [B, D], L2-normalized."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> TextFeatures:
        """Texts -> [B, D], L2-normalized, with the tokens cut from each.

        Raises:
            CtgiError: a text is empty.
        """
        ...


def load_encoder(spec: str, settings: RetrieverSettings) -> Encoder:
    """The encoder behind a `search_gallery` binding such as `open_clip:ViT-B-16,openai`.

    Raises:
        CtgiError: no such provider, model, tag or file; weights that do not fit; no network to fetch them.
    """
    binding = Binding.parse(spec)
    if binding.endpoint == "embedded":
        binding = Binding("open_clip", f"local-dir:{embedded(CLIP)}", None)
    opener = ENCODERS.find(binding.endpoint) if binding.model else None
    if opener is None:
        known = [*ENCODERS.names(), "embedded"]
        if meant := "" if binding.endpoint in known else did_you_mean(binding.endpoint, known):
            raise CtgiError(f"search_gallery={spec!r}: no such encoder{meant}")
        raise CtgiError(
            f"search_gallery={spec!r}: expected open_clip:MODEL,PRETRAINED, like open_clip:ViT-B-16,openai, "
            f"or open_clip:local-dir:FOLDER, or trained:RUN, or hf:ORG/NAME; providers: {', '.join(ENCODERS.names())}"
        )
    encoder: Encoder = opener(binding.model, settings)
    if settings.rerank and matcher_of(encoder) is None:
        raise CtgiError(
            f"search_gallery={spec!r} has no head that matches image and text: remove rerank from [retriever]"
        )
    return encoder
