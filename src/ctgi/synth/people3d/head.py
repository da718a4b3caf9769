"""Hair, hats, glasses and scarves."""

from random import Random

import numpy as np

from ctgi.synth.look import Look
from ctgi.synth.people3d.fit import Fit
from ctgi.synth.people3d.layers import Layer, cut, fasten
from ctgi.synth.people3d.mannequin import Mannequin, least, step
from ctgi.synth.people3d.materials import Material
from ctgi.synth.people3d.meshes import UPRIGHT, Array, Mesh, blob, lathe, moved, strip, tube
from ctgi.synth.people3d.rig import about
from ctgi.synth.person import NONE, Person


def dress_head(body: Mannequin, person: Person, look: Look, fit: Fit, rng: Random) -> list[Layer]:
    """All that is on the head and around the neck."""
    layers = []
    if person.hair_length != "bald":
        layers += _hair(body, person, look, fit, rng)
    if person.hat != NONE:
        layers += _hat(body, person, rng)
    if person.glasses != NONE:
        layers += [fasten(mesh, "head", Material.GLASSES) for mesh in _glasses(body, person)]
    if person.scarf_color != NONE:
        layers += _scarf(body, fit, rng)
    return layers


def _hair(body: Mannequin, person: Person, look: Look, fit: Fit, rng: Random) -> list[Layer]:
    skin, head = body.body, body.joints["head"]
    up, behind = skin.z - body.eye[2], skin.y - head[1]
    line = np.interp(behind, (-0.1, -0.05, 0.0, 0.03, 0.06), (0.066, 0.05, 0.026, -0.03, -0.085))
    if person.gender == "woman":  # over the ears and down the neck
        line = line - rng.uniform(0, 0.05) * step(-0.03, 0.02, behind)
    high = 0.018 * (1 - look.hairline) - 0.006
    wide = 0.006 + 0.012 * look.hair_volume + (0.006 if person.hair_length != "short" else 0)
    rough = 0.003 * np.sin(skin.x * 120 + rng.uniform(0, 6)) * np.sin(skin.y * 110) * np.sin(skin.z * 95)
    keep = np.where(skin.shell.share["head"] > 0.5, (up - line - high) * 10, -1)
    if person.hat != NONE:
        keep = least(keep, (0.03 - _under_hat(body, person.hat, skin.points)) * 10)
    points = _off_the_head(body, wide + rough)
    layers = [cut(skin, points, np.asarray(keep, np.float32), Material.HAIR)]
    if person.hair_style == "loose":
        layers.append(_long_hair(body, person, look, fit, rng))
    elif person.hair_style in ("ponytail", "bun"):
        layers += [fasten(mesh, "head", Material.HAIR) for mesh in _tied(body, person, rng)]
    return layers


def _long_hair(body: Mannequin, person: Person, look: Look, fit: Fit, rng: Random) -> Layer:
    """MakeHuman's hood of hair, cut free of the face and as long as it is said to be."""
    hood, head = body.hair, body.joints["head"]
    ears = body.eye[2] - 0.01
    end = body.neck - (rng.uniform(-0.03, 0.02) if person.hair_length == "shoulder-length" else rng.uniform(0.12, 0.3))
    stretch = (ears - end) / max(ears - float(hood.z.min()), 1e-3)
    strands = 0.0015 * np.sin(np.arctan2(hood.y - head[1], hood.x) * 31 + rng.uniform(0, 6))
    points = hood.points + hood.normals * (0.004 + 0.008 * look.hair_volume + strands)[:, None]
    below = points[:, 2] < ears
    points[below, 2] = ears + (points[below, 2] - ears) * stretch
    chin = np.clip((ears - points[:, 2]) / 0.15, 0, 1)
    points[:, :2] -= hood.outward[:, :2] * (0.025 * chin)[:, None]
    over_cloth = np.clip((body.neck + 0.06 - points[:, 2]) / 0.1, 0, 1) * (0.012 + fit.thick)
    points[:, :2] += hood.outward[:, :2] * over_cloth[:, None]
    back = points[:, 1] - head[1]
    behind_ears = rng.choice((-0.02, 0.005, 0.02))
    face = np.maximum.reduce([
        np.where(points[:, 2] > ears - 0.1, (np.abs(hood.x) - 0.066) * 30, -1),
        (back - behind_ears) * 30,
        (points[:, 2] - body.eye[2] - 0.062) * 30,
    ])  # fmt: skip
    if person.hat != NONE:
        face = least(face, (0.03 - _under_hat(body, person.hat, points)) * 10)
    return cut(hood, points, np.asarray(np.minimum(face, 1), np.float32), Material.HAIR)


def _tied(body: Mannequin, person: Person, rng: Random) -> list[Mesh]:
    high = rng.uniform(-0.02, 0.06)
    back = np.array((0, body.joints["head"][1] + 0.115, body.eye[2] + high), np.float32)
    if person.hair_style == "bun":
        top = rng.random() < 0.3
        place = np.array((0, body.joints["head"][1] + 0.03, body.eye[2] + 0.15), np.float32) if top else back
        return [moved(blob(2.2), rng.uniform(0.038, 0.052), UPRIGHT, place)]
    length = rng.uniform(0.18, 0.34)
    fall = np.linspace(0, 1, 9)[:, None]
    path = back + fall * np.array((0.0, 0.02, -length)) + np.sin(fall * np.pi * 0.8) * np.array((0, 0.045, 0.02))
    thick = np.array((0.014, 0.024, 0.03, 0.032, 0.032, 0.03, 0.026, 0.018, 0.004), np.float32)
    return [tube(path.astype(np.float32), thick * rng.uniform(0.85, 1.2), 9)]


