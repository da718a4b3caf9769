"""Preprocesses training images: resized, augmented by a seeded generator, normalized."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from ctgi.errors import CtgiError

Augment = Literal["none", "flip", "irra", "irra_as_released", "tbps"]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in px."""

_PAD = 10  # px on every side, before the random crop
_TRIES = 10  # rectangles drawn for one that fits


@dataclass(frozen=True)
class View:
    """A resized and augmented image, before normalization."""

    pixels: NDArray[np.uint8]
    """[H, W, 3]."""
    erased: Box | None


@dataclass(frozen=True)
class Preprocess:
    """RGB image -> [3, H, W] float32, augmented as `augment` says.

    none: resize and normalize, as for testing. flip: mirrored half of the time. irra: the recipe of IRRA and RDE:
    resize, flip, pad by 10 px of black, crop at random, normalize, erase a rectangle half of the time with the
    mean color. irra_as_released: the same, but the rectangle is filled with the numbers of CLIP's mean after
    normalization, which is a light gray instead. tbps: two of TBPS-CLIP's six variations (arXiv:2308.10045).
    """

    size: tuple[int, int]
    """(height, width) in px."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augment = "none"

    def __post_init__(self) -> None:
        if self.augment not in _VARIATIONS:
            raise CtgiError(f"augment {self.augment!r}: expected one of {', '.join(_VARIATIONS)}")

    def __call__(self, image: Image.Image, rng: Random) -> Tensor:
        """One view of `image`; the same for the same state of `rng`."""
        view = self.draw(image, rng)
        return self.finish(torch.from_numpy(view.pixels)[None], [view.erased])[0]

    def draw(self, image: Image.Image, rng: Random) -> View:
        """The steps that need the image or random numbers."""
        height, width = self.size
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.array(_VARIATIONS[self.augment](image, rng))
        erases = self.augment in ("irra", "irra_as_released")
        return View(pixels, erased_box(width, height, (0.02, 0.4), rng) if erases else None)

    def finish(self, pixels: Tensor, erased: Sequence[Box | None]) -> Tensor:
        """Views as bytes [B, H, W, 3] to [B, 3, H, W] float32, normalized and erased, on the device of `pixels`."""
        mean, std = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (self.mean, self.std))
        planes = pixels.permute(0, 3, 1, 2).contiguous()  # far cheaper on bytes than on floats
        out = planes.float().sub_(255 * mean).div_(255 * std)
        for image, box in zip(out, erased, strict=True):
            if box:
                left, top, right, bottom = box
                image[:, top:bottom, left:right] = mean if self.augment == "irra_as_released" else 0.0
        return out


def erased_box(width: int, height: int, area: tuple[float, float], rng: Random) -> Box | None:
    """Half of the time a random rectangle with a share of the image within `area`, aspect 0.3 to 3.3."""
    if rng.random() >= 0.5:
        return None
    for _ in range(_TRIES):
        pixels = rng.uniform(*area) * width * height
        aspect = math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
        tall, wide = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
        if tall < height and wide < width:
            left, top = rng.randint(0, width - wide), rng.randint(0, height - tall)
            return left, top, left + wide, top + tall
    return None


def _unchanged(image: Image.Image, rng: Random) -> Image.Image:
    return image


def _flipped(image: Image.Image, rng: Random) -> Image.Image:
    return ImageOps.mirror(image) if rng.random() < 0.5 else image


def _shifted(image: Image.Image, rng: Random) -> Image.Image:
    """Flip, pad with black, crop at random; PIL's crop fills the outside with black."""
    image = _flipped(image, rng)
    left, top = rng.randint(-_PAD, _PAD), rng.randint(-_PAD, _PAD)
    return image.crop((left, top, left + image.width, top + image.height))


# --- TBPS-CLIP


def _two_of_six(image: Image.Image, rng: Random) -> Image.Image:
    for variation in rng.choices(_TBPS, k=2):
        image = variation(image, rng)
    return image


def _jittered(image: Image.Image, rng: Random) -> Image.Image:
    enhancers = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]
    rng.shuffle(enhancers)
    for enhancer in enhancers:
        image = enhancer(image).enhance(rng.uniform(0.9, 1.1))
    return image


def _rotated(image: Image.Image, rng: Random) -> Image.Image:
    return image.rotate(rng.uniform(-15, 15))


def _zoomed(image: Image.Image, rng: Random) -> Image.Image:
    """A part of 0.9 to 1 of the area, its aspect changed by 3/4 to 4/3, at full size again.

    The aspect is relative to the image's: an absolute one, as in TBPS-CLIP's squares, would cut off most of a person.
    """
    for _ in range(_TRIES):
        area, aspect = rng.uniform(0.9, 1.0), math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        wide, tall = math.sqrt(area * aspect), math.sqrt(area / aspect)
        if wide <= 1 and tall <= 1:
            left, top = rng.uniform(0, 1 - wide) * image.width, rng.uniform(0, 1 - tall) * image.height
            box = (left, top, left + wide * image.width, top + tall * image.height)
            return image.resize(image.size, Image.Resampling.BILINEAR, box=box)
    return image


def _grey(image: Image.Image, rng: Random) -> Image.Image:
    return image.convert("L").convert("RGB") if rng.random() < 0.1 else image


def _erased(image: Image.Image, rng: Random) -> Image.Image:
    box = erased_box(*image.size, (0.1, 0.2), rng)
    if box:
        image = image.copy()
        image.paste((0, 0, 0), box)
    return image


_Variation = Callable[[Image.Image, Random], Image.Image]
_TBPS: tuple[_Variation, ...] = (_jittered, _rotated, _zoomed, _grey, _flipped, _erased)
_VARIATIONS: dict[Augment, _Variation] = {
    "none": _unchanged,
    "flip": _flipped,
    "irra": _shifted,
    "irra_as_released": _shifted,
    "tbps": _two_of_six,
}
