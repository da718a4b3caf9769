"""Trousers, shorts, skirts and belts."""

from random import Random

import numpy as np

from ctgi.synth.look import Look
from ctgi.synth.people3d.fit import Fit
from ctgi.synth.people3d.layers import Layer, cut, hang
from ctgi.synth.people3d.mannequin import Mannequin, least, step
from ctgi.synth.people3d.materials import Material
from ctgi.synth.people3d.meshes import Array
from ctgi.synth.person import NONE, Person


def cut_lower(body: Mannequin, person: Person, look: Look, fit: Fit, rng: Random) -> list[Layer]:
    """What covers hips and legs."""
    layers = [_skirt(body, person, look, fit, rng)] if fit.skirted else [_trousers(body, person, look, fit, rng)]
    if person.belt_color != NONE and fit.tucked:
        layers.append(_belt(body, fit))
    return layers


def _trousers(body: Mannequin, person: Person, look: Look, fit: Fit, rng: Random) -> Layer:
    suit = body.tights
    z, phase = suit.z, rng.uniform(0, 6)
    below = step(body.crotch + 0.05, body.knee, z)
    ankle = step(body.knee, body.ankle + 0.05, z)
    wide = fit.leg_wide * (0.35 + 0.65 * below) * (1 + (look.cut.flare - 1) * 2.2 * ankle) + 0.004
    if person.lower_type == "leggings":
        wide = np.full_like(z, 0.0035)
    else:
        folds = np.sin(z * 36 + 5 * suit.x + phase) * np.sin(suit.y * 31 + z * 13 + phase)
        bunched = step(body.ankle + 0.17, body.ankle, z) * np.sin(z * 150 + suit.y * 20 + phase) * 0.007
        wide = wide + 0.004 * folds + (bunched if person.lower_length == "long" else 0)
    if fit.tucked:  # over the shirt
        wide = np.maximum(wide, step(body.waist - 0.1, body.waist - 0.02, z) * (0.3 * fit.thick + 0.014))
    points = body.legs_draped + suit.normals * wide[:, None]
    z = points[:, 2]
    keep = least((z - _trouser_end(body, person, fit)) * 10, (body.waist + 0.03 - z) * 10)
    if not fit.tucked:  # what the upper garment hides cannot show through it
        keep = least(keep, (max(fit.hem, body.crotch - 0.02) + 0.03 - z) * 10)
    return cut(suit, points, np.where(body.arms > 0.4, -1, keep), Material.LOWER)


def _trouser_end(body: Mannequin, person: Person, fit: Fit) -> float:
    """Trouser legs that are not too wide go into long boots."""
    tall = person.shoes_type == "boots" and fit.shoe_top > body.ankle + 0.17
    return max(fit.leg_end, fit.shoe_top - 0.03) if tall and fit.leg_wide < 0.025 else fit.leg_end


def _skirt(body: Mannequin, person: Person, look: Look, fit: Fit, rng: Random) -> Layer:
    cone = body.skirt
    down = step(body.waist, fit.leg_end, cone.z)
    flare = -0.035 + 0.17 * look.cut.skirt_flare
    pleats = rng.choice((0.002, 0.006, 0.013)) * (1 if flare > 0 else 0.2)
    around = np.arctan2(cone.y, cone.x) * rng.choice((7, 9, 13)) + rng.uniform(0, 6)
    wide = down * (flare + pleats * np.sin(around)) + 0.006
    material = Material.UPPER if person.upper_type == "dress" else Material.LOWER
    points: Array = cone.points + cone.outward * wide[:, None]
    return hang(cone, points, (cone.z - fit.leg_end) * 10, material, 10)


def _belt(body: Mannequin, fit: Fit) -> Layer:
    """At the waist, over what is tucked in."""
    suit = body.tights
    points = body.draped + suit.normals * (0.3 * fit.thick + 0.02)
    band = (0.02 - np.abs(suit.z - body.waist - 0.012)) * 14
    return cut(suit, points, np.where(body.arms > 0.4, -1, band), Material.BELT)
