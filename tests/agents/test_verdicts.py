"""A verdict is what a reply says as a whole: a "no" before a thing is no answer, and a denied match is no match."""

import pytest

from ctgi.agents.verdicts import read_verdict


@pytest.mark.parametrize(
    "reply",
    [
        "Y", "1", "✅", "✅ Yes", "\uff39\uff25\uff33", "Yup.", "Certainly.", "Absolutely.", "It's a match.",
        "It does.",
        "Same person.",
        "That\u2019s correct", "**Answer:** yes", "No doubt, yes", "No differences found. Yes.",
        "No hat is visible, so yes.",
        "No bag, red coat: yes.", "No discrepancy: the person matches.", "MATCH: TRUE", "Yes or no: yes",
        "The man wears no hat, so the answer is yes.", "Yes, the person has no bag, as described.",
        "Yes, though the shoes are not visible.", "It corresponds to the description",
    ],
)  # fmt: skip
def test_yes_in_other_words(reply: str) -> None:
    assert read_verdict(reply) is True


@pytest.mark.parametrize(
    "reply",
    [
        "N", "0", "❌", "Not a match", "No match.", "There is no match between image and description.", "Not quite.",
        "The person doesn\u2019t match the description.", "The person does not appear to match the description.",
        "The person fails to match the description.", "None of the details match.", "Neither matches.",
        "The man wears a hat, so no match.", "Result: Not matching", "match: false", "Absolutely not.", "Wrong.",
        "It does not.", "Does not correspond.", "A different person.", "No the bag is green", "No red coat.",
        "Mismatch",
        "The coat is red, but the answer is: **No**, because of the bag.", "No coincide",
    ],
)  # fmt: skip
def test_no_in_other_words(reply: str) -> None:
    assert read_verdict(reply) is False


@pytest.mark.parametrize(
    "reply",
    [
        "yes/no", "yes, no", "Yes, but no.", "no.yes.", "No, wait. Yes.", "Yes. On second thought, no.",
        "Partial match",
        "No, I cannot tell.", "No differences.", "The coat matches, but the shoes do not match.", "It may match.",
        "The coat matches. The bag does not.", "It is not the case that the person matches.",
        "I cannot say whether the person matches.",
    ],
)  # fmt: skip
def test_what_says_neither_or_both_is_unread(reply: str) -> None:
    assert read_verdict(reply) is None
