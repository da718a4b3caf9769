"""SigLIP and SigLIP 2 in a folder of Hugging Face, through `transformers`: towers and tokenizer are not CLIP's."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctgi.errors import CtgiError
from ctgi.retrieval.foreign.hugging_face import Pair, Tokenizer, load_parts, look_of
from ctgi.text import plain

_PERSON = (384, 128)
"""(height, width) at which a NaFlex model sees people, unless the settings say otherwise."""


class Siglip(nn.Module):
    """A SigLIP with open_clip's methods."""

    def __init__(self, model: Any, preprocess_cfg: dict[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.visual = SimpleNamespace(preprocess_cfg=preprocess_cfg)

    def encode_image(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        """Images [B, 3, H, W] -> [B, D]."""
        return _pooled(self.model.get_image_features(pixel_values=pixels), normalize)

    def encode_text(self, ids: Tensor, normalize: bool = False) -> Tensor:
        """Ids [B, L] -> [B, D]."""
        return _pooled(self.model.get_text_features(input_ids=ids), normalize)


class Naflex(Siglip):
    """A SigLIP 2 for images of any form, here all of one form."""

    def encode_image(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        """Images [B, 3, H, W] -> [B, D]."""
        side = self.model.config.vision_config.patch_size
        batch, colors, height, width = pixels.shape
        rows, columns = height // side, width // side
        tiles = pixels.reshape(batch, colors, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1)
        seen = self.model.get_image_features(
            pixel_values=tiles.reshape(batch, rows * columns, -1),
            pixel_attention_mask=torch.ones(batch, rows * columns, dtype=torch.int32, device=pixels.device),
            spatial_shapes=torch.tensor([[rows, columns]] * batch, device=pixels.device),
        )
        return _pooled(seen, normalize)


def open_siglip(folder: Path, image_size: tuple[int, int] | None) -> Pair:
    """The SigLIP of a folder, for squares of its own size; `image_size` is checked by the caller.

    Raises:
        CtgiError: as `load_parts` and `look_of`.
    """
    model, tokenizer = load_parts(folder, "SiglipModel")
    side = model.config.vision_config.image_size
    return Pair("SigLIP of Hugging Face", Siglip(model, look_of(folder, (side, side))), _reader(model, tokenizer))


def open_naflex(folder: Path, image_size: tuple[int, int] | None) -> Pair:
    """The SigLIP 2 of a folder, for images of `image_size`, or of 384 x 128 px.

    Raises:
        CtgiError: as `load_parts` and `look_of`, or patches do not divide the size.
    """
    model, tokenizer = load_parts(folder, "Siglip2Model")
    side, size = model.config.vision_config.patch_size, image_size or _PERSON
    if size[0] % side or size[1] % side:
        raise CtgiError(f"{plain(str(folder))}: image_size {list(size)} is no multiple of its patches of {side} px")
    return Pair("SigLIP 2 of Hugging Face, NaFlex", Naflex(model, look_of(folder, size)), _reader(model, tokenizer))


def _reader(model: Any, tokenizer: Any) -> Tokenizer:
    """In lower case and at full width, as SigLIP is trained."""
    return Tokenizer(tokenizer, model.config.text_config.max_position_embeddings, lower=True)


def _pooled(output: Any, normalize: bool) -> Tensor:
    features: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return F.normalize(features, dim=1) if normalize else features
