"""Shirts, jackets, coats and what shows under them."""

from dataclasses import dataclass
from random import Random

import numpy as np

from ctgi.synth.look import Look
from ctgi.synth.people3d.fit import Fit, below_neckline
from ctgi.synth.people3d.layers import Layer, cut, hang
from ctgi.synth.people3d.mannequin import Mannequin, least, step
from ctgi.synth.people3d.materials import Material
from ctgi.synth.people3d.meshes import Array
from ctgi.synth.person import NONE, OUTER, Person


@dataclass(frozen=True)
class _Cut:
    """One garment of the trunk."""

    thick: float
    loose: float
    hem: float
    sleeve: float
    neckline: float
    gap: float
    """Half the width of an open front."""
    ripple: float
    straps: bool = False
    tucked: bool = False


def cut_upper(body: Mannequin, person: Person, look: Look, fit: Fit, rng: Random) -> list[Layer]:
    """What covers the trunk and the arms."""
    waves, outer, layers = _waves(body, rng), person.upper_type in OUTER, []
    opened = person.inner_color != NONE
    gap = 0.016 * look.cut.open_width if opened else 0.0
    if opened:
        inner = _Cut(0.011, 0.006, max(body.crotch + 0.06, fit.hem - 0.01), 0.9, 0.03, 0, 0.003)
        layers.append(_trunk(body, inner, waves, Material.INNER))
    top = _Cut(
        fit.thick, fit.loose, max(fit.hem, body.crotch - 0.05), fit.sleeve, fit.neckline, gap,
        _ripple(person, look), person.upper_type == "tank top", fit.tucked,
    )  # fmt: skip
    layers.append(_trunk(body, top, waves, Material.UPPER))
    if outer and fit.hem < body.crotch - 0.02:
        layers.append(_coat_tails(body, fit, gap))
    return layers


def _ripple(person: Person, look: Look) -> float:
    """Meters that the cloth goes in and out."""
    return (0.004 + 0.005 * look.cut.fold_strength) * (1.4 if person.upper_type in OUTER else 1.0)


def _waves(body: Mannequin, rng: Random) -> Array:
    """[tights] Large folds, -1 to 1."""
    suit, phase = body.tights, [rng.uniform(0, 6.3) for _ in range(3)]
    return np.asarray(
        np.sin(suit.z * 38 + 5 * suit.x + phase[0]) * 0.5
        + np.sin(suit.x * 33 + suit.z * 17 + phase[1]) * 0.35
        + np.sin(suit.y * 41 - suit.z * 23 + phase[2]) * 0.35,
        np.float32,
    )


def _trunk(body: Mannequin, piece: _Cut, waves: Array, material: Material) -> Layer:
    suit, arms = body.tights, body.arms
    along = body.along_arm(suit.points)
    hang_down = step(body.neck - 0.1, body.crotch + 0.1, suit.z) * (1 - arms)
    wide = piece.thick * (1 - 0.25 * arms) + piece.loose * hang_down + waves * piece.ripple * (0.5 + hang_down)
    cuff = 0.014 + 0.3 * piece.loose if piece.sleeve < 0.6 else 0.0
    wide = wide + arms * step(0.0, max(piece.sleeve, 0.05), along) * (piece.thick * 0.4 + cuff)
    if piece.sleeve > 0.6:  # bunches at the wrists, and a few folds at the elbows
        bend = 0.6 * step(0.28, 0.5, along) * step(0.72, 0.5, along) + step(0.75, 1.0, along)
        wide = wide + arms * bend * np.sin(along * 75 + suit.y * 30) * 0.004
    if piece.tucked:
        wide = wide * (1 - 0.7 * step(piece.hem + 0.14, piece.hem + 0.02, suit.z) * (1 - arms))
    points = body.draped + suit.normals * wide[:, None]
    return cut(suit, points, _edges(body, piece, points), material)


def _edges(body: Mannequin, piece: _Cut, points: Array) -> Array:
    """[tights] Above 0 where the garment is: sleeves, hem, neck opening and open front."""
    suit, arms, along = body.tights, body.arms, body.along_arm(points)
    shoulder = (piece.sleeve - along) * 3 if piece.sleeve > 0 else (-0.05 - along) * 8
    keep = np.where(arms > (0.3 if piece.sleeve > 0 else 0.15), shoulder, 5)
    keep = np.minimum(keep, np.where(arms > 0.5, 5, (points[:, 2] - piece.hem) * 10))
    side = np.abs(suit.x)
    keep = np.minimum(keep, np.where((arms > 0.5) | (side > 0.16), 5, below_neckline(body, piece.neckline) * 10))
    if piece.straps:
        keep = np.minimum(keep, np.where((suit.z > body.neck - 0.09) & (side > 0.1), (0.145 - side) * 20, 5))
    if piece.gap:
        wide = piece.gap * (1 + 0.8 * step(body.neck, body.waist, suit.z))
        ahead = (suit.y < 0.0) & (arms < 0.3) & (suit.z < body.neck + 0.03)
        keep = np.where(ahead, np.minimum(keep, (side - wide) * 12), keep)
    return np.asarray(keep, np.float32)


def _coat_tails(body: Mannequin, fit: Fit, gap: float) -> Layer:
    cone = body.skirt
    down = step(body.waist, body.knee, cone.z)
    points = cone.points + cone.outward * (fit.thick + fit.loose + 0.008 + 0.045 * down)[:, None]
    keep = least((cone.z - fit.hem) * 10, (body.waist - 0.02 - cone.z) * 10)
    if gap:
        ahead = np.minimum(keep, (np.abs(cone.x) - gap * (1.8 + 0.8 * down)) * 10)
        keep = np.where(cone.y < 0, ahead, keep)
    return hang(cone, points, keep, Material.UPPER, 8)
