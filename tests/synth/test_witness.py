"""What witnesses say: long enough and short enough, in good English, in many forms, and never false."""

import json
import re
from collections import Counter
from collections.abc import Collection
from functools import cache
from pathlib import Path
from random import Random
from statistics import mean
from typing import NamedTuple

import numpy as np
import pytest

from ctgi.synth import words
from ctgi.synth.person import NONE, Person, View, draw_person, draw_views
from ctgi.synth.witness import LENGTH, describe

PARTS = (
    "upper",
    "pattern",
    "inner",
    "lower",
    "shoes",
    "socks",
    "bag",
    "hat",
    "glasses",
    "held",
    "scarf",
    "belt",
    "hair",
)
HUMAN_COLORS = Path(__file__).parents[1] / "golden" / "human_colors.json"


class Told(NamedTuple):
    person: Person
    view: View
    visible: frozenset[str]
    text: str


@cache
def descriptions(count: int = 2500) -> tuple[Told, ...]:
    """Descriptions of as many people, of whom all or some or nothing is visible."""
    return tuple(_tell(Random(f"witness/{number}"), share=(1, 1, 0.6, 0)[number % 4]) for number in range(count))


def _tell(rng: Random, share: float) -> Told:
    person = draw_person(rng)
    view = draw_views(person, rng)[0]
    visible = frozenset(part for part in PARTS if rng.random() < share)
    return Told(person, view, visible, describe(person, view, visible, rng))


def test_lengths_are_those_of_human_captions() -> None:
    lengths = [len(told.text.split()) for told in descriptions()]
    assert LENGTH == (8, 40)
    assert min(lengths) >= 8
    assert max(lengths) <= 40
    fully_seen = [
        length for length, told in zip(lengths, descriptions(), strict=True) if len(told.visible) == len(PARTS)
    ]
    assert mean(fully_seen) == pytest.approx(23.6, abs=2)


def test_they_are_written_in_english() -> None:
    for told in descriptions():
        assert re.fullmatch(r"[A-Z].*\.", told.text)
        faults = r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]|  |,,|, \.|\s[,.;]|\bnone\b|\band and\b|\bwith with\b|,[^ ]|\.[^ ]"
        assert not re.search(faults, told.text), told.text
        assert not re.search(r"\b[Tt]hey (is|has|wears|carries|holds|pulls)\b", told.text), told.text
        assert not re.search(r"\b([Hh]e|[Ss]he|person|man|woman) (are|have|wear|carry|hold|pull)\b", told.text), (
            told.text
        )
        owned = r"\b(His|Her|Their|person's) ([\w-]+ )?"
        assert not re.search(owned + r"((pants|shorts|jeans|shoes|sneakers) is|(bag|shirt|dress|hat) are)\b", told.text)


def test_no_two_sound_alike() -> None:
    texts = [told.text for told in descriptions() if told.visible]
    assert len(set(texts)) > 0.99 * len(texts)
    openings = Counter(" ".join(text.split()[:2]) for text in texts)
    assert len(openings) > 60
    assert max(openings.values()) < 0.25 * len(texts)
    sentences = Counter(text.count(".") for text in texts)
    assert all(sentences[count] > 0.05 * len(texts) for count in (1, 2, 3))


def test_the_same_random_numbers_give_the_same_words() -> None:
    assert [_tell(Random(f"witness/{number}"), share=1).text for number in (0, 1, 4)] == [
        descriptions()[number].text for number in (0, 1, 4)
    ]


def _spoken(*tables: words.Synonyms) -> set[str]:
    return {word for table in tables for choices in table.values() for text in choices for word in text.split()}


def _of(values: Collection[str], *tables: words.Synonyms) -> set[str]:
    return _spoken(*({value: table[value] for value in values if value in table} for table in tables))


def _tokens(text: str) -> set[str]:
    return set(re.findall(r"[\w-]+", text))


def _visible_colors(told: Told) -> list[str]:
    person = told.person
    colors = {
        "upper": person.upper_color, "pattern": person.pattern_color, "inner": person.inner_color,
        "lower": person.lower_color, "shoes": person.shoes_color, "socks": person.socks_color, "bag": person.bag_color,
        "hat": person.hat_color, "held": person.held_color, "scarf": person.scarf_color, "belt": person.belt_color,
    }  # fmt: skip
    return [color for part, color in colors.items() if part in told.visible and color != NONE]


