"""Shoes, boots, sandals, heels and socks, and the skin that clothes leave bare."""

from dataclasses import replace

import numpy as np

from ctgi.synth.people3d.bodies import load_bodies
from ctgi.synth.people3d.fit import Fit
from ctgi.synth.people3d.layers import Layer, cut, fasten
from ctgi.synth.people3d.mannequin import Mannequin, least, step
from ctgi.synth.people3d.materials import Material
from ctgi.synth.people3d.meshes import UPRIGHT, Array, grid, lathe, moved
from ctgi.synth.person import NONE, Person

_TOES = {"sneakers": 2.6, "shoes": 2.2, "boots": 2.4, "high heels": 1.6, "sandals": 2.6}
"""How blunt the tips are."""
_SOLE = 0.014
HEEL = 0.07
"""Meters under a high heel."""


def cut_shoes(body: Mannequin, person: Person, fit: Fit) -> list[Layer]:
    """What the feet wear."""
    if person.shoes_type == "sandals":
        return [_straps(body), *(_shoe(body, side, "sandals") for side in "lr")]
    layers = [_shoe(body, side, person.shoes_type) for side in "lr"]
    skin = body.body
    shin = skin.shell.share["calf"] + skin.shell.share["foot"] > 0.6
    if person.shoes_type == "high heels":
        layers += [_heel(body, side) for side in "lr"]
    else:
        wide = 0.012 + 0.008 * step(body.ankle, body.ankle + 0.2, skin.z)
        points = skin.shell.smooth(skin.points, 14) + skin.normals * wide[:, None]
        shaft = np.where(shin, least(fit.shoe_top - skin.z, skin.z - body.floor - 0.04) * 10, -1)
        layers.append(cut(skin, points, shaft, Material.SHOES))
    if person.socks_color != NONE:
        band = np.where(shin, least(fit.shoe_top + 0.11 - skin.z, skin.z - fit.shoe_top + 0.03) * 10, -1)
        points = skin.shell.smooth(skin.points, 3) + skin.normals * 0.006
        layers.append(cut(skin, points, band, Material.SOCKS))
    return layers


def _shoe(body: Mannequin, side: str, kind: str) -> Layer:
    """A last around the foot: sections from the heel to the tip, flat below."""
    heels = kind == "high heels"
    bones = load_bodies().bones
    skin = body.body
    near = (skin.shell.share["foot"] > 0.5) & ((skin.x > 0) == (side == "l"))
    ankle, ball = body.joints[f"foot_{side}"], body.joints[f"ball_{side}"]
    ahead = (ball - ankle) * np.array((1, 1, 0), np.float32)
    ahead /= np.linalg.norm(ahead)
    across = np.array((ahead[1], -ahead[0], 0), np.float32)
    along, out = (skin.points[near] - ankle) @ ahead, (skin.points[near] - ankle) @ across
    start, length = float(along.min()) - 0.012, float(np.ptp(along)) + (0.022 if heels else 0.032)
    half, middle = float(np.ptp(out)) / 2 * (0.92 if heels else 1.0) + 0.004, float(out.max() + out.min()) / 2
    t = np.linspace(0, 1, 13)
    blunt = _TOES[kind]
    width = (
        half * np.interp(t, (0, 0.12, 0.4, 0.68, 1), (0.62, 0.74, 0.78, 1, 1)) * (1 - t ** (3 * blunt)) ** (1 / blunt)
    )
    width[0] *= 0.55
    top = np.interp(t, (0, 0.06, 0.35, 0.6, 0.85, 1), (0.05, 0.075, 0.085, 0.06, 0.045, 0.016))
    if heels:
        top = np.interp(t, (0, 0.06, 0.2, 0.35, 0.62, 0.85, 1), (0.05, 0.062, 0.05, 0.02, 0.022, 0.034, 0.012))
    elif kind == "sandals":
        top = np.full_like(t, 0.005)
    turn = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    round_x, round_z = np.cos(turn), np.clip(np.sin(turn), -0.25, 1)
    round_x = np.sign(round_x) * np.abs(round_x) ** 0.8
    flare = np.where(np.sin(turn) < 0.05, 1.06, 1.0)
    x = width[:, None] * round_x * flare + middle * np.interp(t, (0, 0.6, 1), (0.3, 1, 1))[:, None]
    z = np.where(round_z > 0, round_z * (top[:, None]), round_z / 0.25 * _SOLE)
    y = (start + t * length)[:, None] + 0 * x
    level = np.array((ankle[0], ankle[1], body.floor), np.float32)
    points = level + x[..., None] * across + y[..., None] * ahead + z[..., None] * np.array((0, 0, 1), np.float32)
    weights = np.zeros((x.size, len(bones)), np.float32)
    front = step(0.6, 0.8, np.repeat(t, len(turn)))
    weights[:, bones.index(f"ball_{side}")], weights[:, bones.index(f"foot_{side}")] = front, 1 - front
    mesh = (points.reshape(-1, 3).astype(np.float32), grid(len(t), len(turn)))
    return replace(fasten(mesh, f"foot_{side}", Material.SHOES), weights=weights)


