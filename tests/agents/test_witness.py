import asyncio

import pytest

from ctgi.agents.pool import load_pool
from ctgi.agents.witness import UNKNOWN, AmongProposer, Witness, WordsWitness
from ctgi.retrieval.images import ImageRef
from ctgi.testing import ScriptedMllm

MEMORY = 'A man in a red shirt and "blue" jeans, carrying a black bag. His shoes are white.'
NOBODY = ImageRef("a.jpg", "0")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What color are the shoes?", "His shoes are white"),
        ("What color is the bag?", "a black bag"),
        ("What is the person wearing on the head?", UNKNOWN),
        ("Is it a red shirt?", "a red shirt"),
        ("What about the weather?", UNKNOWN),
    ],
)
def test_a_witness_without_a_model_says_the_parts_that_answer(question: str, answer: str) -> None:
    assert asyncio.run(WordsWitness(load_pool())(NOBODY, question, description=MEMORY)).text == answer


def test_a_model_as_witness_is_told_the_memory_and_shown_nothing() -> None:
    mllm = ScriptedMllm("They are white.")
    said = asyncio.run(Witness(mllm)(NOBODY, "What color are the shoes?", description=MEMORY))
    (seen,) = mllm.seen
    assert said.text == "They are white."
    assert seen.image is None
    assert "'blue' jeans" in seen.prompt  # nothing in a description closes the quotation marks around it
    assert "What color are the shoes?" in seen.prompt


def test_a_questioner_among_candidates_asks_what_was_not_asked() -> None:
    mllm = ScriptedMllm("1. What color are the shoes?\nnothing\n- Is there a bag?")
    questions = asyncio.run(AmongProposer(mllm)(NOBODY, "a man", count=1, asked=["What color are the shoes?"]))
    assert questions.items == (("Is there a bag?", "Is there a bag?"),)
    assert mllm.seen[0].image == NOBODY