def test_no_color_is_told_that_is_not_seen() -> None:
    cloth, hair = (words.COLOR, words.VAGUE_COLOR), (words.HAIR_COLOR, words.VAGUE_HAIR_COLOR)
    known = _spoken(*cloth, *hair)
    mentions = 0
    for told in descriptions():
        true = _of(_visible_colors(told), *cloth)
        if "hair" in told.visible:
            true |= _of([told.person.hair_color], *hair)
        named = _tokens(told.text) & known
        assert named <= true, (told.text, named - true)
        mentions += len(named)
    assert mentions > 2 * len(descriptions())


@pytest.mark.parametrize(
    ("part", "field", "tables"),
    [
        ("lower", "lower_type", (words.LOWER, words.VAGUE_LOWER)),
        ("shoes", "shoes_type", (words.SHOES, words.VAGUE_SHOES)),
        ("hat", "hat", (words.HAT, words.VAGUE_HAT)),
        ("glasses", "glasses", (words.GLASSES, words.VAGUE_GLASSES)),
        ("bag", "bag", ({name: words.BAG[name] for name in ("backpack", "handbag", "suitcase")},)),
        ("held", "held", ({name: words.HELD[name] for name in ("umbrella", "book", "bottle", "cup")},)),
        ("upper", "upper_type", (words.UPPER, words.VAGUE_UPPER)),
    ],
)
def test_no_thing_is_told_that_is_not_seen(part: str, field: str, tables: tuple[words.Synonyms, ...]) -> None:
    adjectives = {
        "rolling",
        "water",
        "paper",
        "travel",
        "sports",
        "running",
        "tennis",
        "leather",
        "tight",
        "top",
        "case",
    }
    known = {word for word in _spoken(*tables) - adjectives if word.isalpha()}
    mentions = 0
    for told in descriptions():
        true = _of([getattr(told.person, field)], *tables) if part in told.visible else set()
        if part == "upper" and "inner" in told.visible:
            true |= _spoken({"inner": words.INNER})
        named = _tokens(told.text) & known
        assert named <= true, (told.text, named - true)
        mentions += bool(named)
    assert mentions > 40


@pytest.mark.parametrize(("field", "table"), [("action", words.ACTION), ("scene", words.SCENE), ("side", words.SIDE)])
def test_what_happens_where_and_from_which_side_is_true(field: str, table: words.Synonyms) -> None:
    known = {phrase for choices in table.values() for phrase in choices}
    for told in descriptions():
        text = told.text.replace("running shoes", "shoes")
        named = {phrase for phrase in known if re.search(rf"\b{phrase}\b", text, re.IGNORECASE)}
        assert named <= set(table[getattr(told.view, field)]), told.text


def test_they_leave_things_out_but_tell_what_matters() -> None:
    whole = [told for told in descriptions() if len(told.visible) == len(PARTS)]
    shoes = [bool(_tokens(told.text) & _spoken(words.SHOES, words.VAGUE_SHOES)) for told in whole]
    assert 0.5 < mean(shoes) < 0.95
    lower = [told for told in whole if told.person.lower_type != NONE]
    assert mean(bool(_tokens(told.text) & _spoken(words.LOWER, words.VAGUE_LOWER)) for told in lower) > 0.85
    vague = [bool(_tokens(told.text) & {"dark", "light", "light-colored", "something", "top"}) for told in whole]
    assert 0.1 < mean(vague) < 0.55


def test_words_come_about_as_often_as_in_human_captions() -> None:
    human = json.loads(HUMAN_COLORS.read_text())
    human["gray"] += human.pop("grey")
    texts = [told.text.replace("grey", "gray") for told in descriptions() if len(told.visible) == len(PARTS)]
    said = Counter(word for text in texts for word in _tokens(text))
    common = ["black", "white", "blue", "brown", "gray", "red", "pink", "green", "yellow", "tan", "purple", "orange"]
    ours = {word: 100 * said[word] / len(texts) for word in common}
    for word in common[:6]:
        assert 0.5 < ours[word] / human[word] < 2.25, (word, ours[word], human[word])
    ranks = [np.argsort(np.argsort([table[word] for word in common])) for table in (ours, human)]
    assert np.corrcoef(ranks)[0, 1] > 0.85
