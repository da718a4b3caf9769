"""First captions: exact where a picture is plain, wide where kinds are hard to tell."""

import re
from random import Random

from recipes.embedded.lessons import caption
from tests.support.scenes import draw_scene

DRESSED = {
    "gender": "woman", "upper_type": "coat", "inner_color": "none", "lower_type": "jeans", "lower_color": "blue",
    "lower_length": "long", "shoes_type": "sneakers", "bag": "handbag", "bag_color": "red", "held": "bottle",
    "held_color": "green",
}  # fmt: skip


def share(pattern: str) -> float:
    """Of 300 captions of one woman, those in which this is said."""
    scene = draw_scene(3, **DRESSED)
    return sum(bool(re.search(rf"\b({pattern})\b", caption(scene, Random(seed)))) for seed in range(300)) / 300


def test_a_caption_names_the_wider_kind_in_some_cases_and_the_exact_one_in_most():
    assert 0.2 < share("person") < 0.45 and share("woman|lady|girl|female") > 0.5
    assert 0.25 < share("jacket") < 0.55 and share("coat|overcoat") > 0.45
    assert 0.25 < share("pants|trousers") < 0.6 and share("jeans") > 0.45
    assert share("shoes|footwear") > share("sneakers|trainers")


def test_a_caption_says_nothing_rather_than_something():
    assert share("something") == 0
    assert share("bottle") > 0.2


def test_colors_stay_exact_where_kinds_are_wide():
    assert share("bluish|reddish|dark-colored") == 0
