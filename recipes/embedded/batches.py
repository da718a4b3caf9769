"""Batches of pictures of one size, varied anew at each visit: mirrored, brighter or darker, tinted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import torch
from torch import Tensor

from recipes.embedded.answers import Scene
from recipes.embedded.pictures import Sample

_MIRRORED = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Batch:
    """Pictures of one size."""

    pixels: Tensor
    """[B, H, W, 3], 0 to 255."""
    parts: Tensor
    """[B, rows, columns, PARTS]."""
    scenes: list[Scene]


class Batches:
    """Draws batches without end: a size by its share, then pictures of it. Nothing carries over from draw to draw."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._by_size: dict[tuple[int, ...], list[Sample]] = {}
        for sample in samples:
            self._by_size.setdefault(sample.pixels.shape, []).append(sample)

    def draw(self, size: int, rng: Random) -> Batch:
        """`size` pictures of one size; fewer where there are no more of it."""
        alike = rng.choices(list(self._by_size.values()), [len(samples) for samples in self._by_size.values()])[0]
        return _vary(rng.sample(alike, min(size, len(alike))), rng)


def _vary(samples: list[Sample], rng: Random) -> Batch:
    pixels = torch.tensor(np.stack([sample.pixels for sample in samples])).float()
    parts = torch.tensor(np.stack([sample.parts for sample in samples]))
    mirrored = torch.tensor([rng.random() < 0.5 for _ in samples])
    pixels[mirrored] = pixels[mirrored].flip(2)
    parts[mirrored] = parts[mirrored].flip(2)
    scenes = [_mirror(s.scene) if m else s.scene for s, m in zip(samples, mirrored.tolist(), strict=True)]
    return Batch(_relight(pixels, rng), parts, scenes)


def _relight(pixels: Tensor, rng: Random) -> Tensor:
    def factors(spread: float, channels: int) -> Tensor:
        drawn = [[rng.uniform(-spread, spread) for _ in range(channels)] for _ in pixels]
        return torch.tensor(drawn).exp()[:, None, None]

    gamma = factors(0.15, 1)
    return ((pixels / 255) ** gamma * factors(0.1, 1) * factors(0.04, 3)).clamp(0, 1) * 255


def _mirror(scene: Scene) -> Scene:
    side = scene.view.side
    return replace(scene, view=replace(scene.view, side=_MIRRORED.get(side, side)))
