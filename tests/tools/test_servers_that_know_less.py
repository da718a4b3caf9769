"""Servers that refuse some fields of a request: what they are asked for instead, and what the probe finds."""

import pytest

from ctgi.errors import ToolError
from ctgi.tools.backends import Abilities, Mllm
from tests.support.asked_server import VERDICT, chat, outcomes, with_mllm
from tests.support.openai_server import (
    Fault,
    OpenAiDouble,
    Reply,
    Seen,
    error,
)

YES = Reply("yes", top={"y": 0.5, "Yes": 0.2, " no": 0.3})


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("field", ["structured_outputs", "logprobs", "top_logprobs", "seed"])
def test_a_feature_that_is_refused_is_left_out_at_once_and_from_then_on(
    double: OpenAiDouble, field: str, status: int
) -> None:
    double.rejects, double.answer = {field: status}, lambda _: "yes"
    replies = with_mllm(double, lambda mllm: outcomes(mllm, VERDICT, VERDICT))
    assert [reply.text for reply in replies] == ["yes", "yes"]
    assert [field in seen.body for seen in double.log] == [True, False, False]
    kept = {"structured_outputs", "logprobs", "seed"} - {field.removeprefix("top_")}
    assert kept <= set(double.log[2].body)


def test_a_server_that_takes_the_common_fields_only(double: OpenAiDouble) -> None:
    double.strict_fields, double.answer = True, lambda _: "no"
    (reply,) = with_mllm(double, lambda mllm: outcomes(mllm, VERDICT))
    assert (reply.text, reply.choices, reply.confidence) == ("no", {}, None)
    assert "seed" in double.log[-1].body


def test_a_refusal_that_names_no_feature_is_asked_about_feature_by_feature(double: OpenAiDouble) -> None:
    double.faults.extend([error(400, "bad request")] * 2)
    chat(double, VERDICT)
    assert [sorted({"structured_outputs", "logprobs", "seed"} & set(seen.body)) for seen in double.log] == [
        ["logprobs", "seed", "structured_outputs"],
        ["logprobs", "seed"],
        ["seed"],
    ]


def test_a_bad_request_fails_alone_and_costs_no_feature(double: OpenAiDouble) -> None:
    double.faults.extend([error(400, "the prompt is\nmuch too long \x1b[31m")] * 4)
    (bad, *good) = with_mllm(double, lambda mllm: outcomes(mllm, VERDICT, VERDICT, VERDICT))
    assert isinstance(bad, ToolError)
    assert str(bad).endswith(r"refused the request: the prompt is much too long \x1b[31m")
    assert [reply.text for reply in good] == ["yes", "yes"]
    assert {"structured_outputs", "logprobs", "seed"} <= set(double.log[-1].body)


def test_once_its_features_have_worked_a_bad_request_is_sent_once(double: OpenAiDouble) -> None:
    async def good_then_bad(mllm: Mllm) -> None:
        await mllm.chat(VERDICT)
        double.always = error(400, "bad request")
        with pytest.raises(ToolError):
            await mllm.chat(VERDICT)

    with_mllm(double, good_then_bad)
    assert double.requests == 2


def test_probe_finds_what_the_server_can_do(double: OpenAiDouble) -> None:
    assert with_mllm(double, lambda mllm: mllm.probe()) == Abilities(images=True, logprobs=True, structured=True)
    assert len(double.log[0].images) == 1
    double.strict_fields, double.answer = True, lambda _: "Red."
    assert with_mllm(double, lambda mllm: mllm.probe()) == Abilities(images=True, logprobs=False, structured=False)


def test_probe_takes_a_model_that_has_nothing_to_say(double: OpenAiDouble) -> None:
    double.answer = lambda _: ""
    assert with_mllm(double, lambda mllm: mllm.probe()) == Abilities(images=True, logprobs=False, structured=False)


def test_probe_finds_a_model_without_eyes(double: OpenAiDouble) -> None:
    def answer_text_only(seen: Seen) -> Reply | Fault:
        return error(400, "no images, please") if seen.images else YES

    double.answer = answer_text_only
    assert with_mllm(double, lambda mllm: mllm.probe()).images is False
