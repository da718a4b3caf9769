"""Color names and the shades that bear them, as people name cloth in photographs."""

import colorsys
from dataclasses import dataclass
from random import Random

RGB = tuple[float, float, float]
"""Each 0 to 1."""


@dataclass(frozen=True)
class Shades:
    """A box of hue, saturation and value; where boxes leave a gap, people disagree about the name."""

    hue: tuple[float, float]
    """Turns; may begin below 0."""
    saturation: tuple[float, float]
    value: tuple[float, float]
    share: int = 1
    """How often this box is drawn beside the others of its name."""

    def draw(self, rng: Random) -> RGB:
        """One shade of the box."""
        hue, saturation, value = (rng.uniform(*side) for side in (self.hue, self.saturation, self.value))
        return colorsys.hsv_to_rgb(hue % 1, saturation, value)

    def has(self, color: RGB) -> bool:
        """Whether the shade lies in the box."""
        hue, saturation, value = colorsys.rgb_to_hsv(*color)
        turned = (hue - self.hue[0]) % 1 <= self.hue[1] - self.hue[0]
        return turned and all(
            low <= at <= high for at, (low, high) in ((saturation, self.saturation), (value, self.value))
        )


_ANY = (0.0, 1.0)
COLORS: dict[str, tuple[Shades, ...]] = {
    "black": (
        Shades(_ANY, (0, 0.22), (0.03, 0.2), 5),  # new, and faded
        Shades(_ANY, (0.22, 0.5), (0.02, 0.12), 2),  # so dark that no hue is seen
        Shades((0.55, 0.7), (0.12, 0.35), (0.08, 0.18), 2),  # bluish
    ),
    "gray": (
        Shades(_ANY, (0, 0.09), (0.38, 0.68), 3),
        Shades(_ANY, (0, 0.1), (0.25, 0.38), 3),  # charcoal
        Shades(_ANY, (0, 0.06), (0.68, 0.82), 1),  # light gray
        Shades((0.52, 0.68), (0.04, 0.17), (0.27, 0.62), 2),
        Shades((0.04, 0.14), (0.04, 0.13), (0.3, 0.62), 1),
    ),
    "white": (Shades(_ANY, (0, 0.05), (0.86, 1), 4), Shades((0.08, 0.17), (0, 0.08), (0.85, 1), 1)),
    "cream": (Shades((0.08, 0.155), (0.1, 0.25), (0.8, 0.98)),),
    "tan": (
        Shades((0.065, 0.12), (0.28, 0.55), (0.55, 0.85), 3),
        Shades((0.11, 0.15), (0.22, 0.42), (0.48, 0.74), 2),  # khaki
    ),
    "brown": (
        Shades((0.022, 0.1), (0.35, 0.8), (0.2, 0.46), 4),
        Shades((0.045, 0.085), (0.55, 0.8), (0.42, 0.56), 1),
        Shades((0.03, 0.1), (0.28, 0.6), (0.17, 0.3), 2),
    ),
    "red": (Shades((-0.025, 0.022), (0.68, 1), (0.52, 1)),),
    "burgundy": (
        Shades((-0.07, 0.008), (0.5, 0.95), (0.25, 0.46), 3),
        Shades((-0.07, 0.005), (0.45, 0.8), (0.19, 0.28), 1),
    ),
    "pink": (
        Shades((-0.12, 0.0), (0.22, 0.6), (0.75, 1), 3),
        Shades((-0.15, -0.06), (0.55, 0.95), (0.72, 1), 2),
        Shades((-0.08, 0.02), (0.12, 0.3), (0.85, 1), 2),  # pale
        Shades((-0.08, 0.01), (0.22, 0.42), (0.6, 0.78), 1),  # dusty
    ),
    "orange": (Shades((0.042, 0.095), (0.72, 1), (0.76, 1)),),
    "yellow": (
        Shades((0.125, 0.17), (0.5, 1), (0.78, 1), 4),
        Shades((0.11, 0.14), (0.68, 0.95), (0.62, 0.8), 1),  # mustard
        Shades((0.135, 0.17), (0.28, 0.5), (0.88, 1), 1),
    ),
    "green": (
        Shades((0.25, 0.45), (0.35, 0.95), (0.28, 0.78), 4),
        Shades((0.17, 0.26), (0.3, 0.7), (0.24, 0.5), 3),  # olive
        Shades((0.25, 0.46), (0.3, 0.85), (0.16, 0.3), 2),
        Shades((0.44, 0.51), (0.4, 0.95), (0.32, 0.8), 2),  # teal, turquoise
        Shades((0.3, 0.46), (0.18, 0.45), (0.66, 0.95), 1),  # mint
        Shades((0.2, 0.28), (0.5, 0.95), (0.6, 0.95), 1),  # lime
        Shades((0.24, 0.46), (0.2, 0.36), (0.36, 0.66), 1),  # sage
    ),
    "light blue": (Shades((0.525, 0.64), (0.17, 0.48), (0.7, 1)),),
    "blue": (
        Shades((0.535, 0.68), (0.55, 1), (0.42, 1), 4),
        Shades((0.54, 0.66), (0.32, 0.58), (0.4, 0.68), 2),  # dull
    ),
    "navy": (
        Shades((0.585, 0.69), (0.4, 0.9), (0.2, 0.38), 4),
        Shades((0.57, 0.67), (0.28, 0.45), (0.24, 0.38), 1),  # washed out
        Shades((0.6, 0.69), (0.55, 0.95), (0.16, 0.22), 1),
    ),
    "purple": (
        Shades((0.7, 0.83), (0.3, 0.9), (0.32, 0.85), 4),
        Shades((0.7, 0.82), (0.35, 0.85), (0.2, 0.34), 1),
        Shades((0.69, 0.81), (0.13, 0.34), (0.7, 0.97), 1),  # lilac
    ),
}
DENIM: dict[str, tuple[Shades, ...]] = {
    "blue": (
        Shades((0.56, 0.64), (0.25, 0.6), (0.34, 0.62)),
        Shades((0.56, 0.63), (0.2, 0.42), (0.48, 0.74)),
    ),
    "light blue": (Shades((0.55, 0.63), (0.12, 0.36), (0.62, 0.86)),),
    "navy": (Shades((0.58, 0.67), (0.25, 0.6), (0.2, 0.36)),),
    "black": (Shades(_ANY, (0, 0.15), (0.06, 0.24)),),
    "gray": (Shades((0.5, 0.7), (0, 0.14), (0.26, 0.6)),),
}
"""Shades of jeans, washed out: the names are those that people use for jeans."""
FAMILIES: dict[str, tuple[str, ...]] = {
    "black": ("black",),
    "gray": ("gray",),
    "white": ("white", "cream"),
    "red": ("red", "burgundy", "pink"),
    "orange": ("orange", "yellow"),
    "green": ("green",),
    "blue": ("blue", "light blue", "navy"),
    "brown": ("brown", "tan"),
    "purple": ("purple",),
}


