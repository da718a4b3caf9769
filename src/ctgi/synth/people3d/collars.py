"""Collars, lapels, hoods, straps of hoods: what tells a shirt from a T-shirt."""

from random import Random

import numpy as np

from ctgi.synth.look import Look
from ctgi.synth.people3d.fit import Fit, below_neckline
from ctgi.synth.people3d.layers import Layer, cut, fasten
from ctgi.synth.people3d.mannequin import Mannequin
from ctgi.synth.people3d.materials import Material
from ctgi.synth.people3d.meshes import UPRIGHT, Array, Mesh, blob, moved, strip, tube
from ctgi.synth.person import NONE, Person

_AROUND = 22


def cut_collar(body: Mannequin, person: Person, look: Look, fit: Fit, rng: Random) -> list[Layer]:
    """What the neck opening wears; hems of knitted things."""
    kind, layers = look.cut.collar, []
    opened = 0.5 if person.inner_color != NONE else 0.22
    if kind == "hood":
        layers.append(fasten(_hood(body, fit, rng), "spine_03", Material.COLLAR))
        layers.append(fasten(_ring(body, -0.03, 0.035, 0.03, opened), "neck_01", Material.COLLAR))
        if person.upper_type == "hoodie":
            layers += [fasten(_string(body, fit, side, rng), "spine_03", Material.TRIM) for side in (-1, 1)]
    elif kind in ("shirt", "lapels"):
        layers.append(fasten(_ring(body, 0.0, 0.04, 0.022, opened), "neck_01", Material.COLLAR))
    elif kind == "stand":
        layers.append(
            fasten(
                _ring(body, -0.005, 0.055, 0.006, opened if person.inner_color != NONE else 0.05),
                "neck_01",
                Material.COLLAR,
            )
        )
    elif kind == "fur":
        ring = _line(body, 0.02, 0.045 + fit.thick * 0.5, opened)
        layers.append(fasten(tube(ring, 0.042, 8), "spine_03", Material.COLLAR))
    elif kind == "crew":
        layers.append(_band(body, fit))
    if kind in ("lapels", "shirt"):
        layers.append(_lapels(body, person, fit, 0.055 if kind == "lapels" else 0.028))
    return layers


def _line(body: Mannequin, up: float, wide: float, opened: float) -> Array:
    """Around the neck from one side of the front to the other; `opened` in radians to each side."""
    turn = np.linspace(opened, 2 * np.pi - opened, _AROUND)
    x, y = np.sin(turn) * (0.052 + wide), -np.cos(turn) * (0.058 + wide)
    dip = 0.035 * (0.5 + 0.5 * np.cos(turn))
    center = body.joints["neck_01"] + np.array((0, -0.004, 0.018 + up), np.float32)
    return np.asarray(center + np.stack([x, y, -dip], 1), np.float32)


def _ring(body: Mannequin, low: float, high: float, lean: float, opened: float) -> Mesh:
    """A band around the neck; it leans outward, as a folded collar does."""
    return strip(_line(body, low, 0.008 + lean, opened), _line(body, high, 0.008, opened * 0.7))


def _band(body: Mannequin, fit: Fit) -> Layer:
    """A ribbed edge of the neck opening."""
    suit, off = body.tights, below_neckline(body, fit.neckline)
    keep = np.minimum(off + 0.004, 0.022 - off) * 12
    keep = np.where((body.arms > 0.3) | (np.abs(suit.x) > 0.13), -1, keep)
    return cut(suit, body.draped + suit.normals * (fit.thick + 0.004), keep, Material.COLLAR)


def _lapels(body: Mannequin, person: Person, fit: Fit, wide: float) -> Layer:
    """Two flaps along the opening of the front."""
    suit = body.tights
    low = body.neck - (0.23 if wide > 0.05 else 0.05)
    rise = np.clip((suit.z - low) / (body.neck + 0.03 - low), 0, 1)
    edge = 0.012 + 0.055 * rise if person.inner_color == NONE else 0.03 + 0.04 * rise
    side = np.abs(suit.x)
    keep = np.minimum((side - edge) * 12, (edge + wide * (0.25 + 0.75 * rise) - side) * 12)
    keep = np.minimum(keep, (suit.z - low) * 10)
    keep = np.where((suit.y > -0.01) | (body.arms > 0.3), -1, keep)
    return cut(suit, body.draped + suit.normals * (fit.thick + 0.009), keep, Material.COLLAR)


def _hood(body: Mannequin, fit: Fit, rng: Random) -> Mesh:
    size = np.array((rng.uniform(0.11, 0.14), rng.uniform(0.06, 0.085), rng.uniform(0.07, 0.1)), np.float32)
    place = body.joints["neck_01"] + np.array((0, 0.062 + fit.thick * 0.5, -0.005), np.float32)
    return moved(blob(2.6), size, UPRIGHT, place)


def _string(body: Mannequin, fit: Fit, side: int, rng: Random) -> Mesh:
    """One of the two cords of a hood."""
    suit, length = body.tights, rng.uniform(0.08, 0.2)
    near = (np.abs(suit.x - side * 0.03) < 0.025) & (suit.y < 0) & (suit.z < body.neck - 0.02)
    heights = body.neck - 0.03 - np.linspace(0, length, 6)
    order = np.argsort(suit.z[near])
    ahead = np.interp(heights, suit.z[near][order], suit.y[near][order]) - fit.thick - 0.012
    path = np.stack([side * (0.028 + 0.1 * (heights[0] - heights)), ahead, heights], 1)
    return tube(path, 0.0055, 5)
