"""Bags on the back, at the hip, in the hand and on wheels."""

from random import Random

import numpy as np

from ctgi.synth.look import Look
from ctgi.synth.people3d.fit import Fit
from ctgi.synth.people3d.layers import Layer, cut, fasten
from ctgi.synth.people3d.mannequin import Mannequin, least, step
from ctgi.synth.people3d.materials import Material
from ctgi.synth.people3d.meshes import UPRIGHT, Array, Piece, blob, moved, solid, tube
from ctgi.synth.people3d.rig import about
from ctgi.synth.person import Person


def _vec(x: float, y: float, z: float) -> Array:
    return np.array((x, y, z), np.float32)


def wear_backpack(body: Mannequin, look: Look, fit: Fit, rng: Random) -> list[Layer]:
    """A pack, its pocket and its straps."""
    suit = body.tights
    size = _vec(rng.uniform(0.13, 0.17), rng.uniform(0.055, 0.1), rng.uniform(0.18, 0.23)) * look.bag_size**0.5
    size *= _vec(1, 1, 1.25) if look.bag_cut == "tall" else 1
    chest = body.height("spine_03")
    near = (body.arms < 0.2) & (np.abs(suit.z - chest - 0.05) < 0.08)
    shift = 0.05 * look.bag_side if look.bag_cut == "one shoulder" else 0.0
    behind = float(suit.y[near].max()) + fit.clearance + size[1] * 0.85
    place = _vec(shift, behind, chest + 0.05 - 0.4 * (size[2] - 0.17))
    pocket = moved(blob(4.0), size * _vec(0.78, 0.4, 0.42), UPRIGHT, place + _vec(0, size[1] * 0.9, -size[2] * 0.42))
    half = np.linspace(0, np.pi, 7)[:, None]
    loop = place + _vec(0, -size[1] * 0.4, size[2]) + np.cos(half) * _vec(0.035, 0, 0) + np.sin(half) * _vec(0, 0, 0.03)
    other = Material.STRAP if look.bag_cut == "two colors" else Material.BAG
    return [
        fasten(moved(blob(3.0 + 5.0 * look.bag_shape), size, UPRIGHT, place), "spine_03", Material.BAG),
        fasten(pocket, "spine_03", other),
        fasten(tube(loop, 0.007), "spine_03", Material.STRAP),
        _straps(body, look, fit, rng),
    ]


def _straps(body: Mannequin, look: Look, fit: Fit, rng: Random) -> Layer:
    suit = body.tights
    wide = 0.016 + 0.016 * look.bag_strap
    line = rng.uniform(0.1, 0.125) + 0.03 * step(body.neck, body.waist, suit.z)
    keep = least((wide - np.abs(np.abs(suit.x) - line)) * 12, (suit.z - body.height("spine_03") + 0.13) * 10)
    there = (body.arms < 0.75) & ((suit.normals[:, 1] < -0.6) | (suit.z > body.neck - 0.1))
    if look.bag_cut == "one shoulder":
        there &= suit.x * look.bag_side > 0
    points = body.draped + suit.normals * (fit.clearance + 0.012)
    return cut(suit, points, np.where(there, keep, -1), Material.STRAP)


_SHAPES = {
    "messenger": (0.05, 0.16, 0.12), "handles": (0.06, 0.16, 0.12), "pouch": (0.04, 0.09, 0.075),
    "tote": (0.045, 0.15, 0.16),
    "duffel": (0.11, 0.22, 0.11), "sling": (0.05, 0.1, 0.13), "flap": (0.05, 0.12, 0.1),
}  # fmt: skip
"""Half sizes of bags that hang from a shoulder: outward, along the hip, up."""


def hangs_from_shoulder(person: Person, look: Look) -> bool:
    """Whether the bag has its place under the arm or at the hip, so that no hand carries it."""
    return person.bag == "shoulder bag" or (person.bag == "handbag" and look.bag_strap > 0.6)


_HANGS = {"tote": (0.12, 0.26), "sling": (0.12, 0.26), "handles": (0.2, 0.36)}
"""How far above the crotch some kinds hang."""


