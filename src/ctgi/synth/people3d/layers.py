"""Surfaces in the rest pose, and how a rig carries them into the world."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctgi.synth.people3d.bodies import load_bodies
from ctgi.synth.people3d.mannequin import Form, Shell
from ctgi.synth.people3d.materials import Material
from ctgi.synth.people3d.meshes import Array, Faces, Mesh, Piece, normals, unit
from ctgi.synth.people3d.rig import Rig


@dataclass(frozen=True)
class Layer:
    """A surface that moves with the bones."""

    points: Array
    """[N, 3] at rest."""
    normals: Array
    rest: Array
    """[N, 3] What patterns and folds stick to."""
    keep: Array
    faces: Faces
    weights: Array
    """[N, bones]"""
    material: Material
    settling: int = 0
    """Times the posed points are drawn toward their neighbors: cloth that bridges the legs."""
    shell: Shell | None = None
    """Of a layer that settles."""


def cut(form: Form, points: Array, keep: Array, material: Material) -> Layer:
    """A garment from a shell: what has no `keep` above 0 is cut off."""
    shell = form.shell
    faces = shell.faces[(keep[shell.faces] > 0).any(1)]
    used = np.zeros(len(points), bool)
    used[faces] = True
    place = (np.cumsum(used) - 1).astype(np.int32)
    return Layer(
        points[used], normals(points, shell.faces)[used], form.points[used], keep[used].astype(np.float32),
        place[faces], shell.weights[used], material,
    )  # fmt: skip


def hang(form: Form, points: Array, keep: Array, material: Material, settling: int) -> Layer:
    """A garment that hangs free: it settles once the legs are posed."""
    shell = form.shell
    return Layer(
        points, form.normals, form.points, keep.astype(np.float32), shell.faces, shell.weights, material, settling,
        shell,
    )  # fmt: skip


def fasten(mesh: Mesh, bone: str, material: Material) -> Layer:
    """A stiff thing on one bone, given where it is in the rest pose."""
    points, faces = mesh
    bones = load_bodies().bones
    weights = np.zeros((len(points), len(bones)), np.float32)
    weights[:, bones.index(bone)] = 1
    return Layer(points, normals(points, faces), points, np.ones(len(points), np.float32), faces, weights, material)


def carry(layers: Sequence[Layer], rig: Rig) -> list[Piece]:
    """The layers as the rig poses them."""
    matrices = rig.matrices().reshape(len(rig.bones), 12)
    pieces = []
    for layer in layers:
        moves = (layer.weights @ matrices).reshape(-1, 3, 4)
        points = np.einsum("vij,vj->vi", moves[..., :3], layer.points) + moves[..., 3]
        if layer.shell is not None:
            points = layer.shell.smooth(points, layer.settling)
            turned = normals(points, layer.faces)
        else:
            turned = unit(np.einsum("vij,vj->vi", moves[..., :3], layer.normals))
        pieces.append(Piece(points, turned, layer.rest, layer.keep, layer.faces, layer.material))
    return pieces
