import re
from random import Random

import pytest

from ctgi.synth.colors import differ
from recipes.embedded.alterations import alter
from recipes.embedded.descriptions import Claim, Description, draw_description, draw_hard_claim, one_by_one
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
        assert change.field in fields or change.field == "bag_type"
        if change.field.endswith("_color"):
            before, after = (getattr(s.person, change.field) for s in (scene, change.scene))
            assert fields == {change.field}
            assert differ(before, after)
    assert len(seen) == 18


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


def test_each_claim_as_a_description_of_its_own():
    said = {"person": Claim("man", True, "person"), "upper": Claim("a red coat", False, "upper")}
    texts = one_by_one(Description("", False, [*said.values(), Claim(".")]))
    assert len(texts) == 2
    assert "man" in texts[0] and "coat" not in texts[0]
    assert "person" in texts[1].lower() and "red coat" in texts[1]
