"""What a camera makes of a clean picture: exposure, casts, haze, blur, noise, compression."""

import io
from functools import cache
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Array = NDArray[np.float32]
_RESAMPLINGS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
_LUMA = np.array((0.3, 0.59, 0.11), np.float32)


def photograph(pixels: NDArray[np.uint8], size: tuple[int, int], rng: Random) -> Image.Image:
    """The picture as a camera would record it at `size` (width, height); pixels: [H, W, 3]."""
    image = _blurred(Image.fromarray(pixels), rng)
    image = image.resize(size, rng.choice(_RESAMPLINGS))
    light = np.asarray(image, np.float32) / np.float32(255)
    light = _noisy(_exposed(light, rng), rng)
    shot = Image.fromarray((np.clip(light, 0, 1) * 255 + 0.5).astype(np.uint8))
    return _compressed(shot, rng)


def _blurred(image: Image.Image, rng: Random) -> Image.Image:
    """Out of focus, in motion, seen by few pixels or sharpened; often none of it."""
    chance = rng.random()
    if chance < 0.22:
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.2) * image.height / 384))
    if chance < 0.34:
        motion = _motion(rng)
        for _ in range(rng.choice((1, 1, 2, 3))):
            image = image.filter(motion)
        return image
    if chance < 0.46:
        low = rng.uniform(0.2, 0.6)
        return image.resize((max(16, round(image.width * low)), round(image.height * low)), Image.Resampling.BOX)
    if chance < 0.58:
        return image.filter(ImageFilter.UnsharpMask(rng.uniform(1, 2), rng.randint(40, 130), 2))
    return image


def _motion(rng: Random) -> ImageFilter.Kernel:
    reach = rng.choice((3, 5))
    kernel = np.zeros((reach, reach), np.float32)
    kernel[reach // 2] = 1
    if rng.random() < 0.3:
        kernel = np.eye(reach, dtype=np.float32)
    return ImageFilter.Kernel((reach, reach), kernel.ravel().tolist())


def _exposed(light: Array, rng: Random) -> Array:
    """Gain, cast, gamma, contrast, haze and a gradient; the ranges are such that colors keep their names."""
    gain = 2 ** rng.gauss(0, 0.15)
    if rng.random() < 0.1:  # the whole scene is too dark or too bright
        gain = rng.choice((rng.uniform(0.62, 0.85), rng.uniform(0.65, 0.85), rng.uniform(1.15, 1.4)))
    warm, tint = rng.gauss(0, rng.choice((0.03, 0.05, 0.08, 0.12))), rng.gauss(0, rng.choice((0.02, 0.02, 0.05)))
    light = light * np.array((gain * (1 + warm), gain * (1 + tint), gain * (1 - warm)), np.float32)
    if rng.random() < 0.35:
        light = light * _gradient(light.shape[0], light.shape[1], rng)
    gray = np.asarray(light @ _LUMA, np.float32)[..., None]
    light = gray + (light - gray) * np.float32(rng.uniform(0.78, 1.1))
    light = np.power(np.maximum(light, 0), np.float32(rng.uniform(0.82, 1.12)))
    contrast, haze = rng.uniform(0.85, 1.18), max(0.0, rng.gauss(0.0, rng.choice((0.025, 0.025, 0.06))))
    return np.asarray((light - 0.36) * contrast + 0.36 + haze, np.float32)


def _gradient(height: int, width: int, rng: Random) -> Array:
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    return np.asarray(1 + rng.uniform(-0.15, 0.15) * x + rng.uniform(-0.12, 0.12) * y, np.float32)


def _noisy(light: Array, rng: Random) -> Array:
    if rng.random() < 0.4:
        return light
    grain = _grain()
    start = rng.randrange(grain.size - light.size)
    amount = rng.uniform(0.003, 0.025) if rng.random() < 0.93 else rng.uniform(0.025, 0.06)
    return np.asarray(light + grain[start : start + light.size].reshape(light.shape) * np.float32(amount))


@cache
def _grain() -> Array:
    """Noise to cut pieces from: drawing it anew costs more than all other steps."""
    return np.random.default_rng(0).standard_normal(1 << 21, np.float32)


def _compressed(image: Image.Image, rng: Random) -> Image.Image:
    if rng.random() < 0.15:
        return image
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=rng.randint(35, 95) if rng.random() < 0.88 else rng.randint(14, 35))
    return Image.open(buffer, formats=("JPEG",)).convert("RGB")