def _off_the_head(body: Mannequin, wide: Array) -> Array:
    """[body, 3] The scalp so far outside of the skin."""
    out = body.scalp_normals
    points = body.scalp + out * wide[:, None]
    lacking = 0.7 * wide - ((points - body.body.points) * out).sum(1)
    return np.asarray(points + out * np.clip(lacking, 0, 0.02)[:, None], np.float32)


def _under_hat(body: Mannequin, hat: str, points: Array) -> Array:
    """[N] How far points of the head are above the hat's lower edge, in meters."""
    low = {"beanie": 0.03, "cap": 0.04, "hat": 0.045}[hat]
    behind = points[:, 1] - body.joints["head"][1]
    return np.asarray(points[:, 2] - body.eye[2] - low + np.clip(behind, 0, 0.08) * 0.45, np.float32)


def _hat(body: Mannequin, person: Person, rng: Random) -> list[Layer]:
    skin, head = body.body, body.joints["head"]
    cover = _under_hat(body, person.hat, skin.points)
    keep = np.where(skin.shell.share["head"] > 0.5, cover * 10, -1)
    wide = np.full(len(skin.z), 0.024 if person.hat != "beanie" else rng.uniform(0.022, 0.034), np.float32)
    if person.hat == "beanie":  # a turned-up edge
        wide = wide + 0.006 * step(0.055, 0.03, cover)
    layers = [cut(skin, _off_the_head(body, wide), np.asarray(keep, np.float32), Material.HAT)]
    center = np.array((0, head[1] - 0.01, body.eye[2] + 0.045), np.float32)
    if person.hat == "cap":
        layers.append(fasten(_visor(center), "head", Material.HAT))
    elif person.hat == "hat":
        brim = rng.uniform(0.16, 0.21)
        profile = np.array(((brim, -0.012), (brim - 0.01, -0.006), (0.112, 0), (0.102, 0.09), (0.08, 0.105), (0, 0.1)))
        shape = np.array((1, 1.12, 1), np.float32)
        layers.append(fasten(moved(lathe(profile), shape, about("x", 0.06), center), "head", Material.HAT))
    return layers


def _visor(center: Array) -> Mesh:
    turn = np.linspace(-1.15, 1.15, 14)
    edge = np.stack([np.sin(turn) * 0.086, -np.cos(turn) * 0.098, 0 * turn + 0.004], 1)
    rim = np.stack([np.sin(turn) * 0.083, -np.cos(turn) * 0.19 + 0.01, -0.03 - 0.02 * np.sin(turn) ** 2], 1)
    return strip(center + edge, center + rim)


def _glasses(body: Mannequin, person: Person) -> list[Mesh]:
    meshes, eye = [], body.eye + np.array((0, -0.014, 0.0), np.float32)
    apart = float(np.abs(body.eyes.x).mean())
    turn = np.linspace(0, 2 * np.pi, 15)
    for side in (-1, 1):
        center = eye + np.array((side * apart, 0, 0), np.float32)
        if person.glasses == "sunglasses":
            meshes.append(moved(blob(3.0, 8, 14), np.array((0.029, 0.005, 0.021)), about("z", side * 0.2), center))
        rim = center + np.stack([np.cos(turn) * 0.027, 0 * turn, np.sin(turn) * 0.02], 1)
        meshes.append(tube(rim.astype(np.float32), 0.0032, 5))
        hinge = center + np.array((side * 0.028, 0.002, 0.006))
        temple = np.stack(
            [hinge, hinge + np.array((side * 0.012, 0.05, 0)), hinge + np.array((side * 0.016, 0.105, -0.004))]
        )
        meshes.append(tube(temple.astype(np.float32), 0.003, 5))
    bridge = eye + np.array(((-0.012, 0, 0.005), (0.012, 0, 0.005)))
    return [*meshes, tube(bridge.astype(np.float32), 0.003, 5)]


def _scarf(body: Mannequin, fit: Fit, rng: Random) -> list[Layer]:
    turn = np.linspace(0, 2 * np.pi, 18)
    wide = 0.038 + 0.4 * fit.thick
    neck = body.joints["neck_01"] + np.array((0, -0.012, 0.012), np.float32)
    ring = neck + np.stack([(0.052 + wide) * np.cos(turn), (0.06 + wide) * np.sin(turn), 0.018 * np.sin(turn)], 1)
    thick = 0.04 + 0.008 * np.sin(turn * 5 + rng.uniform(0, 6))
    layers = [fasten(tube(ring.astype(np.float32), thick.astype(np.float32), 9), "neck_01", Material.SCARF)]
    if rng.random() < 0.6:  # an end hangs down in front
        suit, x = body.tights, rng.choice((-1, 1)) * rng.uniform(0.02, 0.06)
        low = body.neck - rng.uniform(0.2, 0.42)
        keep = least((0.05 - np.abs(suit.x - x)) * 12, (suit.z - low) * 10, np.where(suit.y < -0.02, 5, -1))
        keep = np.where(body.arms > 0.3, -1, keep)
        points = body.draped + suit.normals * (fit.clearance + 0.016)
        layers.append(cut(suit, points, keep, Material.SCARF))
    return layers
