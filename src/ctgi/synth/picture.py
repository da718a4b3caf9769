"""One drawn picture of a person, with a label for each pixel and the names of what can be seen."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
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
from ctgi.synth.scene import draw_foreground, draw_hard_shadow, draw_reflection, draw_scene, draw_shadow
from ctgi.synth.seeing import Picture, seen


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
    crop = _draw_crop(figure, person, view, rng)
    pixels, labels = _paint(person, look, view, figure, crop, rng)
    image = photograph(pixels[..., :3], crop.size, rng)
    return seen(image, labels, person, look, view)


def _draw_crop(figure: Figure, person: Person, view: View, rng: Random) -> _Crop:
    joints = [figure.at(name) for name in figure.pose.joints]
    top = figure.at("head").imag - 9
    if "umbrella" in figure.pose.tasks.values():
        top -= rng.uniform(0, 20)
    bottom = max(z.imag for z in joints) + 3
    left, right = min(z.real for z in joints) - 5, max(z.real for z in joints) + 5
    if view.action != "riding a bicycle":  # a rider without a bicycle is none
        top, bottom = _cut(figure, top, bottom, rng)
    height = (bottom - top) / rng.uniform(0.78, 1.04)
    ratio = min(0.62, max(0.3, (right - left) * rng.uniform(0.95, 1.5) / height))
    if (person.bag == "suitcase" and rng.random() < 0.5) or view.action == "riding a bicycle":
        ratio = min(0.62, ratio * 1.2)
    width = height * ratio
    center = (left + right) / 2 + rng.gauss(0, rng.choice((0.04, 0.04, 0.05, 0.12))) * width
    middle = (top + bottom) / 2 + rng.gauss(0, 0.02) * height
    pixels = _draw_height(rng)
    return _Crop(center - width / 2, middle - height / 2, width, height, (max(24, round(pixels * ratio)), pixels))


def _cut(figure: Figure, top: float, bottom: float, rng: Random) -> tuple[float, float]:
    """Some are seen down to the ankles, the knees or the hips, some without the crown of the head."""
    knees, hips = ((figure.at(f"{name}1").imag + figure.at(f"{name}-1").imag) / 2 for name in ("knee", "hip"))
    chance = rng.random()
    if chance < 0.1:
        return top, knees + rng.uniform(-6, 20)
    if chance < 0.17:
        return top, hips + rng.uniform(-24, 8)
    if chance < 0.19:
        return top + rng.uniform(4, 16), bottom
    if chance < 0.26:
        return top, bottom - rng.uniform(2, 14)
    return top, bottom


def _draw_height(rng: Random) -> int:
    """Pixels: many cameras are far away."""
    chance = rng.random()
    if chance < 0.6:
        return rng.randint(130, 400)
    if chance < 0.85:
        return rng.choice((128, 128, rng.randint(96, 160)))
    return rng.choice((256, rng.randint(384, 700)))


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
    feet = [figure.at("ankle1"), figure.at("ankle-1")]
    if view.scene in ("hall", "shop") and rng.random() < 0.5:
        draw_reflection(brush, feet, look.lower if person.lower_type != NONE else look.upper, rng)
    draw_shadow(brush, feet, rng)
    draw_dressed(brush, figure, person, look, view, rng)
    _draw_before(brush, view, crop, rng)
    del surfaces
    return pixels, labels


def _draw_before(brush: Brush, view: View, crop: _Crop, rng: Random) -> None:
    """What now and then lies between the person and the camera."""
    if view.others and rng.random() < 0.25:
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


@contextmanager
def _moved(brush: Brush, matrix: skia.Matrix) -> Iterator[None]:
    """Draws elsewhere for a while."""
    for canvas in (brush.color, brush.labels):
        canvas.save()
        canvas.concat(matrix)
    yield
    for canvas in (brush.color, brush.labels):
        canvas.restore()
