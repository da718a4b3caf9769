"""Things in the hand."""

from random import Random

import numpy as np

from ctgi.synth.look import Look
from ctgi.synth.people3d.materials import Material
from ctgi.synth.people3d.meshes import UPRIGHT, Array, Mesh, Piece, blob, lathe, moved, solid, tube
from ctgi.synth.people3d.rig import Rig, about


def hold(thing: str, hand: Array, rig: Rig, look: Look, rng: Random) -> list[Piece]:
    """A thing of person.held where a palm is."""
    if thing == "umbrella":
        return _umbrella(hand, rig, look, rng)
    return [solid(mesh, Material.HELD) for mesh in _meshes(thing, hand, rng)]


def phone_at_ear(rig: Rig, hand: Array, side: float, told: bool) -> list[Piece]:
    """A phone against the ear; `told` if it is what the person holds."""
    turn = rig.turn("head") @ about("y", side * 0.1) @ about("x", 0.35)
    place = hand + rig.turn("head") @ np.array((-side * 0.01, 0.0, 0.01), np.float32)
    mesh = moved(blob(8.0), np.array((0.008, 0.04, 0.08), np.float32), turn, place)
    return [solid(mesh, Material.HELD if told else Material.PHONE)]


def _meshes(thing: str, hand: Array, rng: Random) -> list[Mesh]:
    def at(x: float, y: float, z: float) -> Array:
        return hand + np.array((x, y, z), np.float32)

    turn = about("z", rng.uniform(-0.6, 0.6))
    if thing == "phone":
        return [moved(blob(8.0), np.array((0.038, 0.008, 0.078)), turn @ about("x", -0.5), at(0, -0.02, 0.03))]
    if thing == "book":
        return [moved(blob(12.0), np.array((0.02, 0.085, 0.12)), turn, at(0, -0.02, -0.03))]
    if thing == "bottle":
        profile = np.array(((0, -0.11), (0.034, -0.11), (0.034, 0.05), (0.014, 0.09), (0.014, 0.12), (0, 0.12)))
        return [moved(lathe(profile, 12), 1.0, about("x", rng.uniform(-0.3, 0.3)), at(0, -0.02, 0.01))]
    if thing == "cup":
        profile = np.array(((0, -0.06), (0.03, -0.06), (0.042, 0.065), (0, 0.065)))
        return [moved(lathe(profile, 12), 1.0, UPRIGHT, at(0, -0.03, 0.03))]
    size = np.array((rng.uniform(0.05, 0.09), rng.uniform(0.1, 0.15), rng.uniform(0.12, 0.19)), np.float32)
    body = at(0, 0, -size[2] - 0.07)
    loops = [
        tube(np.stack([at(0, 0, 0), body + np.array((0, y * size[1], size[2] * 0.75))]).astype(np.float32), 0.012)
        for y in (-0.6, 0.6)
    ]
    return [moved(blob(2.8), size, turn, body), *loops]


def _umbrella(hand: Array, rig: Rig, look: Look, rng: Random) -> list[Piece]:
    if not look.umbrella_open:
        profile = np.array(
            ((0, -0.62), (0.012, -0.6), (0.035, -0.3), (0.028, -0.02), (0.01, 0.0), (0.01, 0.1), (0, 0.1))
        )
        tilt = about("x", rng.uniform(-0.25, 0.1))
        return [solid(moved(lathe(profile, 10), 1.0, tilt, hand), Material.HELD)]
    head = rig.place("head")
    top = np.array((hand[0] * 0.6 + head[0] * 0.4, hand[1] * 0.5 + head[1] * 0.5, head[2] + rng.uniform(0.36, 0.46)))
    wide = rng.uniform(0.42, 0.55)
    turn = np.linspace(0, np.pi / 2, 9)
    profile = np.stack([np.sin(turn) * wide, (np.cos(turn) - 1) * wide * 0.5], 1)
    canopy = moved(
        lathe(profile, 24), 1.0, about("x", rng.uniform(-0.15, 0.25)) @ about("y", rng.uniform(-0.15, 0.15)), top
    )
    shaft = np.stack([hand - np.array((0, 0, 0.08)), top]).astype(np.float32)
    return [solid(canopy, Material.HELD), solid(tube(shaft, 0.008), Material.SHAFT)]
