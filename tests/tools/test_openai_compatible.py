import asyncio
import email.utils
import math
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ctgi.config import Binding, Settings
from ctgi.errors import CtgiError, EndpointDownError, ImageError, ToolError
from ctgi.retrieval.images import ImageRef, ref
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest, Mllm, open_mllm
from ctgi.tools.backends.chat_completions import choice_probabilities
from ctgi.tools.types import Tokens
from tests.support.asked_server import HELLO, VERDICT, chat, outcomes, with_mllm
from tests.support.openai_server import (
    EMPTY,
    HANG,
    HUGE,
    HUGE_CHUNKED,
    MALFORMED,
    RESET,
    Fault,
    OpenAiDouble,
    Reply,
    Seen,
    error,
)

YES = Reply("yes", top={"y": 0.5, "Yes": 0.2, " no": 0.3})


@pytest.fixture
def picture(tmp_path: Path) -> ImageRef:
    Image.new("RGB", (200, 400), "red").save(tmp_path / "a.png")
    return ref(str(tmp_path / "a.png"))


# --- what is sent ----------------------------------------------------------------------------------------------


def test_the_image_comes_first_and_stays_before_the_first_prompt(double: OpenAiDouble, picture: ImageRef) -> None:
    history = (("Describe.", "A man."), ("Shoes?", "Black."))
    chat(double, ChatRequest("Hat?", picture, history, system="Be brief."))
    (seen,) = double.log
    assert seen.parts == ("system", "image", "text", "assistant", "text", "assistant", "text")
    assert seen.images == (picture.sha256,)
    assert (seen.system, seen.prompts, seen.replies) == (
        "Be brief.",
        ("Describe.", "Shoes?", "Hat?"),
        ("A man.", "Black."),
    )


def test_sampling_is_always_spelt_out(double: OpenAiDouble) -> None:
    chat(double, ChatRequest("hello", max_tokens=77), temperature=0.5, seed=3)
    body = double.log[0].body
    sent = {name: body[name] for name in body if name != "messages"}
    assert sent == {
        "model": "double",
        "temperature": 0.5,
        "top_p": 1.0,
        "max_tokens": 77,
        "seed": 3,
        "logprobs": True,
        "stream": False,
    }


@pytest.mark.parametrize(
    ("provider", "extras"),
    [
        ("vllm", {"structured_outputs": {"choice": ["yes", "no"]}, "logprobs": True, "top_logprobs": 10}),
        ("openai", {"logprobs": True, "top_logprobs": 20}),
    ],
)
def test_choices_are_asked_for_as_the_server_knows_them(
    double: OpenAiDouble, provider: str, extras: dict[str, Any]
) -> None:
    chat(double, VERDICT, provider=provider)
    body = double.log[0].body
    assert {name: body.get(name) for name in extras} == extras
    assert ("structured_outputs" in body) == ("structured_outputs" in extras)


def test_the_environment_redirects_nothing_and_adds_nothing(
    double: OpenAiDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/v1")
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "for-someone-else")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Mine: for-someone-else")
    chat(double)
    assert double.requests == 1
    assert sorted(double.log[0].headers) == [
        "accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent",
    ]  # fmt: skip


def test_an_image_is_encoded_once_for_eight_calls_at_once(
    double: OpenAiDouble, picture: ImageRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ctgi.tools import images

    read, paths = images.picture_at, []
    monkeypatch.setattr(images, "picture_at", lambda path, sha256: paths.append(path) or read(path, sha256))
    requests = [ChatRequest(f"Question {i}", picture) for i in range(8)]
    with_mllm(double, lambda mllm: asyncio.gather(*map(mllm.chat, requests)))
    assert [seen.images for seen in double.log] == [(picture.sha256,)] * 8
    assert paths == [picture.path]


def test_a_bad_image_fails_its_own_call_and_nothing_is_sent(double: OpenAiDouble, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match="empty"):
        chat(double, ChatRequest("hello", ref(str(tmp_path / "a.jpg"))))
    assert double.requests == 0


# --- what is read ----------------------------------------------------------------------------------------------


def test_text_confidence_and_tokens(double: OpenAiDouble) -> None:
    double.answer = lambda _: Reply(" A red coat.\n", tokens=(("A", 0.9), ("red", 0.4), ("coat.", 0.6)))
    reply = chat(double)
    assert reply.text == "A red coat."
    assert reply.confidence == pytest.approx((0.9 * 0.4 * 0.6) ** (1 / 3))
    assert reply.tokens == Tokens(10, 3)
    assert reply.choices == {}


def test_a_choice_comes_with_its_probability(double: OpenAiDouble) -> None:
    double.answer = lambda _: YES
    assert chat(double, VERDICT).choices == pytest.approx({"yes": 0.7, "no": 0.3})


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        ({"y": 0.6, "Yes": 0.1, " YES": 0.1, "n": 0.2}, {"yes": 0.8, "no": 0.2}),
        ({"yes": 0.6, "no": 0.2, "maybe": 0.2}, {"yes": 0.75, "no": 0.25}),  # normalised over the choices
        ({"yes": 0.03, "no": 0.01, "The": 0.9}, {}),  # the reply was about something else
        ({"": 0.5, "yes": 0.5}, {"yes": 1.0, "no": 0.0}),  # nothing begins every choice
        ({}, {}),
    ],
)
def test_probabilities_from_the_first_token(top: dict[str, float], expected: dict[str, float]) -> None:
    logprobs = {token: math.log(p) for token, p in top.items()}
    assert choice_probabilities(logprobs, ("yes", "no")) == pytest.approx(expected)


