"""One person dressed, and put into a pose."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

import numpy as np

from ctgi.synth.look import Look
from ctgi.synth.parts import Part
from ctgi.synth.people3d.bags import hangs_from_shoulder, hold_handbag, roll_suitcase, wear_backpack, wear_shoulder_bag
from ctgi.synth.people3d.bodies import load_bodies
from ctgi.synth.people3d.collars import cut_collar
from ctgi.synth.people3d.feet import bare_skin, cut_shoes, eyes
from ctgi.synth.people3d.fit import draw_fit
from ctgi.synth.people3d.head import dress_head
from ctgi.synth.people3d.held import hold, phone_at_ear
from ctgi.synth.people3d.layers import Layer, carry
from ctgi.synth.people3d.lower import cut_lower
from ctgi.synth.people3d.mannequin import Mannequin, mannequin, numbers_of
from ctgi.synth.people3d.materials import PARTS
from ctgi.synth.people3d.meshes import Array, Piece
from ctgi.synth.people3d.poses import SIGN, draw_pose
from ctgi.synth.people3d.rig import Rig, strike
from ctgi.synth.people3d.upper import cut_upper
from ctgi.synth.person import Person


@dataclass(frozen=True)
class Outfit:
    """A body with all that it wears, at rest: the same in all pictures of a person."""

    body: Mannequin
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Figure:
    """A person in the world, standing at the origin on z = `floor`."""

    body: Mannequin
    rig: Rig
    pieces: list[Piece]
    floor: float

    def points(self, but: Collection[Part] = ()) -> Array:
        """[N, 3] All that can be seen but these parts."""
        kept = [piece for piece in self.pieces if PARTS[piece.material] not in but]
        return np.concatenate([piece.points[piece.keep > 0] for piece in kept])

    def moved(self, turn: Array, shift: Array) -> "Figure":
        """The person turned about the origin by a matrix, then shifted."""
        pieces = [replace(p, points=p.points @ turn.T + shift, normals=p.normals @ turn.T) for p in self.pieces]
        return replace(self, pieces=pieces, floor=self.floor + float(shift[2]))


@lru_cache(maxsize=8)
def dress(person: Person, look: Look) -> Outfit:
    """The person's body and clothes; the same for the same look."""
    rng = Random(look.pattern_seed)
    body = mannequin(rng.choice(numbers_of("male" if person.gender == "man" else "female")))
    fit = draw_fit(body, person, look, rng)
    layers = [bare_skin(body, person, fit), eyes(body)]
    layers += cut_lower(body, person, look, fit, rng)
    layers += cut_upper(body, person, look, fit, rng)
    layers += cut_collar(body, person, look, fit, rng)
    layers += cut_shoes(body, person, fit)
    layers += dress_head(body, person, look, fit, rng)
    if person.bag == "backpack":
        layers += wear_backpack(body, look, fit, rng)
    elif hangs_from_shoulder(person, look):
        layers += wear_shoulder_bag(body, look, fit, rng)
    return Outfit(body, tuple(layers))


def stand(outfit: Outfit, person: Person, look: Look, action: str, rng: Random) -> Figure:
    """The person in a pose for an action, with what the hands carry."""
    pose = draw_pose(outfit.body, person, look, action, rng)
    rig = strike(load_bodies(), outfit.body.number, pose.goals)
    pieces = carry(outfit.layers, rig)
    floor = float(min(piece.points[piece.keep > 0][:, 2].min() for piece in pieces if (piece.keep > 0).any()))
    for side, task in pose.tasks.items():
        pieces += _in_hand(outfit.body, rig, person, look, side, task, floor, rng)
    return Figure(outfit.body, rig, pieces, floor)


def _in_hand(
    body: Mannequin, rig: Rig, person: Person, look: Look, side: str, task: str, floor: float, rng: Random
) -> list[Piece]:
    hand = rig.at(f"hand_{side}", body.hands[side])
    if task == "ear":
        return phone_at_ear(rig, hand, SIGN[side], person.held == "phone")
    if task == "held":
        return hold(person.held, hand, rig, look, rng)
    if task == "bag" and person.bag == "suitcase":
        return roll_suitcase(hand, floor, look, SIGN[side], rng)
    if task in ("bag", "forearm"):
        arm = np.asarray((rig.place(f"hand_{side}") + rig.place(f"lowerarm_{side}")) / 2, np.float32)
        return hold_handbag(arm if task == "forearm" else hand, look, rng)
    return []
