"""One picture of a person, with a label for each pixel and the names of what can be seen."""

import math
from dataclasses import dataclass
from random import Random

import numpy as np
import skia
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ctgi.synth.brush import Brush, Light, canvases
from ctgi.synth.camera import photograph
from ctgi.synth.dressed import draw_dressed, pose_figure
from ctgi.synth.figure import Figure
from ctgi.synth.look import Look, draw_look
from ctgi.synth.parts import Part
from ctgi.synth.person import NONE, Person, View, draw_person
from ctgi.synth.scene import draw_foreground, draw_hard_shadow, draw_scene, draw_shadow

__all__ = ["Look", "Part", "Picture", "draw_look", "render"]


@dataclass(frozen=True)
class Picture:
    """A crop as a person detector would give it."""

    image: Image.Image
    parts: NDArray[np.uint8]
    """[H, W] Part of each pixel of the image, before blur and noise."""
    box: tuple[int, int, int, int]
    """Left, top, right, bottom of the person inside the crop."""
    visible: frozenset[str]
    """What can be seen, of: upper, pattern, inner, lower, shoes, socks, bag, hat, glasses, held, scarf, belt, hair and
    face.
    """


@dataclass(frozen=True)
class _Crop:
    """A window on the scene, in units, and the size of the picture it becomes."""

    left: float
    top: float
    width: float
    height: float
    size: tuple[int, int]

    @property
    def area(self) -> tuple[float, float, float, float]:
        return self.left, self.top, self.left + self.width, self.top + self.height


def render(person: Person, look: Look, view: View, rng: Random) -> Picture:
    """The person from one camera; the same state of rng gives the same bytes."""
    figure = pose_figure(person, look, view, rng)
    crop = _draw_crop(figure, person, look, view, rng)
    pixels, labels = _paint(person, look, view, figure, crop, rng)
    image = photograph(pixels[..., :3], crop.size, rng)
    parts = _shrink(labels, crop.size)
    box = _box(parts)
    return Picture(image, parts, box, _visible(parts, person, look, view))


def _draw_crop(figure: Figure, person: Person, look: Look, view: View, rng: Random) -> _Crop:
    joints = [figure.at(name) for name in figure.pose.joints]
    top = figure.at("head").imag - 9
    if "umbrella" in figure.pose.tasks.values():
        top -= rng.uniform(0, 20)
    bottom = max(z.imag for z in joints) + 3
    left, right = min(z.real for z in joints) - 5, max(z.real for z in joints) + 5
    if rng.random() < 0.1:
        bottom = (figure.at("knee1").imag + figure.at("knee-1").imag) / 2 + rng.uniform(-6, 20)
    height = (bottom - top) / rng.uniform(0.78, 1.04)
    ratio = min(0.62, max(0.3, (right - left) * rng.uniform(0.95, 1.5) / height))
    if (person.bag == "suitcase" and rng.random() < 0.5) or view.action == "riding a bicycle":
        ratio = min(0.62, ratio * 1.2)
    width = height * ratio
    center = (left + right) / 2 + rng.gauss(0, 0.05) * width
    middle = (top + bottom) / 2 + rng.gauss(0, 0.02) * height
    pixels = _draw_height(rng)
    return _Crop(center - width / 2, middle - height / 2, width, height, (max(24, round(pixels * ratio)), pixels))


def _draw_height(rng: Random) -> int:
    if rng.random() < 0.75:
        return rng.randint(110, 384)
    return rng.choice((128, 128, 256, rng.randint(384, 700)))


