"""Triangles: solids made from nothing, normals, and finer meshes."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ctgi.synth.people3d.materials import Material

Array = NDArray[np.float32]
Faces = NDArray[np.int32]
UPRIGHT: Array = np.eye(3, dtype=np.float32)
"""Turns nothing."""


@dataclass(frozen=True)
class Piece:
    """A surface in the world, of one material."""

    points: Array
    """[N, 3] meters; z up."""
    normals: Array
    rest: Array
    """[N, 3] where the points were before posing: patterns and folds stick to it."""
    keep: Array
    """[N] The surface is there where this, interpolated, is above 0."""
    faces: Faces
    material: Material


Mesh = tuple[Array, Faces]
"""Points and triangles."""


def solid(mesh: Mesh, material: Material) -> Piece:
    """A whole mesh as a piece."""
    points, faces = mesh[0].astype(np.float32), mesh[1]
    return Piece(points, normals(points, faces), points, np.ones(len(points), np.float32), faces, material)


def normals(points: Array, faces: Faces) -> Array:
    """[N, 3] unit normals of the points."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    out = np.stack(
        [np.bincount(faces.ravel(), np.repeat(face[:, axis], 3), len(points)) for axis in range(3)], 1
    ).astype(np.float32)
    return unit(out)


def unit(vectors: Array) -> Array:
    """Each of length 1."""
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9), np.float32)


def subdivide(faces: Faces, *arrays: Array) -> tuple[Faces, tuple[Array, ...]]:
    """Each triangle into four; arrays [..., N, k] are averaged at the middles of edges."""
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    pairs, back = np.unique(edges, axis=0, return_inverse=True)
    a, b, c = faces.T
    ab, bc, ca = (arrays[0].shape[-2] + back.reshape(-1, 3)).T
    corners = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
    finer = np.concatenate([np.stack(corner, 1) for corner in corners]).astype(np.int32)
    middles = (np.concatenate([x, (x[..., pairs[:, 0], :] + x[..., pairs[:, 1], :]) / 2], axis=-2) for x in arrays)
    return finer, tuple(middles)


@cache
def blob(power: float = 4.5, rows: int = 14, columns: int = 28) -> Mesh:
    """A rounded box of half size 1; a ball at power 2."""
    across = np.linspace(-np.pi / 2, np.pi / 2, rows)[:, None]
    around = np.linspace(-np.pi, np.pi, columns, endpoint=False)[None]

    def bent(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sign(x) * np.abs(x) ** (2 / power)

    x, y = bent(np.cos(across)) * bent(np.cos(around)), bent(np.cos(across)) * bent(np.sin(around))
    points = np.stack(np.broadcast_arrays(x, y, bent(np.sin(across))), -1)
    return points.reshape(-1, 3).astype(np.float32), grid(rows, columns)


def tube(path: ArrayLike, radius: ArrayLike, sides: int = 6) -> Mesh:
    """A round rope along [N, 3] points; a radius for each point, or for all."""
    line = np.asarray(path, np.float32)
    along = unit(np.gradient(line, axis=0).astype(np.float32))
    side = unit(np.cross(along, np.array((0.31, 0.2, 0.93), np.float32)))
    other = np.cross(along, side)
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)[None, :, None]
    wide = np.broadcast_to(np.asarray(radius, np.float32), (len(line),))[:, None, None]
    points = line[:, None] + wide * (np.cos(turn) * side[:, None] + np.sin(turn) * other[:, None])
    return points.reshape(-1, 3).astype(np.float32), grid(len(line), sides)


def lathe(profile: ArrayLike, columns: int = 20) -> Mesh:
    """A body of revolution about z: [N, 2] of radius and height."""
    turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None]
    outline = np.asarray(profile, np.float32)
    radius, height = outline[:, :1], outline[:, 1:]
    points = np.stack(np.broadcast_arrays(radius * np.cos(turn), radius * np.sin(turn), height), -1)
    return points.reshape(-1, 3).astype(np.float32), grid(len(outline), columns)


def strip(low: ArrayLike, high: ArrayLike) -> Mesh:
    """A band between two open lines of as many points."""
    lower, upper = np.asarray(low, np.float32), np.asarray(high, np.float32)
    count = len(lower)
    first = np.arange(count - 1, dtype=np.int32)
    faces = [[first, first + 1, first + 1 + count], [first, first + 1 + count, first + count]]
    return np.concatenate([lower, upper]), np.concatenate([np.stack(f, 1) for f in faces])


def moved(mesh: Mesh, size: ArrayLike, turn: NDArray[Any], place: ArrayLike) -> Mesh:
    """The mesh scaled, turned by a matrix and put somewhere."""
    return ((mesh[0] * np.asarray(size)) @ turn.T + np.asarray(place)).astype(np.float32), mesh[1]


def grid(rows: int, columns: int) -> Faces:
    """Triangles between rows of as many points each; the rows close around."""
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b = index[:-1], np.roll(index, -1, 1)[:-1]
    c, d = np.roll(index, -1, 1)[1:], index[1:]
    return np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
