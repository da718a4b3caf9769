"""The skeleton of one body, and how a pose moves it."""

import math
from dataclasses import dataclass

import numpy as np

from ctgi.synth.people3d.bodies import Bodies
from ctgi.synth.people3d.meshes import Array

Vec = tuple[float, float, float]


@dataclass(frozen=True)
class Turn:
    """A bone goes with its parent, turned by a matrix in the world's axes."""

    matrix: Array


@dataclass(frozen=True)
class Toward:
    """A bone points in a direction."""

    direction: Vec | Array


@dataclass(frozen=True)
class Reach:
    """An upper arm and its forearm bring the wrist to a point; the elbow goes toward the pole."""

    point: Array
    pole: Vec


Goal = Turn | Toward | Reach


@dataclass(frozen=True)
class Rig:
    """A posed skeleton."""

    bones: tuple[str, ...]
    heads: Array
    """[bones, 3] at rest."""
    turns: Array
    """[bones, 3, 3] from rest."""
    places: Array
    """[bones, 3] where the bones begin now."""

    def at(self, bone: str, point: Array | Vec) -> Array:
        """Where a point of the rest pose is, if it moves with a bone."""
        b = self.bones.index(bone)
        return np.asarray(self.turns[b] @ (np.asarray(point, np.float32) - self.heads[b]) + self.places[b], np.float32)

    def place(self, bone: str) -> Array:
        """Where a bone begins."""
        return np.asarray(self.places[self.bones.index(bone)], np.float32)

    def turn(self, bone: str) -> Array:
        """The bone's rotation from rest."""
        return np.asarray(self.turns[self.bones.index(bone)], np.float32)

    def matrices(self) -> Array:
        """[bones, 3, 4] from the rest pose to the world."""
        shift = self.places - np.einsum("bij,bj->bi", self.turns, self.heads)
        return np.concatenate([self.turns, shift[..., None]], -1).astype(np.float32)


def strike(bodies: Bodies, body: int, goals: dict[str, Goal]) -> Rig:
    """The skeleton of a body in a pose; bones without a goal go with their parents."""
    heads, tails, goals = bodies.heads[body], bodies.tails[body], dict(goals)
    turns, places = np.tile(np.eye(3, dtype=np.float32), (len(heads), 1, 1)), heads.copy()
    for b, (name, parent) in enumerate(zip(bodies.bones, bodies.parents, strict=True)):
        turn: Array = turns[parent] if parent >= 0 else np.eye(3, dtype=np.float32)
        if parent >= 0:
            places[b] = places[parent] + turn @ (heads[b] - heads[parent])
        match goals.get(name):
            case Turn(matrix):
                turn = matrix @ turn
            case Toward(direction):
                turn = turn_to(turn @ _rest(bodies, heads, tails, b), direction) @ turn
            case Reach() as reach:
                low = bodies.bones.index(name.replace("upper", "lower"))
                upper, lower = (_rest(bodies, heads, tails, bone) for bone in (b, low))
                upper_end, forearm = _bend(places[b], upper, lower, reach)
                goals[bodies.bones[low]] = Toward(forearm)
                turn = turn_to(turn @ _rest(bodies, heads, tails, b), upper_end) @ turn
        turns[b] = turn
    return Rig(bodies.bones, heads, turns, places)


def _rest(bodies: Bodies, heads: Array, tails: Array, b: int) -> Array:
    """From the bone's head to its end, at rest."""
    children = [c for c, parent in enumerate(bodies.parents) if parent == b]
    return np.asarray((heads[children[0]] if len(children) == 1 else tails[b]) - heads[b], np.float32)


def _bend(start: Array, upper: Array, lower: Array, reach: Reach) -> tuple[Array, Array]:
    """Directions of the upper arm and the forearm."""
    a, b = float(np.linalg.norm(upper)), float(np.linalg.norm(lower))
    span = reach.point - start
    far = min(float(np.linalg.norm(span)), (a + b) * 0.999)
    axis = span / (np.linalg.norm(span) + 1e-9)
    cosine = max(-1.0, min(1.0, (a**2 + far**2 - b**2) / (2 * a * far + 1e-9)))
    pole = np.asarray(reach.pole, np.float32)
    out = pole - axis * (pole @ axis)
    out /= np.linalg.norm(out) + 1e-9
    to_elbow = (axis * cosine + out * math.sqrt(1 - cosine**2)) * a
    return to_elbow.astype(np.float32), (axis * far - to_elbow).astype(np.float32)


def turn_to(start: Array, end: Vec | Array) -> Array:
    """The smallest rotation from one direction to another."""
    a, b = (np.asarray(v, np.float64) / (np.linalg.norm(v) + 1e-9) for v in (start, end))
    cross, cosine = np.cross(a, b), float(a @ b)
    k = np.array([[0, -cross[2], cross[1]], [cross[2], 0, -cross[0]], [-cross[1], cross[0], 0]])
    return np.asarray(np.eye(3) + k + k @ k / (1 + cosine + 1e-6), np.float32)


def about(axis: str, angle: float) -> Array:
    """Rotation about x, y or z."""
    c, s = math.cos(angle), math.sin(angle)
    rows = {
        "x": ((1, 0, 0), (0, c, -s), (0, s, c)),
        "y": ((c, 0, s), (0, 1, 0), (-s, 0, c)),
        "z": ((c, -s, 0), (s, c, 0), (0, 0, 1)),
    }
    return np.array(rows[axis], np.float32)
