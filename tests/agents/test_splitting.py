"""The question asked first is the one whose stored answers tell the likeliest candidates apart."""

import asyncio
from collections.abc import Sequence

import pytest

from ctgi.agents.pool import load_pool
from ctgi.agents.splitting import SplittingQuestioner, Stored, gain, value_of
from ctgi.retrieval.images import ImageRef
from ctgi.tools.types import Candidate, Ranking, Refinement

POOL = load_pool()
POOL_ORDER = ["upper_color", "lower_type", "carried_objects", "accessories", "background", "action"]
Answers = dict[str, dict[str, str]]


def ask(
    answers: Answers, query: str = "a person", asked: Sequence[str] = (), captions: Sequence[str] = ()
) -> list[str]:
    """The attributes asked about, where the candidates a, b, ... are equally likely."""
    names = [*answers, *"mnopq"[: len(captions)]]
    stored = {name: Stored("", said) for name, said in answers.items() if said}
    stored |= {name: Stored(caption) for name, caption in zip("mnopq", captions, strict=False)}

    async def search(text: str, k: int, *, refinement: Refinement | None = None) -> Ranking:
        return Ranking(tuple(Candidate(ImageRef(name, name), 0.3, 0.3, place) for place, name in enumerate(names, 1)))

    questions = asyncio.run(SplittingQuestioner(POOL, lambda: stored, search)(None, query, count=6, asked=asked))
    return [attribute for attribute, _ in questions.items]


def test_what_splits_best_comes_first_and_what_is_alike_is_not_asked() -> None:
    stored = {
        "a": {"upper_color": "red", "shoes": "boots", "hat": "nothing"},
        "b": {"upper_color": "red", "shoes": "sneakers", "hat": "nothing"},
        "c": {"upper_color": "red", "shoes": "sandals", "hat": "none"},
        "d": {"upper_color": "red", "shoes": "trainers", "hat": "a cap"},
    }
    assert ask(stored) == ["shoes", "hat"], "sneakers and trainers mean the same; the hat tells them apart"


def test_a_question_that_tells_nothing_new_is_left_out() -> None:
    stored = {"a": {"shoes": "boots", "bag": "a handbag"}, "b": {"shoes": "sandals", "bag": "a backpack"}}
    assert len(ask(stored)) == 1


def test_what_the_query_says_or_was_asked_is_not_asked() -> None:
    stored = {"a": {"shoes": "boots", "bag": "a handbag"}, "b": {"shoes": "sandals", "bag": "a backpack"}}
    assert ask(stored, "a person in boots") == ["bag"]
    assert ask(stored, asked=["bag"]) == ["shoes"]
    assert ask(stored, "a person in boots", asked=["bag"]) == []


@pytest.mark.parametrize(
    "stored",
    [{}, {"a": {}}, {"a": {"shoes": "boots"}}, {"a": {"shoes": "not visible"}, "b": {"shoes": "boots"}}],
)
def test_where_nothing_tells_them_apart_the_pool_asks_in_its_order_first(stored: Answers) -> None:
    assert ask(stored) == POOL_ORDER
    assert ask(stored, asked=["bag"]) == [], "in a later round the order is settled"


def test_captions_tell_what_was_not_asked_about() -> None:
    told = ["A man in a red shirt and jeans.", "A man in a red shirt and jeans, with a bag."]
    assert ask({}, captions=[*told, "A man in a green shirt and jeans.", "A man in a white shirt and jeans."]) == [
        "upper_color"
    ]
    assert ask({}, "a man in a red shirt", ["hat"], captions=told) == [], "no caption denies the bag"


def test_the_color_of_a_bag_is_asked_of_those_who_have_one() -> None:
    told = ["A man with a red bag.", "A man with a blue bag."]
    assert ask({}, "a man", ["hat"], captions=told) == []
    assert ask({}, "a man with a bag", captions=told) == ["bag_color"]


@pytest.mark.parametrize(
    ("attribute", "answer", "caption", "value"),
    [
        ("shoes", "white sneakers", "", {"sneakers"}),
        ("shoes", "", "a man in white sneakers", {"sneakers"}),
        ("shoes", "not visible", "a man in boots", {"boots"}),
        ("shoes", "shoes", "a man in black shoes", None),
        ("shoes", "", "a man", None),
        ("shoes_color", "white", "", {"white"}),
        ("shoes_color", "", "a red tee and dark blue sneakers", {"dark", "blue"}),
        ("hair", "short and brown", "", {"short", "brown"}),
        ("hair", "", "with short brown hair", {"short", "brown"}),
        ("sleeves", "long", "", {"long"}),
        ("sleeves", "", "a long-sleeved shirt", {"long"}),
        ("bag", "none", "", set()),
        ("gender", "a man", "", {"man"}),
        ("action", "climbing a tree", "", {"climbing", "tree"}),
    ],
)
def test_an_answer_and_a_caption_that_say_the_same_are_alike(
    attribute: str, answer: str, caption: str, value: set[str] | None
) -> None:
    assert value_of(POOL, POOL.question_about(attribute), Stored(caption, {attribute: answer})) == value


def test_the_gain_is_the_entropy_of_what_is_known() -> None:
    likely = [0.25, 0.25, 0.25, 0.25]
    assert gain(likely, [()] * 4, [1, 1, 2, 2]) == pytest.approx(1)
    assert gain(likely, [()] * 4, [1, 2, 3, 4]) == pytest.approx(2)
    assert gain(likely, [1, 1, 2, 2], [1, 1, 2, 2]) == 0
    assert gain(likely, [()] * 4, [1, 2, None, None]) == pytest.approx(0.5)
