"""Batches of pictures of one size, varied anew at each visit: mirrored, brighter or darker, tinted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import torch
from torch import Tensor

from ctgi.training.embedded.answers import Scene
from ctgi.training.embedded.pictures import Sample

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
    """Draws batches without end: a size by its share, pictures of it in a shuffled order that begins anew."""

    def __init__(self, samples: Sequence[Sample], rng: Random) -> None:
        self._rng = rng
        self._by_size: dict[tuple[int, ...], list[Sample]] = {}
        for sample in samples:
            self._by_size.setdefault(sample.pixels.shape, []).append(sample)
        self._left: dict[tuple[int, ...], list[Sample]] = {}

    def draw(self, size: int) -> Batch:
        """The next `size` pictures; fewer at the end of a round."""
        shapes = list(self._by_size)
        shape = self._rng.choices(shapes, [len(self._by_size[shape]) for shape in shapes])[0]
        left = self._left.get(shape)
        if not left:
            left = self._left[shape] = self._rng.sample(self._by_size[shape], len(self._by_size[shape]))
        chosen, self._left[shape] = left[:size], left[size:]
        return self._vary(chosen)

    def _vary(self, samples: list[Sample]) -> Batch:
        pixels = torch.from_numpy(np.stack([sample.pixels for sample in samples])).float()
        parts = torch.from_numpy(np.stack([sample.parts for sample in samples]))
        mirrored = torch.tensor([self._rng.random() < 0.5 for _ in samples])
        pixels[mirrored] = pixels[mirrored].flip(2)
        parts[mirrored] = parts[mirrored].flip(2)
        scenes = [_mirror(s.scene) if m else s.scene for s, m in zip(samples, mirrored.tolist(), strict=True)]
        return Batch(self._relight(pixels), parts, scenes)

    def _relight(self, pixels: Tensor) -> Tensor:
        def factors(spread: float, channels: int) -> Tensor:
            drawn = [[self._rng.uniform(-spread, spread) for _ in range(channels)] for _ in pixels]
            return torch.tensor(drawn).exp()[:, None, None]

        gamma = factors(0.15, 1)
        return ((pixels / 255) ** gamma * factors(0.1, 1) * factors(0.04, 3)).clamp(0, 1) * 255


def _mirror(scene: Scene) -> Scene:
    side = scene.view.side
    return replace(scene, view=replace(scene.view, side=_MIRRORED.get(side, side)))
