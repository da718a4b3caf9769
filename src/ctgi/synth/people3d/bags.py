"""Bags on the back, at the hip, in the hand and on wheels."""

from random import Random

import numpy as np

from ctgi.synth.look import Look
from ctgi.synth.people3d.fit import Fit
from ctgi.synth.people3d.layers import Layer, cut, fasten
from ctgi.synth.people3d.mannequin import Mannequin, least, step
from ctgi.synth.people3d.materials import Material
from ctgi.synth.people3d.meshes import Array, Piece, blob, moved, solid, tube
from ctgi.synth.people3d.rig import about

_UPRIGHT: Array = np.eye(3, dtype=np.float32)


def _vec(x: float, y: float, z: float) -> Array:
    return np.array((x, y, z), np.float32)


def wear_backpack(body: Mannequin, look: Look, fit: Fit, rng: Random) -> list[Layer]:
    """A pack, its pocket and both straps."""
    suit = body.tights
    size = _vec(rng.uniform(0.13, 0.17), rng.uniform(0.055, 0.1), rng.uniform(0.18, 0.25)) * look.bag_size**0.5
    chest = body.height("spine_03")
    near = (body.arms < 0.2) & (np.abs(suit.z - chest - 0.05) < 0.08)
    place = _vec(0, float(suit.y[near].max()) + fit.clearance + size[1] * 0.85, chest + 0.05 - 0.4 * (size[2] - 0.17))
    power = 3.0 + 5.0 * look.bag_shape
    pocket = moved(blob(4.0), size * _vec(0.78, 0.4, 0.42), _UPRIGHT, place + _vec(0, size[1] * 0.9, -size[2] * 0.42))
    handle = np.linspace(0, np.pi, 7)[:, None] * _vec(1, 0, 0)
    loop = (
        place
        + _vec(0, -size[1] * 0.4, size[2])
        + np.cos(handle) * _vec(0.035, 0, 0)
        + np.sin(handle[:, :1]) * _vec(0, 0, 0.03)
    )
    return [
        fasten(moved(blob(power), size, _UPRIGHT, place), "spine_03", Material.BAG),
        fasten(pocket, "spine_03", Material.BAG),
        fasten(tube(loop.astype(np.float32), 0.007), "spine_03", Material.STRAP),
        _straps(body, fit, rng),
    ]


def _straps(body: Mannequin, fit: Fit, rng: Random) -> Layer:
    suit = body.tights
    line = rng.uniform(0.1, 0.125) + 0.03 * step(body.neck, body.waist, suit.z)
    keep = least((0.026 - np.abs(np.abs(suit.x) - line)) * 12, (suit.z - body.height("spine_03") + 0.13) * 10)
    there = (body.arms < 0.75) & ((suit.normals[:, 1] < -0.6) | (suit.z > body.neck - 0.1))
    points = body.draped + suit.normals * (fit.clearance + 0.012)
    return cut(suit, points, np.where(there, keep, -1), Material.STRAP)


def wear_shoulder_bag(body: Mannequin, look: Look, fit: Fit, rng: Random) -> list[Layer]:
    """A bag at the hip, its strap across the chest or from the same shoulder."""
    suit, side = body.tights, float(look.bag_side)
    across = rng.random() < 0.55
    scale = look.bag_size**0.5 * 0.9
    size = _vec(rng.uniform(0.045, 0.07), rng.uniform(0.11, 0.16), rng.uniform(0.09, 0.14)) * scale
    level = body.crotch + rng.uniform(0.0, 0.14)
    at_hip = (np.abs(suit.z - level - 0.05) < 0.05) & (body.arms < 0.2)
    out = float(np.abs(suit.x[at_hip]).max()) + fit.thick + fit.loose + size[0] * 0.7
    swing = -look.bag_swing * 0.9
    hip = _vec(side * out * np.cos(swing), out * 0.75 * np.sin(swing), level)
    turn = about("z", side * swing + rng.uniform(-0.15, 0.15))
    layers = [fasten(moved(blob(3.0 + 5 * look.bag_shape), size, turn, hip), "pelvis", Material.BAG)]
    flap = moved(blob(4.0), size * _vec(1.12, 0.96, 0.45), turn, hip + _vec(0, 0, size[2] * 0.5))
    layers.append(fasten(flap, "pelvis", Material.BAG))
    start = _vec((-side if across else side) * (0.105 if across else 0.14), 0, body.neck - 0.02)
    along = hip - start
    plane = np.cross(along / np.linalg.norm(along), _vec(0, 1, 0))
    plane /= np.linalg.norm(plane) + 1e-9
    strip = least((0.016 - np.abs((suit.points - start) @ plane)) * 12, (suit.z - hip[2] - size[2] * 0.5) * 10)
    points = body.draped + suit.normals * (fit.clearance + 0.014)
    layers.append(cut(suit, points, np.where(body.arms < 0.7, strip, -1), Material.STRAP))
    return layers


def hold_handbag(hand: Array, look: Look, rng: Random) -> list[Piece]:
    """A bag that hangs from the hand or from the bent forearm."""
    scale = look.bag_size**0.7
    size = _vec(rng.uniform(0.045, 0.075), rng.uniform(0.12, 0.17), rng.uniform(0.09, 0.14)) * scale
    drop = rng.uniform(0.05, 0.14)
    place = hand + _vec(0, 0, -drop - size[2])
    turn = about("z", rng.uniform(-0.5, 0.5))
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
        for x in (-0.5, 0.0, 0.5)
    ]
    grip = np.stack([hand + _vec(-0.06, 0, 0), hand + _vec(0.06, 0, 0)])
    pieces.append(solid(tube(grip, 0.013), Material.METAL))
    for x in (-1, 1):
        foot = place + turn @ (_vec(x * 0.5, 0, 0.98) * size)
        pieces.append(solid(tube(np.stack([foot, hand + _vec(x * 0.05, 0, 0)]), 0.007), Material.METAL))
        wheel = place + turn @ (_vec(x * 0.8, 0.3, -1.0) * size)
        pieces.append(solid(moved(blob(2.5, 8, 12), _vec(0.018, 0.034, 0.034), _UPRIGHT, wheel), Material.METAL))
    return pieces
