"""What changes at each visit of the retriever's pictures: place, size, side, light, sharpness, things before them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from recipes.embedded.clip import CONFIG

HEIGHT, WIDTH = CONFIG["vision_cfg"]["image_size"]
_MIRROR, _BLUR, _HIDE = 0.5, (0.25, 0.5), 0.4
_LIGHT, _CAST, _NOISE = 0.25, 0.06, 0.03
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


def draw_places(batch: int, generator: torch.Generator) -> Tensor:
    """[B, 2, 3]: mirrored, nearer or farther, wider or slimmer, turned by 3 degrees at most, off the middle."""
    mirror, zoom, wide, turn, right, down = torch.rand(6, batch, generator=generator, device=generator.device)
    zoom = 0.85 + 0.3 * zoom
    turn = 0.12 * (turn - 0.5)
    shape = WIDTH / HEIGHT
    side = torch.where(mirror < _MIRROR, -1.0, 1.0)
    rows = [
        torch.stack([side * zoom * (0.9 + 0.2 * wide), -turn / shape, 0.3 * (right - 0.5)], 1),
        torch.stack([turn * shape, zoom, 0.16 * (down - 0.5)], 1),
    ]
    return torch.stack(rows, 1)


def moved(x: Tensor, places: Tensor) -> Tensor:
    """[B, C, H, W] -> the same, elsewhere; of any resolution."""
    grid = F.affine_grid(places, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def vary(pixels: Tensor, places: Tensor, generator: torch.Generator) -> Tensor:
    """[B, H, W, 3] bytes -> [B, 3, H, W], moved to `places`, seen otherwise and normalized as for CLIP."""
    batch, device = len(pixels), pixels.device

    def share(*shape: int) -> Tensor:
        return torch.rand(batch, *shape, generator=generator, device=device)

    x = _blurred(moved(pixels.permute(0, 3, 1, 2).float() / 255, places), share())
    light = 1 + _LIGHT * (2 * share(3, 1, 1, 1) - 1)
    x = x * light[:, 0]
    gray = x.mean(1, keepdim=True)
    x = gray + (x - gray) * light[:, 1]
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (mean + (x - mean) * light[:, 2]) * (1 + _CAST * (2 * share(3, 1, 1) - 1))
    noise = torch.randn(x.shape, generator=generator, device=device)
    x = (x + _NOISE * share(1, 1, 1) * noise).clamp(0, 1)
    return x.sub(_planes(_MEAN, device)).div(_planes(_STD, device)).masked_fill(_hidden(x, share(5)), 0.0)


def plain(pixels: Tensor) -> Tensor:
    """[B, H, W, 3] bytes -> [B, 3, H, W], as they are, normalized."""
    x = pixels.permute(0, 3, 1, 2).float() / 255
    return x.sub(_planes(_MEAN, x.device)).div(_planes(_STD, x.device))


def _planes(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device)[:, None, None]


def _blurred(x: Tensor, share: Tensor) -> Tensor:
    """A quarter to a half of the batch at half the resolution."""
    low, high = _BLUR
    count = int(len(x) * (low + (high - low) * float(share[0])))
    small = F.interpolate(x[:count], scale_factor=0.5, mode="area")
    return torch.cat([F.interpolate(small, size=x.shape[2:], mode="bilinear"), x[count:]])


def _hidden(x: Tensor, share: Tensor) -> Tensor:
    """[B, 1, H, W]: a rectangle in some of the pictures."""
    height, width = x.shape[2:]
    hide, top, left, tall, wide = share[:, :, None, None].unbind(1)
    rows = torch.arange(height, device=x.device)[None, :, None] / height
    columns = torch.arange(width, device=x.device)[None, None] / width
    within = (rows >= top) & (rows < top + 0.1 + 0.3 * tall) & (columns >= left) & (columns < left + 0.2 + 0.5 * wide)
    return (within & (hide < _HIDE))[:, None]
