"""Anchors that disagree are settled by vote."""

import pytest

from ctgi.agents.pool import load_pool
from ctgi.agents.voting import outvoted

POOL = load_pool()


@pytest.mark.parametrize(
    ("attribute", "answers", "lost"),
    [
        ("lower_type", ["blue jeans", "a red skirt", "jeans"], {1}),
        ("lower_type", ["a red skirt", "blue jeans", "jeans"], {0}),
        ("lower_type", ["blue jeans", "a red skirt"], {1}),
        ("upper_color", ["red", "dark red", "green"], {2}),
        ("hat", ["nothing", "a cap", "None"], {1}),
        ("hat", ["not visible", "a cap", "I cannot tell"], set()),
        ("sleeves", ["short", "long", "long sleeves"], {0}),
        ("backpack", ["yes", "no", "Yes, it is."], {1}),
        ("glasses", ["yes", "glasses", "no"], {2}),
        ("glasses", ["yes, sunglasses", "Yes, he is", "no"], {2}),
        ("gender", ["man", "female", "a woman"], {0}),
        ("gender", ["a man", "male", "a woman"], {2}),
        ("upper_color", ["red"], set()),
        ("upper_color", [], set()),
    ],
)
def test_most_votes_count(attribute: str, answers: list[str], lost: set[int]) -> None:
    assert set(outvoted(POOL.question_about(attribute), answers)) == lost


def test_the_reason_tells_the_votes() -> None:
    reasons = outvoted(POOL.question_about("upper_color"), ["red", "green", "red", "not visible"])
    assert reasons == {1: "outvoted: 2 of 3 anchors say otherwise"}