def _paint(
    person: Person, look: Look, view: View, figure: Figure, crop: _Crop, rng: Random
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    tall = min(384, max(192, round(crop.size[1] * 1.3)))
    scale = tall / crop.height
    color, marks, pixels, labels, surfaces = canvases(max(24, round(crop.width * scale)), tall)
    for canvas in (color, marks):
        canvas.scale(scale, scale)
        canvas.translate(-crop.left, -crop.top)
    brush = Brush(color, marks, _draw_light(rng))
    horizon = rng.uniform(crop.top - 10, -15) if rng.random() < 0.85 else crop.top
    draw_scene(brush, view.scene, crop.area, horizon, rng)
    if view.others:
        _draw_other(brush, crop, view, rng, ahead=False)
    if rng.random() < 0.3:
        _soften(pixels, rng)
    draw_shadow(brush, [figure.at("ankle1"), figure.at("ankle-1")], rng)
    draw_dressed(brush, figure, person, look, view, rng)
    _draw_before(brush, view, crop, rng)
    del surfaces
    return pixels, labels


def _draw_before(brush: Brush, view: View, crop: _Crop, rng: Random) -> None:
    """What now and then lies between the person and the camera."""
    if rng.random() < 0.04:
        _draw_other(brush, crop, view, rng, ahead=True)
    elif rng.random() < 0.08:
        draw_foreground(brush, crop.area, rng)
    if rng.random() < 0.12:
        draw_hard_shadow(brush, crop.area, rng)


def _soften(pixels: NDArray[np.uint8], rng: Random) -> None:
    """Blurs the background in place, as a lens focused on the person does."""
    image = Image.fromarray(pixels[..., :3]).filter(
        ImageFilter.GaussianBlur(rng.uniform(0.5, 3.0) * pixels.shape[0] / 384)
    )
    pixels[..., :3] = np.asarray(image)


def _draw_light(rng: Random) -> Light:
    x, y, z = rng.gauss(0, 0.6), -rng.uniform(0.1, 0.8), rng.uniform(0.6, 1.2)
    norm = math.hypot(x, y, z)
    return Light(x / norm, y / norm, z / norm, rng.uniform(0.15, 0.55))


def _draw_other(brush: Brush, crop: _Crop, view: View, rng: Random, *, ahead: bool) -> None:
    """Somebody else, behind the person or cut off before them."""
    other = draw_person(rng)
    look = draw_look(other, rng)
    stance = View(
        rng.choice(("front", "back", "left", "right")), rng.choice(("standing", "walking")), view.scene, others=False
    )
    figure = pose_figure(other, look, stance, rng)
    size = rng.uniform(1.0, 1.3) if ahead else rng.uniform(0.6, 1.0)
    side = rng.choice((-1, 1))
    x = crop.left + crop.width / 2 + side * crop.width * rng.uniform(0.4 if ahead else 0.2, 0.62)
    y = rng.uniform(5, 25) if ahead else -rng.uniform(0, 18)
    with _moved(brush, skia.Matrix().setScale(size, size).postTranslate(x, y)):
        draw_dressed(brush.marking(Part.OTHERS), figure, other, look, stance, rng)


class _moved:
    """Draws elsewhere for a while."""

    def __init__(self, brush: Brush, matrix: skia.Matrix) -> None:
        self.canvases = (brush.color, brush.labels)
        self.matrix = matrix

    def __enter__(self) -> None:
        for canvas in self.canvases:
            canvas.save()
            canvas.concat(self.matrix)

    def __exit__(self, *unused: object) -> None:
        for canvas in self.canvases:
            canvas.restore()


def _shrink(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Nearest neighbor, to (width, height)."""
    rows = ((np.arange(size[1]) + 0.5) * labels.shape[0] / size[1]).astype(np.intp)
    columns = ((np.arange(size[0]) + 0.5) * labels.shape[1] / size[0]).astype(np.intp)
    return np.ascontiguousarray(labels[rows[:, None], columns])


_NOT_BODY = (Part.BACKGROUND, Part.OTHERS, Part.VEHICLE, Part.BAG, Part.HELD)


def _box(parts: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    body = ~np.isin(parts, _NOT_BODY)
    columns, rows = np.flatnonzero(body.any(0)), np.flatnonzero(body.any(1))
    if not len(columns):
        return 0, 0, parts.shape[1], parts.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


_SHARES = {
    Part.UPPER: 0.03, Part.INNER: 0.008, Part.LOWER: 0.03, Part.SHOES: 0.006, Part.SOCKS: 0.005, Part.BAG: 0.01,
    Part.HAT: 0.008, Part.GLASSES: 0.0008, Part.HELD: 0.004, Part.SCARF: 0.008, Part.BELT: 0.003, Part.HAIR: 0.006,
}  # fmt: skip
"""Least share of the person's pixels at which a part counts as seen."""


def _visible(parts: NDArray[np.uint8], person: Person, look: Look, view: View) -> frozenset[str]:
    counts = np.bincount(parts.ravel(), minlength=len(Part))
    total = int(counts.sum() - counts[Part.BACKGROUND] - counts[Part.OTHERS] - counts[Part.VEHICLE]) or 1
    seen = {part.name.lower() for part, share in _SHARES.items() if counts[part] >= max(3, share * total)}
    if person.hair_length == "bald" and person.hat == NONE and _head_skin(parts) > 0.3:
        seen.add("hair")
    if "upper" in seen and _pattern_shows(person, look, view):
        seen.add("pattern")
    if view.side != "back" and _head_skin(parts) > 0.1:
        seen.add("face")
    return frozenset(seen)


def _pattern_shows(person: Person, look: Look, view: View) -> bool:
    return person.upper_pattern != "printed" or look.printed_all_over or view.side == "front"


def _head_skin(parts: NDArray[np.uint8]) -> float:
    """Share of skin in the uppermost sixth of the person."""
    _, top, _, bottom = _box(parts)
    head = parts[top : top + max(1, (bottom - top) // 6)]
    body = int(np.count_nonzero(~np.isin(head, _NOT_BODY)))
    return int(np.count_nonzero(head == Part.SKIN)) / max(1, body)
