import pytest

from ctgi.agents.claims import claims
from ctgi.agents.pool import load_pool


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        (
            "A man in a dark jacket with grey checks, dark trousers and blue shoes holding a black bag, short hair.",
            ["A man", "a dark jacket with grey checks", "dark trousers", "blue shoes", "a black bag", "short hair"],
        ),
        (
            "The man is wearing a black and white striped shirt and is carrying a backpack on his shoulders",
            ["The man", "a black and white striped shirt", "a backpack on his shoulders"],
        ),
        (
            "A woman with a dark bag, standing. She has short brown hair.",
            ["A woman", "a dark bag", "standing", "She has short brown hair"],
        ),
        ("A man. A man.", ["A man"]),
        ("She pushes something odd. He.", ["She pushes something odd"]),
        ("一个男人。很好。", ["一个男人", "很好"]),
        ("", []),
        ("...", []),
    ],
)
def test_a_caption_is_taken_apart_into_its_claims(caption: str, expected: list[str]) -> None:
    found = claims(caption, load_pool())
    assert [claim.text for claim in found] == expected
    assert all(caption[claim.start : claim.end] == claim.text for claim in found)


def test_a_claim_knows_the_questions_that_it_answers() -> None:
    asked = [[one.attribute for one in claim.questions] for claim in claims("A man, red shoes.", load_pool())]
    assert asked == [["gender"], ["shoes", "shoes_color"]]
