import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from ctgi.agents.auditor import Audit, Auditor
from ctgi.agents.pool import load_pool
from ctgi.retrieval.images import ImageRef
from ctgi.tools.types import Reply, Verdict


class Eyes:
    """Sees what it is told: P(yes) of a description, 0.9 of any other, and answers by a word of the question."""

    def __init__(self, probabilities: Mapping[str, float | None], answers: Mapping[str, str]) -> None:
        self.probabilities, self.answers = probabilities, answers
        self.asked: list[str] = []

    async def verify(self, image: ImageRef, description: str) -> Verdict:
        probability = self.probabilities.get(description, 0.9)
        return Verdict(probability is None or probability > 0.5, probability, "yes")

    async def answer(
        self, image: ImageRef, question: str, *, description: str = "", turns: Sequence[tuple[str, str]] = ()
    ) -> Reply:
        self.asked.append(question)
        return Reply(next((text for word, text in self.answers.items() if word in question), "not visible"), 0.8)


def audit(eyes: Eyes, *captions: str, unseen: str = "") -> list[Audit]:
    """The audits of captions of one image by a model that cannot see one attribute."""
    pool = load_pool()
    askable = replace(pool, questions=tuple(one for one in pool.questions if one.attribute != unseen))

    async def run() -> list[Audit]:
        auditor = Auditor(eyes.verify, eyes.answer, load_pool(), askable, ImageRef("a.jpg", "0"))
        return [await auditor(caption) for caption in captions]

    return asyncio.run(run())


def test_an_answer_that_contradicts_a_claim_is_named_with_it() -> None:
    caption = "A man in a red shirt and black shoes."
    found = audit(Eyes({}, {"color is the person's upper": "dark blue", "color are the shoes": "black"}), caption)[0]
    (one,) = found.objections
    assert (one.claim.text, one.question.attribute, one.answer) == ("a red shirt", "upper_color", "dark blue")
    assert one.correction == "a dark blue shirt"
    assert {caption[start:].split(" and ")[0] for start in found.checked} >= {"a red shirt"}
    assert found.shows(one.claim) is True  # the verdict on it alone says so, though the answer does not
    assert found.doubt == pytest.approx(math.log(0.1001 / 0.9001) + 2 * 0.8)


def test_a_caption_that_fits_takes_no_further_call() -> None:
    found = audit(Eyes({}, {"color is the person's upper": "red"}), "A man in a red shirt.")[0]
    assert (found.objections, dict(found.checked)) == ((), {})
    assert found.doubt < 0


def test_a_caption_that_the_model_denies_is_looked_at_claim_by_claim() -> None:
    caption = "A man in a red shirt."
    found = audit(Eyes({caption: 0.1, "a red shirt": 0.2}, {}), caption)[0]
    assert [found.shows(claim) for claim in found.claims] == [True, False]
    assert found.doubt > 0


@pytest.mark.parametrize(
    ("caption", "answers", "why"),
    [
        ("A man.", {"man or a woman": "a woman"}, "person man, not woman"),
        ("A man with long hair.", {"hair like": "short and black"}, "hair long, not short"),
        ("Gray shoes.", {"color are the shoes": "grey"}, None),
        ("Dark shoes.", {"color are the shoes": "brown"}, None),
        ("A beige coat.", {"upper-body clothing?": "tan"}, None),
        ("Black shoes.", {"color are the shoes": "not visible"}, None),
    ],
)
def test_what_contradicts_and_what_does_not(caption: str, answers: dict[str, str], why: str | None) -> None:
    objections = audit(Eyes({}, answers), caption)[0].objections
    assert why in [one.why for one in objections] if why else objections == ()


def test_what_the_model_cannot_see_is_a_claim_of_its_own_and_left_alone() -> None:
    eyes = Eyes({"White boots, a red scarf.": 0.1}, {"scarf": "blue"})
    found = audit(eyes, "White boots, a red scarf.", unseen="scarf")[0]
    assert [found.shows(claim) for claim in found.claims] == [True, None]
    assert not any("scarf" in question for question in eyes.asked)


def test_each_question_about_an_image_is_put_once() -> None:
    eyes = Eyes({}, {})
    audit(eyes, "Red shoes.", "A person in red shoes.")
    assert len(eyes.asked) == len(set(eyes.asked)) == 2


def test_a_model_without_probabilities_counts_by_its_word() -> None:
    sure = audit(Eyes({"A coat.": None}, {}), "A coat.")[0]
    assert sure.doubt < audit(Eyes({"A coat.": 0.9}, {}), "A coat.")[0].doubt < 0
