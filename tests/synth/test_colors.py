"""Names of shades: what people call cloth, with next to no cloth left without a name, and no shade of two families."""

import colorsys
from random import Random

import pytest

from ctgi.synth.colors import COLORS, DENIM, FAMILIES, differ, names, shade

FAMILY = {color: family for family, colors in FAMILIES.items() for color in colors}


def hsv(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(hue, saturation, value)


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        (hsv(0, 0, 0.18), "black"),  # faded
        (hsv(0.62, 0.25, 0.14), "black"),  # bluish
        (hsv(0, 0, 0.27), "gray"),  # charcoal
        (hsv(0.6, 0.1, 0.3), "gray"),
        (hsv(0, 0, 0.75), "gray"),  # light gray
        (hsv(0.12, 0.06, 0.93), "white"),  # off-white
        (hsv(0.12, 0.18, 0.9), "cream"),
        (hsv(0.1, 0.45, 0.78), "tan"),
        (hsv(0.13, 0.3, 0.6), "tan"),  # khaki
        (hsv(0.06, 0.5, 0.28), "brown"),
        (hsv(0.99, 0.7, 0.3), "burgundy"),
        (hsv(0.0, 0.9, 0.8), "red"),
        (hsv(0.07, 0.9, 0.95), "orange"),
        (hsv(0.2, 0.5, 0.35), "green"),  # olive
        (hsv(0.49, 0.7, 0.5), "green"),  # teal
        (hsv(0.5, 0.6, 0.75), "green"),  # turquoise
        (hsv(0.6, 0.4, 0.5), "blue"),  # denim
        (hsv(0.6, 0.35, 0.3), "navy"),  # washed-out dark blue
        (hsv(0.64, 0.6, 0.28), "navy"),
    ],
)
def test_a_shade_has_the_name_that_people_give_it(shown: tuple[float, float, float], name: str) -> None:
    assert names(shown) == {name}


def test_no_neutral_cloth_is_without_a_name_but_where_black_turns_gray_and_gray_white() -> None:
    nameless = [value for value in range(3, 101) if not names(hsv(0.0, 0.03, value / 100))]
    assert set(nameless) <= {*range(21, 25), *range(83, 86)}


def test_dark_cloth_is_never_navy_unless_it_is_blue() -> None:
    for value in range(3, 40):
        for hue in range(0, 100, 5):
            assert "navy" not in names(hsv(hue / 100, 0.2, value / 100))


def test_no_shade_has_two_names_of_families_that_anybody_tells_apart() -> None:
    rng = Random(0)
    for color in COLORS:
        for _ in range(400):
            for other in names(shade(color, rng)) - {color}:
                assert FAMILY[other] == FAMILY[color] or not differ(color, other), (color, other)


def test_most_colors_of_cloth_have_a_name() -> None:
    rng = Random(1)
    cloth = [hsv(rng.random(), rng.random() * rng.random(), rng.uniform(0.05, 1)) for _ in range(4000)]
    assert sum(bool(names(color)) for color in cloth) > 0.5 * len(cloth)


def test_jeans_have_shades_of_their_own_in_every_color_of_jeans() -> None:
    rng = Random(2)
    for color, shades in DENIM.items():
        drawn = [names(shade(color, rng, shades)) for _ in range(300)]
        other = [name for found in drawn for name in found if FAMILY[name] != FAMILY[color] and differ(name, color)]
        assert not other
