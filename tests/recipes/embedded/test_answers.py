from collections import Counter, defaultdict
from dataclasses import replace
from random import Random

import pytest

from ctgi.agents.pool import load_pool
from ctgi.agents.statements import state, why_unusable
from recipes.embedded.answers import ABSENT, ANSWERS, NOT_VISIBLE, answer
from recipes.embedded.lessons import draw_questions
from tests.support.scenes import draw_scene

POOL = {question.attribute: question for question in load_pool(None).questions}
WITH_BAG = {"bag": "handbag", "bag_color": "red", "held": "none", "held_color": "none"}


@pytest.mark.parametrize(
    ("attribute", "looks", "said"),
    [
        ("upper_color", {"upper_color": "red", "upper_pattern": "plain"}, "red"),
        ("upper_color", {"upper_color": "red", "upper_pattern": "striped", "pattern_color": "white"}, "red"),
        ("lower_type", {"upper_type": "coat", "lower_type": "jeans"}, "long jeans"),
        ("lower_type", {"upper_type": "coat", "lower_type": "shorts"}, "shorts"),
        ("upper_color", {"upper_color": "red", "upper_pattern": "printed", "pattern_color": "white"}, "red"),
        ("upper_pattern", {"upper_pattern": "striped", "pattern_color": "white"}, "white stripes"),
        ("upper_pattern", {"upper_pattern": "plain", "pattern_color": "none"}, "no"),
        ("lower_type", {"upper_type": "coat", "lower_type": "skirt"}, "a skirt"),
        ("lower_type", {"upper_type": "dress", "lower_type": "none"}, "a dress"),
        ("lower_color", {"upper_type": "dress", "upper_color": "green", "upper_pattern": "plain"}, "green"),
        ("carried_objects", WITH_BAG, "a red handbag"),
        ("carried_objects", WITH_BAG | {"held": "umbrella", "held_color": "orange"},
         "a red handbag and an orange umbrella"),
        ("carried_objects", {"bag": "none", "held": "none"}, "nothing"),
        ("hand_held", WITH_BAG | {"action": "walking"}, "a red handbag"),
        ("hand_held", {"bag": "none", "held": "none", "action": "talking on the phone"}, "a phone"),
        ("backpack", WITH_BAG, "no"),
        ("bag_color", {"bag": "none"}, NOT_VISIBLE),
        ("hair", {"hair_length": "long", "hair_color": "blond"}, "long and blond"),
        ("hair", {"hair_length": "bald"}, "shaved"),
        ("layers", {"upper_type": "jacket", "inner_color": "white"}, "a jacket over a white shirt"),
        ("view", {"side": "back"}, "behind"),
        ("vehicle", {"action": "riding a bicycle"}, "a bicycle"),
        ("jewelry", {}, NOT_VISIBLE),
    ],
)  # fmt: skip
def test_answer(attribute, looks, said):
    assert answer(attribute, draw_scene(1, **looks)) == said


@pytest.mark.parametrize(
    ("part", "attributes"),
    [
        ("upper", ("upper_color", "upper_type", "sleeves", "upper_pattern")),
        ("lower", ("lower_color", "lower_type", "lower_length")),
        ("shoes", ("shoes", "shoes_color")),
        ("hair", ("hair", "hair_style")),
    ],
)
def test_what_cannot_be_seen_is_not_told(part, attributes):
    scene = draw_scene(2, upper_type="shirt", lower_type="jeans", hair_length="short", hair_style="none", hat="none")
    hidden = replace(scene, visible=frozenset({"face"}))
    assert all(answer(name, scene) != NOT_VISIBLE for name in attributes)
    assert {answer(name, hidden) for name in attributes} == {NOT_VISIBLE}


def test_glasses_are_not_told_from_behind():
    assert answer("glasses", replace(draw_scene(3, glasses="glasses"), visible=frozenset())) == NOT_VISIBLE
    assert answer("glasses", replace(draw_scene(3, glasses="none"), visible=frozenset({"face"}))) == "no"


def test_every_answer_fits_its_question_in_the_pool():
    assert set(ANSWERS) == set(POOL) - {"jewelry"}
    for seed in range(150):
        scene = draw_scene(seed)
        for name, question in POOL.items():
            said = answer(name, scene)
            if why_unusable(question.question, said) is None:
                assert (state(question, said) or "").endswith(".")
                assert "none" not in said.split()


def test_no_answer_is_asked_for_so_often_that_it_becomes_the_usual_one():
    rng, given = Random(0), defaultdict(Counter)
    for seed in range(3000):
        scene = draw_scene(seed)
        for name in draw_questions(scene, list(ANSWERS), 7, rng):
            given[name][answer(name, scene) in ABSENT] += 1
    for name in ("bag", "backpack", "hat", "upper_pattern", "hand_held", "carried_objects", "other_people"):
        assert 0.3 < given[name][True] / given[name].total() < 0.7, name
    assert given["scarf"][True] / given["scarf"].total() < 0.8
