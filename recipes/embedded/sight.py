"""The vision tower over a batch of pictures of one size: the same result as transformers' own, several times as fast.

transformers runs the attention image by image, because images may differ in size, and the patch embedding as a 3-D
convolution over two equal frames; with one size the former is one call, and the latter one matrix product.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.qwen2_vl.modeling_qwen2_vl import get_vision_position_ids, rotate_half

from recipes.embedded.qwen2vl import PATCH

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def patches(pixels: Tensor) -> Tensor:
    """[B, H, W, 3] values of 0 to 255 -> [B, patches, 3 * PATCH * PATCH] in the order of the image processor."""
    batch, height, width, _ = pixels.shape
    rows, columns = height // PATCH // 2, width // PATCH // 2
    mean, std = (torch.tensor(values, device=pixels.device) * 255 for values in (MEAN, STD))
    values = (pixels.float() - mean) / std
    x = values.view(batch, rows, 2, PATCH, columns, 2, PATCH, 3)
    return x.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(batch, rows * columns * 4, -1)


def in_patch_order(grid: Tensor) -> Tensor:
    """[B, rows, columns, C] of patches -> [B, patches, C] in the order of `patches`."""
    batch, rows, columns, channels = grid.shape
    x = grid.view(batch, rows // 2, 2, columns // 2, 2, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, channels)


class Sight:
    """The tower of a model; the angles of each size are worked out once."""

    def __init__(self, visual: Any) -> None:
        self._visual = visual
        self._angles: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[B, H, W, 3] -> features of the patches [B, patches, E] and the image tokens [B, patches / 4, D]."""
        visual, (batch, height, width, _) = self._visual, pixels.shape
        weight = visual.patch_embed.proj.weight.sum(2).flatten(1)  # both frames are the same picture
        x = F.linear(patches(pixels), weight)
        angles = self._rotary(height // PATCH, width // PATCH)
        for block in visual.blocks:
            x = x + _attend(block.attn, block.norm1(x), angles)
            x = x + block.mlp(block.norm2(x))
        return x, visual.merger(x.flatten(0, 1)).view(batch, x.shape[1] // 4, -1)

    def _rotary(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines [patches, 1, head width] of the patches' places."""
        if (rows, columns) not in self._angles:
            grid = torch.tensor([[1, rows, columns]])
            places = get_vision_position_ids(grid, self._visual.spatial_merge_size, kwargs={})
            cos, sin = self._visual.rotary_pos_emb(self._visual.patch_embed.proj.weight, places)
            self._angles[rows, columns] = (cos.detach().unsqueeze(-2), sin.detach().unsqueeze(-2))
        return self._angles[rows, columns]


def _attend(attention: Any, x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    batch, length, width = x.shape
    q, k, v = attention.qkv(x).view(batch, length, 3, attention.num_heads, -1).unbind(2)
    cos, sin = (part.to(q.dtype) for part in angles)
    q, k = (part * cos + rotate_half(part) * sin for part in (q, k))
    mixed = F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in (q, k, v)))
    return attention.proj(mixed.transpose(1, 2).reshape(batch, length, width))  # type: ignore[no-any-return]
