"""Color names and the shades that bear them."""

import colorsys
from dataclasses import dataclass
from random import Random

RGB = tuple[float, float, float]
"""Each 0 to 1."""


@dataclass(frozen=True)
class Shades:
    """A box of hue, saturation and value; gaps between the boxes keep the names apart."""

    hue: tuple[float, float]
    """Turns; may begin below 0."""
    saturation: tuple[float, float]
    value: tuple[float, float]

    def draw(self, rng: Random) -> RGB:
        """One shade of the box."""
        hue, saturation, value = (rng.uniform(*side) for side in (self.hue, self.saturation, self.value))
        return colorsys.hsv_to_rgb(hue % 1, saturation, value)


COLORS: dict[str, tuple[Shades, ...]] = {
    "black": (Shades((0, 1), (0, 0.25), (0.02, 0.15)),),
    "gray": (Shades((0, 1), (0, 0.07), (0.28, 0.68)), Shades((0.52, 0.68), (0.04, 0.14), (0.28, 0.6))),
    "white": (Shades((0, 1), (0, 0.05), (0.86, 1)),),
    "cream": (Shades((0.09, 0.15), (0.1, 0.24), (0.84, 0.97)),),
    "tan": (Shades((0.07, 0.12), (0.28, 0.5), (0.55, 0.8)),),
    "brown": (Shades((0.03, 0.1), (0.4, 0.75), (0.22, 0.45)),),
    "red": (Shades((-0.02, 0.02), (0.72, 1), (0.58, 0.95)),),
    "burgundy": (Shades((-0.06, 0.01), (0.55, 0.9), (0.25, 0.45)),),
    "pink": (Shades((-0.12, -0.02), (0.25, 0.6), (0.8, 1)), Shades((-0.14, -0.07), (0.6, 0.9), (0.75, 1))),
    "orange": (Shades((0.045, 0.085), (0.75, 1), (0.8, 1)),),
    "yellow": (Shades((0.13, 0.165), (0.55, 0.95), (0.8, 1)),),
    "green": (
        Shades((0.27, 0.42), (0.4, 0.9), (0.3, 0.75)),
        Shades((0.2, 0.27), (0.35, 0.6), (0.28, 0.45)),
        Shades((0.3, 0.45), (0.5, 0.8), (0.18, 0.3)),
        Shades((0.44, 0.49), (0.5, 0.9), (0.4, 0.65)),
    ),
    "light blue": (Shades((0.53, 0.62), (0.22, 0.48), (0.72, 0.95)),),
    "blue": (Shades((0.56, 0.65), (0.62, 0.95), (0.45, 0.9)),),
    "navy": (Shades((0.6, 0.67), (0.45, 0.85), (0.16, 0.33)),),
    "purple": (Shades((0.72, 0.8), (0.3, 0.8), (0.35, 0.8)),),
}
DENIM = (
    Shades((0.57, 0.62), (0.3, 0.55), (0.3, 0.6)),
    Shades((0.57, 0.62), (0.2, 0.4), (0.5, 0.75)),
)
"""Washed-out blues of jeans, which everybody calls blue."""
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
    return rng.choice(shades or COLORS[color]).draw(rng)


_FAMILY = {color: family for family, colors in FAMILIES.items() for color in colors} | {"blond": "orange"}
_TOO_CLOSE = {
    frozenset(pair)
    for pair in (
        ("black", "navy"), ("cream", "tan"), ("gray", "light blue"), ("brown", "burgundy"), ("black", "brown"),
        ("cream", "yellow"), ("pink", "purple"), ("burgundy", "purple"), ("white", "light blue"), ("orange", "tan"),
        ("black", "burgundy"), ("orange", "brown"), ("brown", "orange"), ("blue", "purple"), ("blond", "tan"),
        ("navy", "purple"),
    )
}  # fmt: skip
"""Colors of two families that one word or poor light may make the same."""


def differ(color: str, other: str) -> bool:
    """Whether nobody would take one color for the other."""
    return _FAMILY[color] != _FAMILY[other] and frozenset((color, other)) not in _TOO_CLOSE
