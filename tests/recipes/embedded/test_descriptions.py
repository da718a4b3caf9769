import re
from random import Random

import pytest

from ctgi.synth.colors import differ
from recipes.embedded.alterations import alter
from recipes.embedded.descriptions import Claim, Description, draw_description, draw_hard_claim, one_by_one, topics
from recipes.embedded.lookalikes import agrees, draw_lookalike
from recipes.embedded.nonsense import BEINGS
from tests.support.scenes import draw_scene


def changed_fields(before, after):
    told = [vars(scene.person) | vars(scene.view) for scene in (before, after)]
    return {name for name in told[0] if told[0][name] != told[1][name]}


def test_an_alteration_changes_what_it_says_and_little_else():
    seen = set()
    for seed in range(1500):
        scene = draw_scene(seed)
        change = alter(scene, Random(seed))
        fields = changed_fields(scene, change.scene)
        seen.add(change.field)
        assert 1 <= len(fields) <= 4
        assert change.field in fields or change.field.removesuffix("_type") in fields
        if change.field.endswith("_color"):
            before, after = (getattr(s.person, change.field) for s in (scene, change.scene))
            assert fields == {change.field}
            assert differ(before, after)
    assert len(seen) == 21


@pytest.mark.parametrize(
    ("color", "other", "apart"),
    [("red", "blue", True), ("navy", "blue", False), ("navy", "black", False), ("tan", "cream", False)],
)
def test_colors_that_anybody_tells_apart(color, other, apart):
    assert differ(color, other) is apart
    assert differ(other, color) is apart


def test_half_of_the_descriptions_are_true_and_their_claims_say_so():
    drawn = []
    for seed in range(600):
        rng = Random(seed)
        drawn.append(draw_description(draw_scene(seed), draw_scene(seed + 1), rng))
    assert 0.45 < sum(description.true for description in drawn) / len(drawn) < 0.6
    marked = [description for description in drawn if any(claim.true is not None for claim in description.claims)]
    assert len(marked) > 400
    for description in marked:
        assert "".join(claim.text for claim in description.claims) == description.text
        assert description.true == all(claim.true is not False for claim in description.claims)


def test_descriptions_are_english():
    for seed in range(400):
        text = draw_description(draw_scene(seed), draw_scene(seed + 1), Random(seed)).text
        assert not re.search(r"\b(none|a an|an a|a [aeiou]\w*(?<!uniform))\b|  |,,|\.\.", text.lower()), text


def test_a_hard_claim_has_one_thing_wrong():
    fields = set()
    for seed in range(200):
        scene = draw_scene(seed)
        assert draw_hard_claim(scene, Random(seed), true=True)[0] == ""
        field, described = draw_hard_claim(scene, Random(seed), true=False)
        assert [claim.true for claim in described.claims].count(False) == 1
        fields.add(field)
    assert {"upper_color", "lower_color", "bag", "gender", "lower_type"} <= fields


def test_somebody_elses_clothes_are_judged_by_what_anybody_would_see():
    here = draw_scene(1, upper_type="T-shirt", upper_color="red", lower_type="jeans", lower_color="blue", bag="none",
                      bag_color="none", gender="man")  # fmt: skip
    told = draw_scene(2, upper_type="T-shirt", upper_color="burgundy", lower_type="jeans", lower_color="white",
                      bag="backpack", bag_color="black", gender="man")  # fmt: skip
    assert [agrees(topic, here, told) for topic in ("person", "upper", "lower", "bag")] == [True, None, False, False]
    for seed in range(200):
        scene = draw_scene(seed)
        assert not any(agrees(topic, scene, scene) is False for topic in topics(scene, Random(seed)))


def test_a_lookalike_shares_much_but_not_all():
    shared = []
    for seed in range(200):
        scene, other = draw_scene(seed), draw_scene(seed + 1000)
        seen = draw_lookalike(scene, other, Random(seed))
        shared.append(sum(agrees(topic, scene, seen) is True for topic in ("person", "upper", "lower", "shoes")))
    assert 1.2 < sum(shared) / len(shared) < 3


def test_some_false_descriptions_are_of_nobody_and_some_are_typed_in_a_hurry():
    texts = [(seed, draw_description(draw_scene(seed), draw_scene(seed + 1), Random(seed))) for seed in range(2000)]
    absurd = [told for _, told in texts if any(claim.text in BEINGS and claim.true is False for claim in told.claims)]
    assert len(absurd) > 10 and not any(told.true for told in absurd)
    hurried = [told for _, told in texts if told.claims and not re.search(r"\b(a|an|the|The|A)\b|\.", told.text)]
    assert 0.1 < len(hurried) / len(texts) < 0.4
    assert 0.35 < sum(told.true for told in hurried) / len(hurried) < 0.65


def test_each_claim_as_a_description_of_its_own():
    said = {"person": Claim("man", True, "person"), "upper": Claim("a red coat", False, "upper")}
    texts = one_by_one(Description("", False, [*said.values(), Claim(".")]))
    assert len(texts) == 2
    assert "man" in texts[0] and "coat" not in texts[0]
    assert "person" in texts[1].lower() and "red coat" in texts[1]
