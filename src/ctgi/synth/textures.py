"""Tiles of light and shade that lie over plain colors: folds, knit, denim, dirt. Made once per process."""

from functools import cache

import numpy as np
import skia
from numpy.typing import NDArray

SIZE = 192
"""Side of a tile in pixels; tiles repeat without an interceptor."""
Tile = NDArray[np.float64]
"""[SIZE, SIZE], about -1 (dark) to 1 (light)."""


@cache
def texture(name: str, sheen: float = 1.0) -> skia.Image:
    """A tile as black and white of varying opacity: drawn over a color it darkens it, and lightens it times `sheen`."""
    tile = _tile(name)
    rgba = np.zeros((SIZE, SIZE, 4), np.uint8)
    alpha = np.clip(np.where(tile > 0, tile * sheen, -tile), 0, 1) * 255
    rgba[..., 3] = alpha
    rgba[..., :3] = np.where(tile > 0, alpha, 0)[..., None]
    return skia.Image.fromarray(np.ascontiguousarray(rgba), skia.ColorType.kRGBA_8888_ColorType, copy=True)


@cache
def _tile(name: str) -> Tile:
    return _MAKERS[name](np.random.default_rng(sum(map(ord, name))))


def noise(rng: np.random.Generator, across: float, along: float, power: float = 1.0) -> Tile:
    """Seamless smooth noise whose blobs are about `across` x `along` pixels; roughly -1 to 1."""
    fy, fx = np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE), indexing="ij")
    low_pass = np.exp(-(((fx * across) ** 2 + (fy * along) ** 2) ** power))
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIZE, SIZE))) * low_pass).real
    return np.asarray(field / (2.2 * field.std()))


def _relief(height: Tile, reach: int = 2) -> Tile:
    """How a bumpy cloth looks in light from the upper left: bright slopes, dark slopes, darker hollows."""
    slope = height - np.roll(height, (-reach, -reach), axis=(0, 1))
    return np.asarray(0.45 * slope / slope.std() + 0.2 * (height - height.mean()) / height.std() - 0.08)


def _ridges(rng: np.random.Generator, across: float, along: float) -> Tile:
    return -np.sqrt(np.abs(noise(rng, across, along)) + 0.02)


def _folds(rng: np.random.Generator) -> Tile:
    return _relief(_ridges(rng, 26, 90) + 0.7 * noise(rng, 40, 110))


def _creases(rng: np.random.Generator) -> Tile:
    return _relief(_ridges(rng, 60, 30) + 0.8 * noise(rng, 70, 60) + 0.25 * _ridges(rng, 22, 30))


def _drape(rng: np.random.Generator) -> Tile:
    return _relief(0.7 * _ridges(rng, 90, 60) + noise(rng, 110, 90), 3)


def _blotches(rng: np.random.Generator) -> Tile:
    return noise(rng, 50, 50) * 0.7 + noise(rng, 16, 16) * 0.3


def _knit(rng: np.random.Generator) -> Tile:
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.asarray(np.sin(x * 2 * np.pi / 6) * np.sin(y * 2 * np.pi / 4 + x) * 0.7 + 0.3 * noise(rng, 3, 3))


def _ribs(rng: np.random.Generator) -> Tile:
    x = np.mgrid[:SIZE, :SIZE][1]
    return np.asarray(np.sin(x * 2 * np.pi / 8) * 0.8 + 0.2 * noise(rng, 2, 10))


def _denim(rng: np.random.Generator) -> Tile:
    return 0.7 * noise(rng, 40, 70) + 0.3 * noise(rng, 2, 6)


def _puffer(rng: np.random.Generator) -> Tile:
    y = np.mgrid[:SIZE, :SIZE][0] + 3 * noise(rng, 30, 30)
    phase = (y % 24) / 24
    return np.asarray(0.9 * np.sin(phase * np.pi) - 0.6 - np.exp(-((phase * 12) ** 2)) + 0.35 * noise(rng, 8, 12))


def _leather(rng: np.random.Generator) -> Tile:
    gloss = np.clip(noise(rng, 26, 60), 0.2, 1.5) - 0.2
    return np.asarray(0.6 * gloss + 0.7 * _relief(_ridges(rng, 40, 30)))


def _fur(rng: np.random.Generator) -> Tile:
    return noise(rng, 2.5, 9) * 0.7 + noise(rng, 12, 12) * 0.4


def _grain(rng: np.random.Generator) -> Tile:
    return noise(rng, 1.2, 1.2)


def _streaks(rng: np.random.Generator) -> Tile:
    return noise(rng, 2, 45) * 0.8 + noise(rng, 9, 60) * 0.4


_MAKERS = {
    "folds": _folds,
    "creases": _creases,
    "drape": _drape,
    "blotches": _blotches,
    "knit": _knit,
    "ribs": _ribs,
    "denim": _denim,
    "puffer": _puffer,
    "leather": _leather,
    "fur": _fur,
    "grain": _grain,
    "streaks": _streaks,
}
