"""How long and how wide one person's clothes are: measures that all garments must agree on."""

from dataclasses import dataclass
from random import Random

import numpy as np

from ctgi.synth.look import Look
from ctgi.synth.people3d.mannequin import Mannequin
from ctgi.synth.people3d.meshes import Array
from ctgi.synth.person import NONE, OUTER, Person

THICKNESS = {
    "T-shirt": 0.014, "shirt": 0.015, "polo shirt": 0.014, "blouse": 0.016, "tank top": 0.009, "sweater": 0.024,
    "hoodie": 0.03, "jacket": 0.034, "coat": 0.036, "blazer": 0.025, "dress": 0.012,
}  # fmt: skip
"""Meters between the suit and the upper garment."""
_NECKLINES = {
    "T-shirt": 0.0, "shirt": -0.02, "polo shirt": -0.015, "blouse": 0.01, "tank top": 0.04, "sweater": -0.01,
    "hoodie": -0.02, "jacket": -0.03, "coat": -0.03, "blazer": 0.02, "dress": 0.02,
}  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """Heights are over the rest pose's origin; lengths in meters."""

    hem: float
    """Where the upper garment ends; of a dress, its bodice."""
    tucked: bool
    sleeve: float
    """Along the arm: 0 at the shoulder, 0.5 at the elbow, 1 at the wrist."""
    neckline: float
    """How far the neck opening dips in front."""
    thick: float
    loose: float
    """Extra width at the hips."""
    skirted: bool
    leg_end: float
    """Down to where trousers or a skirt reach."""
    leg_wide: float
    shoe_top: float

    @property
    def clearance(self) -> float:
        """From the suit to the outermost cloth at the chest."""
        return self.thick + 0.6 * self.loose


def draw_fit(body: Mannequin, person: Person, look: Look, rng: Random) -> Fit:
    """The measures of a person's clothes."""
    skirted = person.upper_type == "dress" or person.lower_type == "skirt"
    tucked = look.cut.tucked and person.upper_type not in (*OUTER, "hoodie", "sweater", "dress")
    leg_end = _leg_end(body, person, skirted, rng)
    return Fit(
        hem=_hem(body, person, look, tucked),
        tucked=tucked,
        sleeve={"long": rng.uniform(0.97, 1.05), "short": 0.5 * look.cut.sleeve, NONE: 0.0}[person.sleeves],
        neckline=_NECKLINES[person.upper_type] + 0.016 * look.cut.neckline,
        thick=THICKNESS[person.upper_type] * rng.uniform(0.8, 1.3),
        loose=0.011 * look.cut.loose,
        skirted=skirted,
        leg_end=leg_end,
        leg_wide=0.004 if person.lower_type == "leggings" else max(0.005, 0.075 * (look.cut.leg_width - 1)),
        shoe_top=body.ankle + _shoe_height(person, leg_end - body.ankle, rng),
    )


def below_neckline(body: Mannequin, neckline: float) -> Array:
    """[tights] Meters from the edge of the neck opening down to a point; below 0 in the opening."""
    suit = body.tights
    front = suit.y < body.joints["neck_01"][1] - 0.02
    edge = body.neck + 0.045 - np.where(front, 0.035 + neckline, 0.3 * max(0.0, neckline))
    return np.asarray(edge - suit.z + np.clip(np.abs(suit.x) - 0.05, 0, None) * 0.8)


def _hem(body: Mannequin, person: Person, look: Look, tucked: bool) -> float:
    if person.upper_type == "dress":
        return body.waist - 0.05
    if tucked:
        return body.waist - 0.04
    hem = body.height("thigh_l") - 0.02 + look.cut.hem * 0.0165
    return max(body.knee - 0.1, hem) if person.upper_type == "coat" else max(body.crotch - 0.05, hem)


def _leg_end(body: Mannequin, person: Person, skirted: bool, rng: Random) -> float:
    length = person.lower_length
    if skirted:
        return {
            "long": body.ankle + rng.uniform(0.0, 0.12),
            "knee-length": body.knee + rng.uniform(-0.13, 0.04),
            "short": body.knee + rng.uniform(0.11, 0.2),
        }[length]
    return {
        "long": body.ankle + rng.uniform(-0.03, 0.03),
        "knee-length": body.knee + rng.uniform(-0.05, 0.05),
        "short": body.crotch - rng.uniform(0.06, 0.17),
    }[length]


def _shoe_height(person: Person, leg_end: float, rng: Random) -> float:
    """Over the ankle; boots that no trousers cover are long more often."""
    if person.shoes_type == "boots":
        return rng.uniform(0.08, 0.34) if leg_end > 0.2 else rng.uniform(0.1, 0.3)
    return {"sneakers": rng.uniform(-0.02, 0.02), "shoes": rng.uniform(-0.035, -0.01)}.get(person.shoes_type, -0.035)