def wear_shoulder_bag(body: Mannequin, look: Look, fit: Fit, rng: Random) -> list[Layer]:
    """A bag at the hip or, with handles, under the arm; its strap across the chest or from the same shoulder."""
    suit, side, kind = body.tights, float(look.bag_side), look.bag_cut
    size = _vec(*_SHAPES[kind]) * look.bag_size**0.5 * rng.uniform(0.9, 1.1)
    level = body.crotch + rng.uniform(*_HANGS.get(kind, (-0.02, 0.14)))
    around = (np.abs(suit.z - level - 0.05) < 0.05) & (body.arms < 0.2)
    out = float(np.abs(suit.x[around]).max()) + fit.thick + fit.loose + size[0] * 0.7
    swing = -look.bag_swing * 0.9
    hip = _vec(side * out * np.cos(swing), out * 0.75 * np.sin(swing), level)
    turn = about("z", side * swing + rng.uniform(-0.15, 0.15))
    power = 2.4 if kind == "duffel" else 3.0 + 5.0 * look.bag_shape
    layers = [fasten(moved(blob(power), size, turn, hip), "pelvis", Material.BAG)]
    if kind in ("messenger", "flap"):
        flap = moved(blob(5.0), size * _vec(1.1, 0.98, 0.5), turn, hip + _vec(0, 0, size[2] * 0.5))
        layers.append(fasten(flap, "pelvis", Material.BAG))
    return [*layers, _long_strap(body, look, fit, hip, size)]


def _long_strap(body: Mannequin, look: Look, fit: Fit, hip: Array, size: Array) -> Layer:
    """Where a plane through a shoulder and the bag cuts the trunk."""
    suit, side = body.tights, float(look.bag_side)
    start = _vec(-side * 0.105 if look.bag_across and look.bag_cut != "handles" else side * 0.14, 0, body.neck - 0.02)
    along = hip - start
    plane = np.cross(along / np.linalg.norm(along), _vec(0, 1, 0))
    plane = plane / (np.linalg.norm(plane) + 1e-9)
    off = np.abs((suit.points - start) @ plane)
    keep = least((0.009 + 0.014 * look.bag_strap - off) * 12, (suit.z - hip[2] - size[2] * 0.5) * 10)
    points = body.draped + suit.normals * (fit.clearance + 0.014)
    return cut(suit, points, np.where(body.arms < 0.7, keep, -1), Material.STRAP)


def hold_handbag(hand: Array, look: Look, rng: Random) -> list[Piece]:
    """A bag that hangs from the hand or from the bent forearm."""
    scale = look.bag_size**0.7
    size = _vec(rng.uniform(0.045, 0.075), rng.uniform(0.12, 0.17), rng.uniform(0.09, 0.14)) * scale
    drop = rng.uniform(0.05, 0.14)
    place = hand + _vec(0, 0, -drop - size[2])
    turn = about("z", rng.uniform(-0.5, 0.5))
    if look.bag_cut == "tote":
        size, drop = size * _vec(0.8, 1, 1.35), drop * 0.8
        place = hand + _vec(0, 0, -drop - size[2])
    pieces = [solid(moved(blob(3.0 + 5 * look.bag_shape), size, turn, place), Material.BAG)]
    half = np.linspace(0, np.pi, 10)
    for x in (-0.4, 0.4):
        arc = np.stack([0 * half + x * size[0], np.cos(half) * size[1] * 0.6, np.sin(half) * (drop + 0.02)], 1)
        handle = (arc @ turn.T + place + _vec(0, 0, size[2] * 0.9)).astype(np.float32)
        pieces.append(solid(tube(handle, 0.0075), Material.STRAP))
    return pieces


def roll_suitcase(hand: Array, floor: float, look: Look, side: float, rng: Random) -> list[Piece]:
    """A case on wheels at the hand's side, upright or pulled along behind."""
    size = _vec(rng.uniform(0.15, 0.2), rng.uniform(0.1, 0.13), rng.uniform(0.24, 0.32)) * look.bag_size**0.5
    tilt = rng.choice((0.0, rng.uniform(0.2, 0.55)))
    turn = about("z", rng.uniform(-0.4, 0.4)) @ about("x", -tilt)
    place = _vec(hand[0] + side * 0.05, hand[1] + np.sin(tilt) * 0.55 + 0.02, floor + size[2] * np.cos(tilt) + 0.07)
    pieces = [solid(moved(blob(8.0), size, turn, place), Material.BAG)]
    pieces += [
        solid(
            moved(blob(6.0), size * _vec(0.06, 1.03, 0.86), turn, place + turn @ (_vec(x, 0, 0) * size)), Material.BAG
        )
        for x in ((-0.5, 0.0, 0.5) if look.bag_cut == "hard" else ())
    ]
    grip = np.stack([hand + _vec(-0.06, 0, 0), hand + _vec(0.06, 0, 0)])
    pieces.append(solid(tube(grip, 0.013), Material.METAL))
    for x in (-1, 1):
        foot = place + turn @ (_vec(x * 0.5, 0, 0.98) * size)
        pieces.append(solid(tube(np.stack([foot, hand + _vec(x * 0.05, 0, 0)]), 0.007), Material.METAL))
        wheel = place + turn @ (_vec(x * 0.8, 0.3, -1.0) * size)
        pieces.append(solid(moved(blob(2.5, 8, 12), _vec(0.018, 0.034, 0.034), UPRIGHT, wheel), Material.METAL))
    return pieces