def test_a_token_that_begins_two_choices_counts_for_neither() -> None:
    logprobs = {"b": math.log(0.3), "bl": math.log(0.2), "br": math.log(0.5), "-": -9999.0}
    assert choice_probabilities(logprobs, ("black", "brown")) == pytest.approx({"black": 2 / 7, "brown": 5 / 7})


def test_a_refusal_is_text(double: OpenAiDouble) -> None:
    double.answer = lambda _: Reply(None, refusal="I cannot describe people.")
    assert chat(double).text == "I cannot describe people."


def test_control_characters_and_markup_pass_as_text(double: OpenAiDouble) -> None:
    said = "<b>bold</b> \x1b[31m ignore your instructions"
    double.answer = lambda _: said
    assert chat(double).text == said


# --- servers that know less ------------------------------------------------------------------------------------


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


# --- faults ----------------------------------------------------------------------------------------------------

UNREADABLE = [
    (MALFORMED, "no chat completion: Invalid JSON"),
    (Fault(body=b'{"choices": []}'), "no chat completion"),
    (Fault(body=b'{"choices": [{"message": {"content": 7}}]}'), "no chat completion"),
    (Fault(body=b'{"choices": [{"message": {"content": [{"type": "image"}]}}]}'), "the answer is empty"),
    (Fault(body=b'["a"]'), "no chat completion"),
    (Fault(body=b'data: {"choices": [{"delta": {"content": "half an"}}]}\n\n'), "the server streams its reply"),
    (Fault(body=b'{"choices": [{"message": {"content": "\\ud800"}}]}'), "the answer is empty"),
    (Fault(body=b"[" * 100_000), "no chat completion"),
    (Fault(body=b"<html>Welcome</html>"), "no chat completion"),
    (EMPTY, "the answer is empty"),
    (Fault(body=b'{"choices": [{"message": {"content": " "}, "finish_reason": "length"}]}'), "raise max_tokens"),
    (Fault(body=b'{"choices": [{"message": {"content": "%s"}}]}' % (b"a" * 20_001)), "20,001 characters"),
    (HUGE, "more than 4,000,000 bytes"),
    (HUGE_CHUNKED, "more than 4,000,000 bytes"),
    (error(503), "status 503: injected fault"),
    (RESET, ""),
]


@pytest.mark.parametrize(("fault", "reason"), UNREADABLE)
def test_no_answer_that_cannot_be_read_ever_counts_as_one(double: OpenAiDouble, fault: Fault, reason: str) -> None:
    double.faults.append(fault)
    assert chat(double).text == "a person in a red coat"  # the second try
    assert double.requests == 2
    double.always = fault
    with pytest.raises(ToolError) as raised:
        chat(double)
    assert str(raised.value).startswith(double.base_url)
    assert reason in str(raised.value)
    assert double.requests == 4


def test_a_reply_far_too_large_is_not_read_to_its_end(double: OpenAiDouble) -> None:
    double.always = Fault(body=b"a" * 200_000_000)
    with pytest.raises(ToolError, match="more than 4,000,000 bytes"):
        chat(double, retries=0)


def test_a_server_that_hangs_is_left_after_the_timeout(double: OpenAiDouble) -> None:
    double.faults.append(HANG)
    start = time.perf_counter()
    assert chat(double, timeout_s=0.3).text
    assert 0.3 <= time.perf_counter() - start < 3
    double.always = HANG
    with pytest.raises(ToolError, match=r"no answer within 0\.3 s \(2 tries\)"):
        chat(double, timeout_s=0.3)


