"""What is around the person: a floor and walls in space, and a drawn scene far behind."""

import colorsys
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ctgi.synth.brush import Brush, Light, canvases
from ctgi.synth.people3d.camera3d import Camera
from ctgi.synth.people3d.materials import COUNT, Material
from ctgi.synth.people3d.meshes import Array, Piece
from ctgi.synth.people3d.palette import linear
from ctgi.synth.people3d.studio import Actor
from ctgi.synth.scene import draw_scene

_WALLS = {"street": 0.25, "park": 0.05, "wall": 1.0, "hall": 0.4, "shop": 0.25}
"""How often a wall stands behind."""
_GREENS = (0.2, 0.36)


@dataclass(frozen=True)
class Place:
    """Surroundings of one picture."""

    stage: Actor
    """Floor and wall."""
    end: float
    """Row of the film where the floor ends."""


def build_place(scene: str, camera: Camera, floor: float, center: Array, rng: Random, behind: float = 0.0) -> Place:
    """A floor, and for some a wall, around people at `center`; behind: meters that are kept free there."""
    ahead, across = camera.ahead, np.array((camera.ahead[1], -camera.ahead[0], 0), np.float32)
    ground = np.array((center[0], center[1], floor), np.float32)
    far = behind + rng.uniform(4, 30)
    pieces = [
        _quad(
            [ground + ahead * y + across * x for x, y in ((-40, -16), (40, -16), (40, far), (-40, far))], Material.FLOOR
        )
    ]
    if rng.random() < _WALLS[scene]:
        back = rng.uniform(0.5, 2.5) if scene == "wall" else rng.uniform(1.5, 6)
        turn = rng.choice((-1, 1)) * rng.uniform(0, 0.7)
        along = across * np.cos(turn) + ahead * np.sin(turn)
        foot, high = (
            ground + ahead * (behind + back),
            np.array((0, 0, rng.choice((9.0, 9.0, rng.uniform(1.0, 3.0)))), np.float32),
        )
        corners = [foot - along * 30, foot + along * 30, foot + along * 30 + high, foot - along * 30 + high]
        pieces.append(_quad(corners, Material.WALL))
    return Place(Actor(pieces, _paint(scene, rng)), camera.row(ground + ahead * far))


def _quad(corners: list[Array], material: Material) -> Piece:
    points = np.stack(corners).astype(np.float32)
    normal = np.cross(points[1] - points[0], points[3] - points[0])
    normal /= np.linalg.norm(normal)
    span = np.linalg.norm(points[1] - points[0])
    high = points[2, 2] - points[1, 2]
    rest = np.array([(0, 0, 0), (span, 0, 0), (span, 0, high), (0, 0, high)], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Piece(points, np.tile(normal, (4, 1)).astype(np.float32), rest, np.ones(4, np.float32), faces, material)


def _dull(rng: Random, low: float, high: float) -> tuple[float, float, float]:
    hue = rng.choice((0.08, 0.1, 0.12, 0.58, rng.random()))
    return colorsys.hsv_to_rgb(hue, rng.random() ** 2 * 0.35, rng.uniform(low, high))


def _paint(scene: str, rng: Random) -> dict[str, object]:
    """Uniforms of floor and wall."""
    first, second = np.zeros((COUNT, 3), np.float32), np.zeros((COUNT, 3), np.float32)
    cloth, weave = np.zeros((COUNT, 4), np.float32), np.zeros((COUNT, 4), np.float32)
    green = scene == "park" and rng.random() < 0.65
    color = (
        colorsys.hsv_to_rgb(rng.uniform(*_GREENS), rng.uniform(0.25, 0.6), rng.uniform(0.3, 0.6))
        if green
        else _dull(rng, 0.3, 0.85)
    )
    first[Material.FLOOR] = linear(color) * 0.75
    second[Material.FLOOR] = linear(color) * rng.uniform(0.3, 1.5)
    kinds = {"street": (0, 0, 1, 3), "park": (0, 0, 1), "wall": (0, 1, 1), "hall": (0, 1, 2), "shop": (0, 1, 2)}
    cloth[Material.FLOOR] = (
        0 if green else rng.choice(kinds[scene]),
        rng.uniform(0.8, 3.5),
        0,
        rng.choice((0, 0, 0.3)) if scene in ("hall", "shop") else 0,
    )
    weave[Material.FLOOR] = (0, rng.uniform(0.1, 0.8), 0, rng.uniform(0.1, 0.7) * (1.6 if green else 1))
    paint = linear(_dull(rng, 0.25, 0.95))
    first[Material.WALL] = linear((0.55, 0.3, 0.22)) if rng.random() < 0.12 else paint
    second[Material.WALL] = paint * rng.choice((0.5, 0.75, 1.3))
    cloth[Material.WALL] = (rng.choice((0, 0, 1, 2, 3, 4)), rng.uniform(4, 12), 0, 0)
    return {"first": first, "second": second, "cloth": cloth, "weave": weave, "seed": rng.uniform(0, 60), "owner": 0}


def draw_backdrop(scene: str, camera: Camera, end: float, feet: float, unit: float, rng: Random) -> Array:
    """[H, W, 3] light of what stands far behind; unit: px of a hundredth of the person's height."""
    width, height = camera.film
    color, marks, pixels, _labels, surfaces = canvases(width, height)
    for canvas in (color, marks):
        canvas.scale(unit, unit)
        canvas.translate(0, feet / unit)
    brush = Brush(color, marks, Light(0, -0.6, 0.8, 0.3))
    area = (0.0, -feet / unit, width / unit, (height - feet) / unit)
    horizon = min(max(end, -0.5 * height), height)
    draw_scene(brush, scene, area, (horizon - feet) / unit, rng)
    del surfaces
    soft = rng.choice((0.8, 1.5, 3.0, 5.0)) * height / 384
    image = Image.fromarray(pixels[..., :3]).filter(ImageFilter.GaussianBlur(soft))
    light = linear(np.asarray(image, np.float32) / 255) * np.float32(rng.uniform(0.5, 1.4))
    return np.asarray(light * _blotches(height, width, rng), np.float32)


def _blotches(height: int, width: int, rng: Random) -> Array:
    """[H, W, 1] uneven brightness of several sizes."""
    noise = np.random.default_rng(rng.getrandbits(32))
    out = np.ones((height, width), np.float32)
    for size in (5, 22, 90):
        small: NDArray[np.float32] = noise.normal(1, 0.1, (2 + height // size, 2 + width // size)).astype(np.float32)
        out *= np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(out, 0.3, 2.0)[..., None]
