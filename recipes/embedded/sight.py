"""The vision tower over a batch of pictures of one size: the same result as transformers' own, several times as fast.

transformers runs the attention image by image, because images may differ in size, and the patch embedding as a 3-D
convolution over two equal frames; with one size the former is one call, and the latter one matrix product.
The layers are those of layers.py.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.qwen2_vl.modeling_qwen2_vl import get_vision_position_ids

from recipes.embedded.layers import HEAD, Angles, after_sight, angles_of, before_sight, weights_of_sight, working_type
from recipes.embedded.quick import quick
from recipes.embedded.qwen2vl import PATCH

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def patches(pixels: Tensor, kind: torch.dtype = torch.float32) -> Tensor:
    """[B, H, W, 3] values of 0 to 255 -> [B, patches, 3 * PATCH * PATCH] in the order of the image processor."""
    batch, height, width, _ = pixels.shape
    rows, columns = height // PATCH // 2, width // PATCH // 2
    mean, std = _scale(pixels.device)
    values = ((pixels.float() - mean) / std).to(kind)
    x = values.view(batch, rows, 2, PATCH, columns, 2, PATCH, 3)
    return x.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(batch, rows * columns * 4, -1)


@lru_cache
def _scale(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the values, made once: each making would wait for the device."""
    mean, std = (torch.tensor(values, device=device) * 255 for values in (MEAN, STD))
    return mean, std


def in_patch_order(grid: Tensor) -> Tensor:
    """[B, rows, columns, C] of patches -> [B, patches, C] in the order of `patches`."""
    batch, rows, columns, channels = grid.shape
    x = grid.view(batch, rows // 2, 2, columns // 2, 2, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, channels)


class Sight:
    """The tower of a model; the angles of each size are worked out once."""

    def __init__(self, visual: Any) -> None:
        self._visual = visual
        self._angles: dict[tuple[int, int, torch.dtype], Angles] = {}

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[B, H, W, 3] -> features of the patches [B, patches, E] and the image tokens [B, patches / 4, D]."""
        visual, (batch, height, width, _) = self._visual, pixels.shape
        weight = visual.patch_embed.proj.weight.sum(2).flatten(1)  # both frames are the same picture
        kind = working_type(pixels.device, weight)
        angles = self._rotary(height // PATCH, width // PATCH, kind)
        with torch.autocast(pixels.device.type, enabled=False):
            x = F.linear(patches(pixels, kind), weight.to(kind))
            for block in visual.blocks:
                weights = weights_of_sight(block, kind)
                rows = quick(before_sight, x)(x, angles, weights[:4])
                x = quick(after_sight, x)(x, _attend(rows), weights[4:])
        return x, visual.merger(x.flatten(0, 1)).view(batch, x.shape[1] // 4, -1)

    def _rotary(self, rows: int, columns: int, kind: torch.dtype) -> Angles:
        """Of the patches' places, [patches, 1, head width]."""
        if (rows, columns, kind) not in self._angles:
            grid = torch.tensor([[1, rows, columns]])
            places = get_vision_position_ids(grid, self._visual.spatial_merge_size, kwargs={})
            cos, sin = self._visual.rotary_pos_emb(self._visual.patch_embed.proj.weight, places)
            self._angles[rows, columns, kind] = angles_of(cos.detach().unsqueeze(-2), sin.detach().unsqueeze(-2), kind)
        return self._angles[rows, columns, kind]


def _attend(rows: Tensor) -> Tensor:
    """Queries, keys and values side by side [B, P, 3 D] -> [B, P, D]."""
    q, k, v = (part.view(*part.shape[:2], -1, HEAD).transpose(1, 2) for part in rows.chunk(3, -1))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