def shade(color: str, rng: Random, shades: tuple[Shades, ...] | None = None) -> RGB:
    """A shade that bears the color's name."""
    boxes = shades or COLORS[color]
    return rng.choices(boxes, [box.share for box in boxes])[0].draw(rng)


def names(color: RGB) -> frozenset[str]:
    """The names whose boxes hold a shade; none where people disagree."""
    return frozenset(name for name, boxes in COLORS.items() if any(box.has(color) for box in boxes))


_FAMILY = {color: family for family, colors in FAMILIES.items() for color in colors} | {"blond": "orange"}
_TOO_CLOSE = {
    frozenset(pair)
    for pair in (
        ("black", "navy"), ("cream", "tan"), ("gray", "light blue"), ("brown", "burgundy"), ("black", "brown"),
        ("cream", "yellow"), ("pink", "purple"), ("burgundy", "purple"), ("white", "light blue"), ("orange", "tan"),
        ("black", "burgundy"), ("orange", "brown"), ("blue", "purple"), ("blond", "tan"), ("navy", "purple"),
        ("black", "gray"), ("gray", "navy"), ("orange", "red"), ("green", "tan"), ("green", "brown"),
        ("yellow", "tan"), ("gray", "blue"),
    )
}  # fmt: skip
"""Colors of two families that one word or poor light may make the same."""


def differ(color: str, other: str) -> bool:
    """Whether nobody would take one color for the other."""
    return _FAMILY[color] != _FAMILY[other] and frozenset((color, other)) not in _TOO_CLOSE
