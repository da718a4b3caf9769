"""Where the camera stands and what of the scene becomes the picture."""

import math
from dataclasses import dataclass
from random import Random

import numpy as np

from ctgi.synth.people3d.materials import Material
from ctgi.synth.people3d.meshes import Array
from ctgi.synth.people3d.outfit import Figure
from ctgi.synth.person import View

YAW = {"front": 0.0, "back": math.pi, "left": math.pi / 2, "right": -math.pi / 2}
"""Where a camera stands that sees a side of the person: radians to the person's left."""
_CARRIED = (Material.BAG, Material.METAL)
_NEAR, _FAR = 0.3, 80.0


@dataclass(frozen=True)
class Camera:
    """A camera with its window on the scene."""

    matrix: Array
    """[4, 4] from the world to the picture, as OpenGL has it."""
    eye: Array
    ahead: Array
    """Level direction of view."""
    size: tuple[int, int]
    """Width and height of the photograph in px."""
    film: tuple[int, int]
    """Of what is rendered for it."""

    def row(self, point: Array) -> float:
        """Row of the film where a point of the world is seen."""
        x = self.matrix @ np.append(point, 1)
        return float((1 - x[1] / x[3]) / 2 * self.film[1])

    def box(self, points: Array) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of points of the world, cut off at the film's edges."""
        seen = points @ self.matrix[:, :3].T + self.matrix[:, 3]
        flat = (1 + seen[:, :2] / seen[:, 3:] * (1, -1)) / 2 * self.film
        low, high = np.clip(flat.min(0), 0, self.film), np.clip(flat.max(0), 0, self.film)
        return int(low[0]), int(low[1]), math.ceil(high[0]), math.ceil(high[1])


def place_camera(figure: Figure, view: View, rng: Random) -> Camera:
    """A camera that sees the side of the person that the view says, and a crop as detectors give it."""
    yaw = YAW[view.side] + max(-0.5, min(0.5, rng.gauss(0, 0.25)))
    pitch = rng.choice((rng.uniform(0.0, 0.15), rng.uniform(0.05, 0.35), rng.uniform(0.2, 0.6)))
    body = _framed(figure, rng)
    center = (body.max(0) + body.min(0)) / 2
    toward = np.array((math.sin(yaw) * math.cos(pitch), -math.cos(yaw) * math.cos(pitch), math.sin(pitch)), np.float32)
    eye = center + rng.uniform(3, 14) * toward
    eye[2] = max(eye[2], figure.floor + 0.4)
    look = _look_at(eye, center, rng.gauss(0, 0.03))
    seen = body @ look[:3, :3].T + look[:3, 3]
    flat = seen[:, :2] / -seen[:, 2:]
    (left, low), (right, high), size = *_window(flat.min(0), flat.max(0), rng), _height(rng)
    ratio = (right - left) / (high - low)
    tall = min(416, max(224, round(size * 1.3)))
    return Camera(
        _projection(left, right, low, high) @ look, eye.astype(np.float32), _level(center - eye),
        (max(24, round(size * ratio)), size), (max(24, round(tall * ratio)), tall),
    )  # fmt: skip


def _framed(figure: Figure, rng: Random) -> Array:
    """The points that the crop shall hold: things in the hand stick out of it now and then."""
    whole = rng.random() < 0.6
    kept = [
        piece.points[piece.keep > 0]
        for piece in figure.pieces
        if piece.material not in (Material.HELD, Material.SHAFT, Material.PHONE)
        and (whole or piece.material not in _CARRIED)
    ]
    return np.concatenate(kept)


def _window(low: Array, high: Array, rng: Random) -> tuple[tuple[float, float], tuple[float, float]]:
    """Left and low, right and high of the picture, on the plane at distance 1."""
    (left, bottom), (right, top) = low.tolist(), high.tolist()
    chance = rng.random()
    if chance < 0.17:
        bottom += (top - bottom) * (rng.uniform(0.12, 0.36) if chance < 0.1 else rng.uniform(0.02, 0.12))
    height = (top - bottom) / rng.uniform(0.78, 1.04)
    width = height * min(0.62, max(0.3, (right - left) * rng.uniform(0.98, 1.5) / height))
    x = (left + right) / 2 + rng.gauss(0, 0.04) * width
    y = (top + bottom) / 2 + rng.gauss(0, 0.02) * height
    return (x - width / 2, y - height / 2), (x + width / 2, y + height / 2)


def _height(rng: Random) -> int:
    if rng.random() < 0.75:
        return rng.randint(110, 384)
    return rng.choice((128, 128, 256, rng.randint(384, 700)))


def _level(direction: Array) -> Array:
    out = direction * np.array((1, 1, 0))
    return np.asarray(out / (np.linalg.norm(out) + 1e-9), np.float32)


def _look_at(eye: Array, target: Array, roll: float) -> Array:
    ahead = (target - eye) / np.linalg.norm(target - eye)
    side = np.cross(ahead, np.array((0.0, 0.0, 1.0)))
    side = side / (np.linalg.norm(side) + 1e-9)
    up = np.cross(side, ahead)
    turned = np.stack(
        (side * math.cos(roll) + up * math.sin(roll), up * math.cos(roll) - side * math.sin(roll), -ahead)
    )
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = turned, -turned @ eye
    return out.astype(np.float32)


def _projection(left: float, right: float, low: float, high: float) -> Array:
    out = np.zeros((4, 4), np.float32)
    out[0, 0], out[0, 2] = 2 / (right - left), (right + left) / (right - left)
    out[1, 1], out[1, 2] = 2 / (high - low), (high + low) / (high - low)
    out[2, 2], out[2, 3], out[3, 2] = -(_FAR + _NEAR) / (_FAR - _NEAR), -2 * _FAR * _NEAR / (_FAR - _NEAR), -1
    return out


def sun_matrix(center: Array, sun: Array, reach: float = 2.0) -> Array:
    """[4, 4] of a shadow map around a point: `reach` meters to each side."""
    ortho = np.diag((1 / reach, 1 / reach, -2 / 9.9, 1.0)).astype(np.float32)
    ortho[2, 3] = -1.02
    return ortho @ _look_at(center + sun * 5, center, 0.0)


def overlook(size: tuple[int, int], rng: Random) -> Camera:
    """A camera at the origin's side, some meters up, over a floor at height 0; size: width and height in px."""
    width, height = size
    eye = np.array((0, 0, rng.choice((rng.uniform(1.5, 2.2), rng.uniform(2.5, 4.5)))), np.float32)
    yaw, far = rng.uniform(-math.pi, math.pi), rng.uniform(7, 9)
    ahead = np.array((math.sin(yaw), -math.cos(yaw), 0), np.float32)
    look = _look_at(eye, ahead * far + np.array((0, 0, 0.9), np.float32), rng.gauss(0, 0.015))
    half = rng.uniform(0.45, 0.6)
    matrix = _projection(-half, half, -half * height / width, half * height / width) @ look
    return Camera(matrix.astype(np.float32), eye, ahead, size, size)
