"""What changes at each visit of a picture, as photographs differ: light, color, sharpness, noise, things before it."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

EXPOSURE = 0.13
"""Standard deviation of the natural logarithm of the brightness: a fifth of a stop."""
CAST = 0.04
GAMMA = 0.12
CONTRAST = 0.08
NOISE = 5.0
"""The strongest noise's standard deviation, of 255."""
SHRUNK = (1.0, 1.0, 1.0, 1.5, 2.1, 3.0)
"""How many times smaller the camera saw it, a share of a batch each."""
HIDDEN = 0.12
"""Share of pictures with something before them, at most a tenth of the area."""


def vary(pixels: Tensor, seed: int) -> Tensor:
    """[B, H, W, 3] values of 0 to 255 -> the same pictures taken otherwise; the same seed gives the same."""
    generator = torch.Generator(pixels.device).manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=pixels.device)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=pixels.device)

    batch, height, width, _ = pixels.shape
    x = pixels.permute(0, 3, 1, 2).float() / 255
    x = _shrink(x).clamp(0, 1)  # what is resampled overshoots
    x = x ** (normal(batch, 1, 1, 1) * GAMMA).exp()
    x = x * (normal(batch, 1, 1, 1) * EXPOSURE).exp() * (normal(batch, 3, 1, 1) * CAST).exp()
    gray = x.mean((2, 3), keepdim=True)
    x = gray + (x - gray) * (normal(batch, 1, 1, 1) * CONTRAST).exp()
    x = x + normal(batch, 3, height, width) * uniform(batch, 1, 1, 1) ** 2 * (NOISE / 255)
    x = _hide(x, uniform(batch, 8))
    return x.clamp(0, 1).permute(0, 2, 3, 1) * 255


def _shrink(x: Tensor) -> Tensor:
    """Each share of the batch at a resolution of its own; the batch is in random order."""
    shares = x.chunk(len(SHRUNK))
    return torch.cat([_resampled(share, factor) for share, factor in zip(shares, SHRUNK, strict=False)])


def _resampled(x: Tensor, factor: float) -> Tensor:
    """Made smaller and larger again, down the columns and along the rows: two products, which a GPU does at once."""
    if factor == 1:
        return x
    rows, columns = (_resampling(side, factor, x.device) for side in x.shape[2:])
    with torch.autocast(x.device.type, enabled=False):
        return rows @ x @ columns.T


@lru_cache(maxsize=256)
def _resampling(side: int, factor: float, device: torch.device) -> Tensor:
    """[side, side]: what each pixel of a line becomes of, the mean over an area and cubic curves between."""
    line = torch.eye(side, device=device)[None, None]
    small = F.interpolate(line, (max(8, round(side / factor)), side), mode="area")
    return F.interpolate(small, (side, side), mode="bicubic", align_corners=False)[0, 0]


def _hide(x: Tensor, chance: Tensor) -> Tensor:
    """A plain rectangle over some of the pictures, somewhere."""
    height, width = x.shape[2:]
    hidden, tall, wide, top, left = chance[:, :5].unbind(1)
    tall, wide = 0.05 + 0.3 * tall, 0.1 + 0.25 * wide
    rows = (torch.arange(height, device=x.device) / height)[None, :, None]
    columns = (torch.arange(width, device=x.device) / width)[None, None, :]

    def within(at: Tensor, start: Tensor, length: Tensor) -> Tensor:
        begin = (start * (1 - length))[:, None, None]
        return (at >= begin) & (at < begin + length[:, None, None])

    covered = within(rows, top, tall) & within(columns, left, wide) & (hidden < HIDDEN)[:, None, None]
    return torch.where(covered[:, None], chance[:, 5:, None, None], x)
