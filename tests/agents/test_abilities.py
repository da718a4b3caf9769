"""What the embedded models are asked and may say follows from the table that ships beside them."""

import asyncio

import pytest

from ctgi.agents.abilities import (
    EmbeddedCaptioner,
    EmbeddedVerifier,
    askable,
    is_mostly_unknown,
    is_well_seen,
    measured,
    not_seen,
    seen,
    unknown_words,
)
from ctgi.agents.pool import load_pool
from ctgi.config import load_settings
from ctgi.retrieval.images import ImageRef
from ctgi.testing import ScriptedMllm
from ctgi.tools.backends import ChatReply

IMAGE = ImageRef("a.png", "0" * 64)


def test_every_question_has_a_measurement_and_the_bad_ones_are_not_asked() -> None:
    rows = measured()["attributes"]
    assert {"accuracy", "balanced", "majority", "majority_class", "n"} <= rows["background"]["photographs"].keys()
    assert {"background", "hand_held"} <= not_seen()
    assert not {"upper_color", "lower_color", "sleeves", "gender"} & not_seen()
    asked = {question.attribute for question in askable(load_pool(), load_settings()).questions}
    assert asked == {question.attribute for question in load_pool().questions} - not_seen()


def test_other_models_are_asked_everything() -> None:
    settings = load_settings(binds=["answer_question=vllm:x"])
    assert askable(load_pool(), settings) == load_pool()


@pytest.mark.parametrize(
    ("caption", "left"),
    [
        (
            "A woman with long black hair in a black T-shirt, and has a handbag.",
            "A woman in a black T-shirt, and has a bag.",
        ),
        ("A man with short black hair who wears a coat and shorts, walking.", "A man who wears a coat and shorts."),
        ("A woman with brown hair tied in a bun wearing a dress, standing on the street.", "A woman wearing a dress."),
        ("A man with a bald head in a black coat, riding a bicycle in a park.", "A man in a black coat."),
        ("A man in a hall coat.", "A man in a hall coat."),
        ("A woman with a red bag in a black coat.", "A woman with a red bag in a black coat."),
        ("A man with long black hair.", "A man."),
    ],
)
def test_a_caption_loses_what_its_model_cannot_see(caption: str, left: str) -> None:
    assert seen(caption, ("hair", "action", "background", "bag")) == left
    assert seen(caption, ()) == caption


def test_the_embedded_captioner_says_only_what_it_sees() -> None:
    caption = "A man in a black coat, who has a red backpack, walking in a park."
    left = seen(caption, not_seen())
    said = asyncio.run(EmbeddedCaptioner(ScriptedMllm(lambda request: caption))(IMAGE))
    assert left != caption and (said.text, said.raw) == (left, caption)


def test_the_verifier_asks_for_the_measured_threshold() -> None:
    threshold = measured()["verify_match"]["threshold"]

    def verdict(probability: float) -> bool:
        reply = ChatReply("yes", choices={"yes": probability, "no": 1 - probability})
        judged = asyncio.run(EmbeddedVerifier(ScriptedMllm(lambda request: reply))(IMAGE, "a man in a red coat"))
        assert judged.threshold == threshold
        return judged.match

    assert (verdict(threshold + 0.01), verdict(threshold - 0.01)) == (True, False)


def test_words_that_the_models_never_learned_are_named_and_mostly_such_words_are_not_judged() -> None:
    assert unknown_words("woman with red bag") == []
    assert unknown_words("A lady's navy-blue jackets, 2 bags") == []
    assert unknown_words("an elephant riding a spaceship") == ["elephant", "spaceship"]
    assert not is_mostly_unknown("a woman with a red surfboard")
    assert is_mostly_unknown("穿红色外套的女人")
    mllm = ScriptedMllm(lambda request: "yes")
    judged = asyncio.run(EmbeddedVerifier(mllm)(IMAGE, "an elephant riding a spaceship"))
    assert (judged.match, judged.probability, mllm.seen) == (False, None, [])
    assert "elephant, spaceship" in judged.text


def test_always_the_same_answer_is_no_seeing_on_photographs():
    always_no = {"accuracy": 0.78, "balanced": 0.5, "n": 23}
    assert is_well_seen({"drawn": always_no}) and not is_well_seen({"photographs": always_no})
    assert is_well_seen({"drawn": {"accuracy": 0.9, "balanced": 0.8, "n": 90}, "photographs": always_no | {"n": 5}})
    assert not is_well_seen({"in_3d": {"accuracy": 0.5, "balanced": 0.9, "n": 60}})
