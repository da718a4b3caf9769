"""The words for a person's looks: there for every value, in good English, and true."""

import re
from dataclasses import replace
from random import Random

import pytest

from ctgi.synth import colors, person, words
from ctgi.synth.person import NONE, Person, View, draw_person, draw_views
from ctgi.synth.phrases import Phrase, phrases
from ctgi.synth.words import Writer

ALL = frozenset(
    ("upper", "pattern", "inner", "lower", "shoes", "socks", "bag", "hat", "glasses", "held", "scarf", "belt", "hair")
)
SIMPLE = Person(
    gender="man", hair_length="short", hair_style=NONE, hair_color="black", upper_type="T-shirt", upper_color="red",
    upper_pattern="plain", pattern_color=NONE, sleeves="short", inner_color=NONE, lower_type="jeans",
    lower_color="navy", lower_length="long", lower_pattern="plain", shoes_type="sneakers", shoes_color="white",
    socks_color=NONE, bag=NONE, bag_color=NONE, hat=NONE, hat_color=NONE, glasses=NONE, scarf_color=NONE,
    belt_color=NONE, held=NONE, held_color=NONE,
)  # fmt: skip
FRONT = View("front", "walking", "street", others=False)


def said(attribute: str, times: int = 300, view: View = FRONT, visible: frozenset[str] = ALL, **looks: str) -> set[str]:
    """All ways in which one attribute of a person is put."""
    someone = replace(SIMPLE, **looks)
    return {phrases(someone, view, visible, Random(seed)).get(attribute, "") for seed in range(times)}


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (words.COLOR, colors.COLORS),
        (words.HAIR_COLOR, person.HAIR_COLORS),
        (words.UPPER, {**person.UPPERS, "dress": 1}),
        (words.LOWER, person.LOWERS),
        (words.SHOES, person.SHOES),
        (words.BAG, person.BAGS),
        (words.HAT, person.HATS),
        (words.GLASSES, person.GLASSES),
        (words.HELD, person.HELD),
        (words.PATTERN, person.PATTERNS),
        (words.MARKS, person.PATTERNS),
        (words.ACTION, person.ACTIONS),
        (words.SCENE, person.SCENES),
        (words.SIDE, person.SIDES),
    ],
)
def test_there_is_a_word_for_every_value(table: words.Synonyms, values: dict[str, int]) -> None:
    assert set(table) == set(values) - {NONE, "plain"}
    assert all(weight > 0 for choices in table.values() for weight in choices.values())


def test_a_value_goes_by_its_synonyms_the_usual_one_most_often() -> None:
    writers = [Writer(Random(seed)) for seed in range(2000)]
    told = [writer.color("burgundy") for writer in writers]
    assert set(told) == {"burgundy", "maroon", "dark red"}
    told = [writer.noun("hoodie", words.UPPER, words.VAGUE_UPPER) for writer in writers]
    assert told.count("hoodie") / 2000 == pytest.approx(0.65, abs=0.04)


def test_a_writer_keeps_to_one_word_for_a_color() -> None:
    for seed in range(50):
        writer = Writer(Random(seed))
        assert len({writer.color("gray") for _ in range(5)} | {writer.color("gray", words.HAIR_COLOR, {})}) == 1


def test_vague_writers_know_less() -> None:
    vague = {Writer(Random(seed), vague=1).color("navy") for seed in range(100)}
    assert vague == {"dark", "dark-colored", "blue"}
    assert Writer(Random(0), vague=1).color("purple") == ""
    assert {Writer(Random(seed), vague=1).noun("backpack", words.BAG, words.VAGUE_BAG) for seed in range(9)} == {"bag"}


def test_nouns_and_their_articles() -> None:
    assert Phrase("jeans", "dark blue").text == "dark blue jeans"
    assert Phrase("umbrella", "orange").text == "an orange umbrella"
    assert Phrase("umbrella").text == "an umbrella"
    assert Phrase("T-shirt", "red").text == "a red T-shirt"
    assert Phrase("luggage", "black").text == "black luggage"
    assert Phrase("shirt", "white", "with blue stripes").text == "a white shirt with blue stripes"


def test_patterns_name_both_colors() -> None:
    striped = said("upper", upper_type="shirt", upper_pattern="striped", pattern_color="white", sleeves="long")
    assert {
        "a red and white striped shirt",
        "a striped red and white shirt",
        "a red shirt with white stripes",
    } <= striped
    assert all("red" in text and "white" in text and "strip" in text for text in striped)
    printed = said("upper", upper_pattern="printed", pattern_color="orange")
    assert {"a red T-shirt with an orange print", "a printed red T-shirt"} <= printed
    hidden = said("upper", upper_pattern="striped", pattern_color="white", visible=ALL - {"pattern"})
    assert not any("strip" in text or "white" in text for text in hidden)


def test_layers_are_told_where_they_show() -> None:
    open_jacket = said("upper", upper_type="jacket", inner_color="white", sleeves="long")
    assert "an open red jacket over a white shirt" in open_jacket
    assert all(" over a white " in text for text in open_jacket)
    closed = said("upper", upper_type="jacket", inner_color="white", sleeves="long", visible=ALL - {"inner"})
    assert closed == {"a red jacket", "a bright red jacket"}


def test_tied_hair_seen_from_the_front_is_tied_somehow() -> None:
    looks = {"gender": "woman", "hair_length": "long", "hair_style": "bun", "hair_color": "brown"}
    assert said("hair", **looks) == {
        f"{color} hair {tied} back" for color in ("brown", "brunette") for tied in ("tied", "pulled")
    }
    behind = said("hair", view=replace(FRONT, side="back"), **looks)
    assert {"a brown bun", "long brown hair in a bun", "brown hair tied in a bun"} <= behind
    assert all("bun" in text for text in behind)


def test_only_what_is_there_and_visible_gets_a_phrase() -> None:
    for seed in range(300):
        rng = Random(seed)
        someone = draw_person(rng)
        visible = frozenset(rng.sample(sorted(ALL), 6))
        told = phrases(someone, draw_views(someone, rng)[0], visible, rng)
        assert set(told) - {"action", "scene"} <= visible
        there = {"bag": someone.bag, "hat": someone.hat, "held": someone.held, "lower": someone.lower_type}
        assert all((name in told) == (value != NONE) for name, value in there.items() if name in visible)
        assert not any(re.search(r"\ba [aeiou]|\ban [^aeiou]|  |^ | $|none", text) for text in told.values())
