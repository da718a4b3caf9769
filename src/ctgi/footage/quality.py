"""How good a crop of a person is: its size, its sharpness, and how much of the person is in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ctgi.tools.types import Box

MOST_BLUR = 0.7
"""Crops above it are blurred. Sharp photographs of people have 0.3 to 0.4."""
_SPOILED = 0.02
"""What is cut or blurred is worth less than anything that is whole and sharp."""
_FULL_PX = 384
"""A person of this height is as large as retrieval models need."""
_MEASURED_PX = 256
_WINDOW = 9
_FLAT = 0.3
"""Mean steps from pixel to pixel, of 255, below which nothing can be said."""
_AT_EDGE = 0.025
"""A box so close to the frame's edge, as a share of the frame, ends there because the frame does."""
_STOUT, _SLIM = 0.62, 0.22
"""Width to height of a whole person: above the first the legs are missing, below the second a side."""


@dataclass(frozen=True)
class Look:
    """What can be seen of a person in one frame."""

    height_px: float
    blur: float
    """0 sharp, 1 without any edge."""
    visible: float
    """Share of the box that no person in front covers."""
    cut: bool
    """The frame's edge cuts the person off."""
    wide: bool
    """The box is wider than tall, as of nobody upright."""

    @property
    def worth(self) -> float:
        """In [0, 1]: the higher, the better the crop."""
        size = min(1.0, self.height_px / _FULL_PX) ** 0.5
        whole = size * (1 - self.blur) * self.visible**2
        return float(whole * _SPOILED if self.cut or self.blurred or self.wide else whole)

    @property
    def blurred(self) -> bool:
        """Whether it is too blurred to tell clothes by."""
        return self.blur > MOST_BLUR


def look(crop: Image.Image, box: Box, others: Sequence[Box], size: tuple[int, int]) -> Look:
    """What `crop`, the content of `box` in a frame of this size, shows of a person; `others` are the others' boxes."""
    width, height = box[2] - box[0], box[3] - box[1]
    return Look(height, blur_of(crop), _visible(box, others), is_cut(box, size), width > height)


def is_cut(box: Box, size: tuple[int, int]) -> bool:
    """Whether a box at the edge of a frame is too short or too narrow for a whole person."""
    left, top, right, bottom = box
    width, height = size
    shape = (right - left) / max(1.0, bottom - top)
    beyond = top <= _AT_EDGE * height or bottom >= (1 - _AT_EDGE) * height
    beside = left <= _AT_EDGE * width or right >= (1 - _AT_EDGE) * width
    return (beyond and shape > _STOUT) or (beside and shape < _SLIM)


def blur_of(crop: Image.Image) -> float:
    """How blurred a picture is, from 0 to 1 (Crete et al. 2007): how little a further blur takes from its edges."""
    gray = crop.convert("L")
    if gray.height > _MEASURED_PX:
        gray = gray.resize((max(_WINDOW, gray.width * _MEASURED_PX // gray.height), _MEASURED_PX))
    pixels = np.asarray(gray, dtype=np.float32)
    return max((lost for lost in map(_lost, (pixels, pixels.T)) if lost is not None), default=1.0)


def _lost(pixels: "np.ndarray[Any, np.dtype[np.float32]]") -> float | None:
    """Along the first axis; None where there is no edge."""
    edges = np.abs(np.diff(pixels, axis=0))
    if float(edges.sum()) < _FLAT * edges.size:
        return None
    padded = np.pad(pixels, ((_WINDOW // 2 + 1, _WINDOW // 2), (0, 0)), mode="edge").cumsum(axis=0)
    left = np.abs(np.diff((padded[_WINDOW:] - padded[:-_WINDOW]) / _WINDOW, axis=0))
    return float(1 - np.maximum(0, edges - left).sum() / edges.sum())


def _visible(box: Box, others: Sequence[Box]) -> float:
    """The share that the person before it who covers most leaves; who stands lower in the picture stands in front."""
    area = max(1.0, (box[2] - box[0]) * (box[3] - box[1]))
    return 1 - max((_shared(box, other) / area for other in others if other[3] > box[3]), default=0.0)


def _shared(box: Box, other: Box) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(0.0, width) * max(0.0, height)