def _straps(body: Mannequin) -> Layer:
    """Of sandals: over the toes, over the instep and behind the heel."""
    skin = body.body
    ahead = skin.y - body.joints["foot_l"][1]
    over = 0.018 - np.minimum(np.abs(ahead + 0.115), np.abs(ahead + 0.03))
    heel = np.minimum(0.011 - np.abs(skin.z - body.ankle + 0.005), ahead + 0.03)
    keep = np.where(skin.shell.share["foot"] > 0.4, np.maximum(over, heel) * 12, -1)
    points = skin.shell.smooth(skin.points, 2) + skin.normals * 0.007
    return cut(skin, points, np.where(skin.z < body.ankle + 0.03, keep, -1), Material.SHOES)


def _heel(body: Mannequin, side: str) -> Layer:
    ankle = body.joints[f"foot_{side}"]
    profile = np.array(((0.012, -HEEL), (0.014, 0), (0.026, 0.02), (0.0, 0.02)), np.float32)
    place = np.array((ankle[0], ankle[1] + 0.045, body.floor), np.float32)
    return fasten(moved(lathe(profile, 8), 1.0, UPRIGHT, place), f"foot_{side}", Material.SHOES)


def bare_skin(body: Mannequin, person: Person, fit: Fit) -> Layer:
    """Head, hands and what else no cloth covers; what it covers is cut away, lest it show through."""
    skin = body.body
    share, z = skin.shell.share, skin.z
    keep = np.ones(len(z), np.float32)
    leg = share["leg"] > 0.5
    trunk = (share["arm"] < 0.3) & (share["head"] + share["neck"] < 0.5) & ~leg
    keep = np.where(trunk, np.where(z > body.neck - 0.17 - max(0.0, fit.neckline), 1, -1), keep)
    along = body.along_arm(skin.points)
    start = fit.sleeve - 0.1 if fit.sleeve > 0 else -1.0
    keep = np.where(share["arm"] > 0.3, (along - start) * 5, keep)
    below = np.where(z < fit.leg_end + 0.2, 1, -1) if fit.skirted else (fit.leg_end + 0.05 - z) * 10
    keep = np.where(leg, below, keep)
    if person.shoes_type not in ("sandals", "high heels"):
        keep = np.where((share["calf"] + share["foot"] > 0.6) & (z < fit.shoe_top - 0.02), -1, keep)
    elif person.shoes_type == "high heels":
        keep = np.where(share["foot"] > 0.5, least(keep, (z - body.floor - 0.018) * 10), keep)
    return cut(skin, skin.points, np.asarray(keep, np.float32), Material.SKIN)


def eyes(body: Mannequin) -> Layer:
    """Both eyeballs."""
    ones: Array = np.ones(len(body.eyes.points), np.float32)
    return cut(body.eyes, body.eyes.points, ones, Material.EYE)
