"""What surfaces are made of; each belongs to a part of the picture."""

from enum import IntEnum

from ctgi.synth.parts import Part


class Material(IntEnum):
    """Number of a surface's row in the tables of colors and cloths."""

    SKIN = 0
    HAIR = 1
    UPPER = 2
    INNER = 3
    LOWER = 4
    SHOES = 5
    SOCKS = 6
    BAG = 7
    STRAP = 8
    HAT = 9
    GLASSES = 10
    HELD = 11
    SCARF = 12
    BELT = 13
    EYE = 14
    PHONE = 15
    """At the ear of somebody whose phone is not told."""
    FLOOR = 16
    WALL = 17
    METAL = 18
    """Handles and wheels of a bag."""
    COLLAR = 19
    TRIM = 20
    SHAFT = 21
    """Of an umbrella."""


COUNT = len(Material)
"""Rows of the shader's tables."""
PARTS = {
    Material.SKIN: Part.SKIN, Material.HAIR: Part.HAIR, Material.UPPER: Part.UPPER, Material.INNER: Part.INNER,
    Material.LOWER: Part.LOWER, Material.SHOES: Part.SHOES, Material.SOCKS: Part.SOCKS, Material.BAG: Part.BAG,
    Material.STRAP: Part.BAG, Material.HAT: Part.HAT, Material.GLASSES: Part.GLASSES, Material.HELD: Part.HELD,
    Material.SCARF: Part.SCARF, Material.BELT: Part.BELT, Material.EYE: Part.SKIN, Material.PHONE: Part.BACKGROUND,
    Material.FLOOR: Part.BACKGROUND, Material.WALL: Part.BACKGROUND, Material.METAL: Part.BAG,
    Material.COLLAR: Part.UPPER, Material.TRIM: Part.UPPER, Material.SHAFT: Part.HELD,
}  # fmt: skip