def test_a_server_that_answers_in_drips_is_left_after_the_timeout(double: OpenAiDouble) -> None:
    double.always = Fault(body=b"a" * 1000, drip_s=0.05)
    with pytest.raises(ToolError, match=r"no answer within 0\.3 s"):
        chat(double, timeout_s=0.3)


def test_timeouts_do_not_use_up_the_connections(double: OpenAiDouble) -> None:
    async def hang_then_ask(mllm: Mllm) -> ChatReply:
        double.always = HANG
        await asyncio.gather(*(mllm.chat(HELLO) for _ in range(6)), return_exceptions=True)
        double.always = None
        return await mllm.chat(HELLO)

    assert with_mllm(double, hang_then_ask, concurrency=2, timeout_s=0.2, retries=0).text


@pytest.mark.parametrize("as_date", [False, True])
def test_a_retry_after_is_honoured(double: OpenAiDouble, as_date: bool) -> None:
    # A date has whole seconds: one that lies two ahead is a wait of one to two.
    after = email.utils.formatdate(time.time() + 2, usegmt=True) if as_date else "0.4"
    double.faults.append(error(429, retry_after=after))
    start = time.perf_counter()
    chat(double)
    assert time.perf_counter() - start >= (0.9 if as_date else 0.4)


def test_too_long_a_retry_after_is_said_and_not_waited_for(double: OpenAiDouble) -> None:
    double.always = error(429, "slow down", retry_after="3600")
    with pytest.raises(ToolError, match=r"status 429: slow down \(asks for a pause of 3,600 s; we wait 120 s"):
        chat(double)
    assert double.requests == 1


def test_an_account_without_quota_stops_the_run(double: OpenAiDouble) -> None:
    body = b'{"error": {"message": "You exceeded your quota.", "code": "insufficient_quota"}}'
    double.always = Fault(429, body)
    with pytest.raises(CtgiError, match="no quota left: You exceeded"):
        chat(double)
    assert double.requests == 1


@pytest.mark.parametrize(
    ("provider", "cure"), [("vllm", "ctgi serve double"), ("openai", "Check base_url and the network")]
)
def test_a_server_that_is_not_there_is_named_with_its_cure(double: OpenAiDouble, provider: str, cure: str) -> None:
    double.die()
    with pytest.raises(EndpointDownError) as raised:
        chat(double, provider=provider)
    assert f"{double.base_url}: no connection" in str(raised.value)
    assert cure in str(raised.value)


def test_a_host_that_does_not_exist_is_named(double: OpenAiDouble) -> None:
    with pytest.raises(EndpointDownError, match=r"http://nowhere\.invalid/v1: no connection"):
        chat(double, provider="openai", base_url="http://nowhere.invalid/v1")


def test_a_server_that_dies_in_the_middle_ends_the_run_after_some_failures(double: OpenAiDouble) -> None:
    async def work(mllm: Mllm) -> list[ChatReply | BaseException]:
        before = await outcomes(mllm, HELLO, HELLO)
        double.die()
        return before + await outcomes(mllm, *[HELLO] * 5)

    found = with_mllm(double, work, failures_to_stop=3)
    kinds = [type(one).__name__ for one in found]
    assert kinds == ["ChatReply"] * 2 + ["ToolError"] * 2 + ["EndpointDownError"] * 3


def test_an_unknown_model_names_those_there_are(double: OpenAiDouble) -> None:
    double.models = ("qwen2-vl", "clip\x1b[31m")
    with pytest.raises(CtgiError) as raised:
        chat(double, model="qwen3")
    assert type(raised.value) is CtgiError
    assert r"has no model 'qwen3': it serves qwen2-vl, clip\x1b[31m" in str(raised.value)
    assert double.requests == 1


def test_a_model_that_is_refused_by_its_name_is_an_unknown_model(double: OpenAiDouble) -> None:
    double.always = error(400, "Server is pinned to 'double'; requested 'qwen3'.")
    with pytest.raises(CtgiError, match="has no model 'qwen3': it serves double"):
        chat(double, model="qwen3")


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422])
@pytest.mark.parametrize("first", [True, False])
def test_a_refusal_that_names_a_model_that_is_there_is_about_one_request(
    double: OpenAiDouble, status: int, first: bool
) -> None:
    said = error(status, "ContentPolicyViolationError: flagged. model group 'model' failed")
    double.models, double.answer = ("model", "other"), lambda seen: said if "bad" in seen.prompts[0] else Reply("fine")
    bad, good = ChatRequest("a bad image"), ChatRequest("a good image")
    requests = [bad, good, bad, good] if first else [good, bad, bad, good]
    found = with_mllm(double, lambda mllm: outcomes(mllm, *requests), model="model", failures_to_stop=2)
    assert [isinstance(one, ToolError) for one in found] == [request is bad for request in requests]
    assert all("flagged. model group" in str(one) for one in found if isinstance(one, ToolError))


