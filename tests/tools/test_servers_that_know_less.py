"""Servers that refuse some fields of a request: what they are asked for instead, and what the probe finds."""

import pytest

from ctgi.errors import ToolError
from ctgi.testing import (
    Fault,
    Reply,
    Request,
    ScriptedServer,
    http_error,
)
from ctgi.tools.backends import Abilities, Mllm
from tests.support.asked_server import VERDICT, chat, outcomes, with_mllm

YES = Reply("yes", top={"y": 0.5, "Yes": 0.2, " no": 0.3})


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("field", ["structured_outputs", "logprobs", "top_logprobs", "seed"])
def test_a_feature_that_is_refused_is_left_out_at_once_and_from_then_on(
    double: ScriptedServer, field: str, status: int
) -> None:
    double.rejects, double.replies = {field: status}, lambda _: "yes"
    replies = with_mllm(double, lambda mllm: outcomes(mllm, VERDICT, VERDICT))
    assert [reply.text for reply in replies] == ["yes", "yes"]
    assert [field in seen.body for seen in double.seen] == [True, False, False]
    kept = {"structured_outputs", "logprobs", "seed"} - {field.removeprefix("top_")}
    assert kept <= set(double.seen[2].body)


def test_a_server_that_takes_the_common_fields_only(double: ScriptedServer) -> None:
    double.strict_fields, double.replies = True, lambda _: "no"
    (reply,) = with_mllm(double, lambda mllm: outcomes(mllm, VERDICT))
    assert (reply.text, reply.choices, reply.confidence) == ("no", {}, None)
    assert "seed" in double.seen[-1].body


def test_a_refusal_that_names_no_feature_is_asked_about_feature_by_feature(double: ScriptedServer) -> None:
    double.faults.extend([http_error(400, "bad request")] * 2)
    chat(double, VERDICT)
    assert [sorted({"structured_outputs", "logprobs", "seed"} & set(seen.body)) for seen in double.seen] == [
        ["logprobs", "seed", "structured_outputs"],
        ["logprobs", "seed"],
        ["seed"],
    ]


def test_a_bad_request_fails_alone_and_costs_no_feature(double: ScriptedServer) -> None:
    double.faults.extend([http_error(400, "the prompt is\nmuch too long \x1b[31m")] * 4)
    (bad, *good) = with_mllm(double, lambda mllm: outcomes(mllm, VERDICT, VERDICT, VERDICT))
    assert isinstance(bad, ToolError)
    assert str(bad).endswith(r"refused the request: the prompt is much too long \x1b[31m")
    assert [reply.text for reply in good] == ["yes", "yes"]
    assert {"structured_outputs", "logprobs", "seed"} <= set(double.seen[-1].body)


def test_once_its_features_have_worked_a_bad_request_is_sent_once(double: ScriptedServer) -> None:
    async def good_then_bad(mllm: Mllm) -> None:
        await mllm.chat(VERDICT)
        double.replies = http_error(400, "bad request")
        with pytest.raises(ToolError):
            await mllm.chat(VERDICT)

    with_mllm(double, good_then_bad)
    assert len(double.seen) == 2


def test_probe_finds_what_the_server_can_do(double: ScriptedServer) -> None:
    assert with_mllm(double, lambda mllm: mllm.probe()) == Abilities(images=True, logprobs=True, structured=True)
    assert len(double.seen[0].images) == 1
    double.strict_fields, double.replies = True, lambda _: "Red."
    assert with_mllm(double, lambda mllm: mllm.probe()) == Abilities(images=True, logprobs=False, structured=False)


def test_probe_takes_a_model_that_has_nothing_to_say(double: ScriptedServer) -> None:
    double.replies = lambda _: ""
    assert with_mllm(double, lambda mllm: mllm.probe()) == Abilities(images=True, logprobs=False, structured=False)


def test_probe_finds_a_model_without_eyes(double: ScriptedServer) -> None:
    def answer_text_only(seen: Request) -> Reply | Fault:
        return http_error(400, "no images, please") if seen.images else YES

    double.replies = answer_text_only
    assert with_mllm(double, lambda mllm: mllm.probe()).images is False
