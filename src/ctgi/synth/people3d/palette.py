"""Colors and cloths of one person for the shader: tables with a row for each material."""

from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ctgi.synth.colors import RGB
from ctgi.synth.look import Look
from ctgi.synth.lower import contrasting
from ctgi.synth.people3d.mannequin import Mannequin
from ctgi.synth.people3d.materials import COUNT, Material
from ctgi.synth.people3d.meshes import Array
from ctgi.synth.person import NONE, OUTER, Person

_PATTERNS = {"plain": 0, NONE: 0, "striped": 1, "checked": 2, "floral": 3, "dotted": 4, "printed": 5}
_ALL_OVER = 6
_WEAVES = {"puffer": 1, "knit": 2, "denim": 3, "fur": 4, "ribs": 5}
_NEAR = {
    Material.SOCKS: 1, Material.INNER: 1, Material.LOWER: 1, Material.SHOES: 1, Material.UPPER: 3, Material.HAIR: 6,
    Material.BELT: 4, Material.COLLAR: 4, Material.SCARF: 5, Material.STRAP: 5, Material.BAG: 4, Material.HAT: 6,
    Material.GLASSES: 1,
}  # fmt: skip
"""How far a surface wins over what lies right under it, 3 mm each."""


def linear(color: ArrayLike) -> Array:
    """sRGB, 0 to 1, to light."""
    rgb = np.asarray(color, np.float32)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def encoded(light: Array) -> Array:
    """Light to sRGB, 0 to 1."""
    low = np.clip(light, 0, 1)
    return np.where(low <= 0.0031308, low * 12.92, 1.055 * np.maximum(low, 1e-6) ** (1 / 2.4) - 0.055).astype(
        np.float32
    )


def palette(person: Person, look: Look, body: Mannequin) -> dict[str, Any]:
    """Uniforms of the picture's program."""
    rng = Random(look.pattern_seed + 1)
    cloth, weave = _cloths(person, look, rng)
    chest = body.height("spine_03")
    return {
        "first": _table(_firsts(look, rng)),
        "second": _table(_seconds(look)),
        "cloth": cloth,
        "weave": weave,
        "seed": float(look.pattern_seed % 977) * 0.061,
        "upright": float(look.pattern_turn == 90),
        "print_at": (0.0, chest + 0.04, rng.uniform(0.06, 0.12), rng.uniform(0.05, 0.12)),
        "eyes": body.eye,
        "face": (look.beard, 1.0 if person.gender == "woman" else 0.4, float(np.abs(body.eyes.x).mean()), 0),
        "front": (
            _front(person, look), chest if person.upper_type == "polo shirt" else -9.0,
            {"emblem": 1, "letters": 2}.get(look.cut.print_kind, 0),
        ),
        "trim": linear(look.trim),
        "sole": (*linear(look.sole), body.floor + 0.012),
    }  # fmt: skip


def _front(person: Person, look: Look) -> float:
    """0 closed, 1 buttons, 2 a zip."""
    if person.upper_type == "polo shirt":
        return 1.0
    return {"buttons": 1.0, "zip": 2.0}.get(look.cut.front, 0.0)


def _firsts(look: Look, rng: Random) -> dict[Material, RGB | Array]:
    dark = (0.05, 0.05, 0.055)
    strap = dark if rng.random() < 0.25 or look.bag_cut == "two colors" else look.bag
    rows: dict[Material, RGB | Array] = {
        Material.SKIN: look.skin, Material.HAIR: look.hair, Material.UPPER: look.upper, Material.INNER: look.inner,
        Material.LOWER: look.lower, Material.SHOES: look.shoes, Material.SOCKS: look.socks, Material.BAG: look.bag,
        Material.STRAP: strap, Material.HAT: look.hat, Material.GLASSES: dark, Material.HELD: look.held,
        Material.SCARF: look.scarf, Material.BELT: look.belt, Material.PHONE: dark,
        Material.METAL: rng.choice((dark, (0.6, 0.6, 0.62))),
        Material.SHAFT: (0.45, 0.45, 0.47), Material.COLLAR: look.upper, Material.TRIM: look.trim,
    }  # fmt: skip
    return rows


def _seconds(look: Look) -> dict[Material, RGB | Array]:
    return {Material.UPPER: look.pattern, Material.COLLAR: look.pattern, Material.LOWER: contrasting(look.lower)}


def _table(rows: Mapping[Material, RGB | Array]) -> Array:
    table = np.zeros((COUNT, 3), np.float32)
    for material, color in rows.items():
        table[material] = linear(color)
    return table


def _cloths(person: Person, look: Look, rng: Random) -> tuple[Array, Array]:
    cloth, weave = np.zeros((COUNT, 4), np.float32), np.zeros((COUNT, 4), np.float32)
    for material, near in _NEAR.items():
        weave[material, 2] = near
    cut = look.cut
    fold = (0.009 + 0.016 * cut.fold_strength) * rng.uniform(0.7, 1.3)
    pattern = _PATTERNS[person.upper_pattern]
    pattern = _ALL_OVER if pattern == 5 and look.printed_all_over else pattern
    repeats = rng.uniform(10, 20) / look.pattern_size
    gloss = {"leather": 0.45, "puffer": rng.choice((0.02, 0.3))}.get(cut.cloth, 0.02)
    for material in (Material.UPPER, Material.COLLAR):
        cloth[material] = (pattern if pattern != 5 or material == Material.UPPER else 0, repeats, fold, gloss)
        weave[material, [0, 1, 3]] = (_WEAVES.get(cut.cloth, 0), cut.cloth_strength, look.pattern_share)
    if cut.collar == "fur":
        weave[Material.COLLAR, [0, 1]] = (_WEAVES["fur"], 0.4)
    legs = 0.002 if person.lower_type == "leggings" else fold
    cloth[Material.LOWER] = (_PATTERNS[person.lower_pattern], repeats, legs, 0.02)
    weave[Material.LOWER, [0, 1, 3]] = (
        _WEAVES["denim"] if person.lower_type == "jeans" else 0,
        0.3,
        look.pattern_share,
    )
    if person.upper_type in OUTER:
        cloth[Material.UPPER, 2] *= 1.2
    for material, size in (
        (Material.INNER, 0.006), (Material.SCARF, 0.012), (Material.HAT, 0.003), (Material.HELD, 0.002),
        (Material.BAG, rng.choice((0.0, 0.005))),
    ):  # fmt: skip
        cloth[material, 2] = size
    for material, amount in _shine(look, rng).items():
        cloth[material, 3] = amount
    if rng.random() < 0.3:
        weave[Material.HAT, [0, 1]] = (_WEAVES["ribs"], 0.3)
    return cloth, weave


def _shine(look: Look, rng: Random) -> dict[Material, float]:
    """What is not cloth: 0 is dull, 1 like lacquer."""
    return {
        Material.SHOES: rng.choice((0.03, 0.35)), Material.BAG: 0.02 + 0.45 * look.bag_gloss, Material.SKIN: 0.07,
        Material.HAIR: 0.14, Material.METAL: 0.6, Material.GLASSES: 0.6, Material.PHONE: 0.6, Material.EYE: 0.3,
    }  # fmt: skip