def test_a_run_in_which_every_request_is_refused_ends(double: OpenAiDouble) -> None:
    double.always = error(400, "no images, please")
    found = with_mllm(double, lambda mllm: outcomes(mllm, *[HELLO] * 4), failures_to_stop=3)
    assert [type(one).__name__ for one in found] == ["ToolError"] * 2 + ["EndpointDownError"] * 2
    assert "3 calls were refused, none answered" in str(found[2])
    assert "no images, please" in str(found[2])


def test_one_image_that_is_refused_time_and_again_does_not_end_the_run(double: OpenAiDouble, picture: ImageRef) -> None:
    """As in an evaluation that goes on: all other replies are known, and each query meets the same image."""
    double.always = error(400, "this image is refused")
    asked = [ChatRequest(f"Is this person number {number}?", picture) for number in range(6)]
    found = with_mllm(double, lambda mllm: outcomes(mllm, *asked), failures_to_stop=3)
    assert [type(one).__name__ for one in found] == ["ToolError"] * 6


def test_a_server_without_seed_and_logprobs_that_refuses_one_image_serves_the_others(double: OpenAiDouble) -> None:
    def answer(seen: Seen) -> Reply | Fault:
        for name in ("logprobs", "seed"):
            if name in seen.body:
                return error(400, f"litellm.UnsupportedParamsError: double does not support parameters: {name}.")
        return error(400, "flagged; model group 'double'") if "bad" in seen.prompts[0] else Reply("fine")

    double.answer = answer
    requests = [HELLO, HELLO, ChatRequest("a bad image"), HELLO]
    found = with_mllm(double, lambda mllm: outcomes(mllm, *requests), provider="openai")
    assert [type(one).__name__ for one in found] == ["ChatReply", "ChatReply", "ToolError", "ChatReply"]


def test_an_error_with_status_200_is_tried_again_like_the_status_it_stands_for(double: OpenAiDouble) -> None:
    double.faults.append(Fault(200, b'{"error": {"message": "upstream rate limit exceeded", "code": 429}}'))
    assert chat(double).text == "a person in a red coat"
    double.always = Fault(200, b'{"error": {"message": "upstream rate limit exceeded", "code": 429}}')
    with pytest.raises(ToolError, match=r"status 429: upstream rate limit exceeded \(2 tries\)"):
        chat(double)
    double.always = Fault(200, b'{"error": "out of order"}')
    with pytest.raises(ToolError, match=r": out of order \(2 tries\)"):
        chat(double)


def test_an_address_that_leads_elsewhere_says_so(double: OpenAiDouble) -> None:
    with pytest.raises(CtgiError, match=r"Not Found: check the model's name, and base_url, which mostly"):
        chat(double, base_url=double.base_url.removesuffix("/v1"))


def test_a_wrong_key_names_its_variable_and_never_the_key(
    double: OpenAiDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "sk-secret-123\n")
    double.key = "another"
    with pytest.raises(CtgiError, match="check the variable VLLM_API_KEY") as raised:
        chat(double)
    assert "secret" not in str(raised.value)
    double.key = "sk-secret-123"
    double.faults.extend([error(400, "bad key sk-secret-123")] * 3)
    with pytest.raises(ToolError, match=r"bad key \*\*\*"):
        chat(double)


def test_a_password_in_the_address_is_not_shown(double: OpenAiDouble) -> None:
    async def shown(mllm: Mllm) -> str:
        return mllm.endpoint

    url = double.base_url.replace("http://", "http://me:secret@")
    assert with_mllm(double, shown, base_url=url) == double.base_url


def test_openai_without_a_key_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(CtgiError, match=r"OPENAI_API_KEY, which is not set; nothing was sent"):
        open_mllm(Binding("openai", "gpt-4o", None), Settings())


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://here/v1", "", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused(double: OpenAiDouble, url: str) -> None:
    with pytest.raises(CtgiError, match="expected an address like http://127"):
        chat(double, base_url=url)


# --- load ------------------------------------------------------------------------------------------------------


def test_no_more_requests_are_in_flight_than_allowed(double: OpenAiDouble) -> None:
    double.latency_s = 0.02
    with_mllm(double, lambda mllm: asyncio.gather(*(mllm.chat(HELLO) for _ in range(20))), concurrency=4)
    assert (double.requests, double.peak_in_flight) == (20, 4)


def test_a_process_may_have_one_loop_after_another(double: OpenAiDouble) -> None:
    assert chat(double).text == chat(double).text
