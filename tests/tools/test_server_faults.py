"""Servers that are gone, slow, broken or refuse: tried again, told, and never taken for an answer."""

import asyncio
import email.utils
import time

import pytest

from ctgi.config import Binding, Settings
from ctgi.errors import CtgiError, EndpointDownError, ToolError
from ctgi.retrieval.images import ImageRef
from ctgi.testing import (
    HANG,
    MALFORMED,
    RESET,
    Fault,
    Reply,
    Request,
    ScriptedServer,
    http_error,
)
from ctgi.tools.backends import ChatReply, ChatRequest, Mllm, open_mllm
from tests.support.asked_server import HELLO, chat, outcomes, with_mllm

UNREADABLE = [
    (MALFORMED, "not a chat completion: Invalid JSON"),
    (Fault(body=b'{"choices": []}'), "not a chat completion"),
    (Fault(body=b'{"choices": [{"message": {"content": 7}}]}'), "not a chat completion"),
    (Fault(body=b'{"choices": [{"message": {"content": [{"type": "image"}]}}]}'), "the answer is empty"),
    (Fault(body=b'["a"]'), "not a chat completion"),
    (Fault(body=b'data: {"choices": [{"delta": {"content": "half an"}}]}\n\n'), "the server streams its reply"),
    (Fault(body=b'{"choices": [{"message": {"content": "\\ud800"}}]}'), "the answer is empty"),
    (Fault(body=b"[" * 100_000), "not a chat completion"),
    (Fault(body=b"<html>Welcome</html>"), "not a chat completion"),
    (Reply(""), "the answer is empty"),
    (Fault(body=b'{"choices": [{"message": {"content": " "}, "finish_reason": "length"}]}'), "raise max_tokens"),
    (Fault(body=b'{"choices": [{"message": {"content": "%s"}}]}' % (b"a" * 20_001)), "20,001 characters"),
    (Reply("r" * 10_000_000), "more than 4,000,000 bytes"),
    (Fault(body=b"r" * 10_000_000, chunked=True), "more than 4,000,000 bytes"),
    (http_error(503), "status 503: injected fault"),
    (RESET, ""),
]


@pytest.mark.parametrize(("fault", "reason"), UNREADABLE)
def test_no_answer_that_cannot_be_read_ever_counts_as_one(double: ScriptedServer, fault: Fault, reason: str) -> None:
    double.faults.append(fault)
    assert chat(double).text == "a person in a red coat"  # the second try
    assert len(double.seen) == 2
    double.replies = fault
    with pytest.raises(ToolError) as raised:
        chat(double)
    assert str(raised.value).startswith(double.url)
    assert reason in str(raised.value)
    assert len(double.seen) == 4


def test_a_reply_far_too_large_is_not_read_to_its_end(double: ScriptedServer) -> None:
    double.replies = Fault(body=b"a" * 200_000_000)
    with pytest.raises(ToolError, match="more than 4,000,000 bytes"):
        chat(double, retries=0)


def test_a_server_that_hangs_is_left_after_the_timeout(double: ScriptedServer) -> None:
    double.faults.append(HANG)
    assert chat(double, timeout_s=0.3).text
    assert len(double.seen) == 2
    double.replies = HANG
    with pytest.raises(ToolError, match=r"no answer within 0\.3 s \(2 tries\)"):
        chat(double, timeout_s=0.3)


def test_a_server_that_answers_in_drips_is_left_after_the_timeout(double: ScriptedServer) -> None:
    double.replies = Fault(body=b"a" * 1000, drip_s=0.05)
    with pytest.raises(ToolError, match=r"no answer within 0\.3 s"):
        chat(double, timeout_s=0.3)


def test_timeouts_do_not_use_up_the_connections(double: ScriptedServer) -> None:
    async def hang_then_ask(mllm: Mllm) -> ChatReply:
        double.replies = HANG
        await asyncio.gather(*(mllm.chat(HELLO) for _ in range(6)), return_exceptions=True)
        double.replies = "a red coat"
        return await mllm.chat(HELLO)

    assert with_mllm(double, hang_then_ask, concurrency=2, timeout_s=0.2, retries=0).text


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The sleeps of asyncio in seconds; none of them is slept."""
    seconds: list[float] = []
    sleep = asyncio.sleep

    async def nod(delay: float, result: object = None) -> object:
        seconds.append(delay)
        return await sleep(0, result)

    monkeypatch.setattr(asyncio, "sleep", nod)
    return seconds


@pytest.mark.parametrize(("ahead", "at_least"), [(None, 0.4), (100, 60)])
def test_a_retry_after_is_honoured(
    double: ScriptedServer, slept: list[float], ahead: int | None, at_least: float
) -> None:
    after = "0.4" if ahead is None else email.utils.formatdate(time.time() + ahead, usegmt=True)
    double.faults.append(http_error(429, retry_after=after))
    chat(double)
    assert at_least <= max(slept) <= (ahead or at_least)


def test_too_long_a_retry_after_is_said_and_not_waited_for(double: ScriptedServer) -> None:
    double.replies = http_error(429, "slow down", retry_after="3600")
    with pytest.raises(ToolError, match=r"status 429: slow down \(asks for a pause of 3,600 s; we wait 120 s"):
        chat(double)
    assert len(double.seen) == 1


def test_an_account_without_quota_stops_the_run(double: ScriptedServer) -> None:
    body = b'{"error": {"message": "You exceeded your quota.", "code": "insufficient_quota"}}'
    double.replies = Fault(429, body)
    with pytest.raises(CtgiError, match="no quota left: You exceeded"):
        chat(double)
    assert len(double.seen) == 1


@pytest.mark.parametrize(
    ("provider", "cure"), [("vllm", "ctgi serve double"), ("openai", "Check base_url and the network")]
)
def test_a_server_that_is_not_there_is_named_with_its_cure(double: ScriptedServer, provider: str, cure: str) -> None:
    double.stop()
    with pytest.raises(EndpointDownError) as raised:
        chat(double, provider=provider)
    assert f"{double.url}: no connection" in str(raised.value)
    assert cure in str(raised.value)


def test_a_host_that_does_not_exist_is_named(double: ScriptedServer) -> None:
    with pytest.raises(EndpointDownError, match=r"http://nowhere\.invalid/v1: no connection"):
        chat(double, provider="openai", base_url="http://nowhere.invalid/v1")


def test_a_server_that_dies_in_the_middle_ends_the_run_after_some_failures(double: ScriptedServer) -> None:
    async def work(mllm: Mllm) -> list[ChatReply | BaseException]:
        before = await outcomes(mllm, HELLO, HELLO)
        double.stop()
        return before + await outcomes(mllm, *[HELLO] * 5)

    found = with_mllm(double, work, failures_to_stop=3)
    kinds = [type(one).__name__ for one in found]
    assert kinds == ["ChatReply"] * 2 + ["ToolError"] * 2 + ["EndpointDownError"] * 3


def test_an_unknown_model_names_those_there_are(double: ScriptedServer) -> None:
    double.models = ("qwen2-vl", "clip\x1b[31m")
    with pytest.raises(CtgiError) as raised:
        chat(double, model="qwen3")
    assert type(raised.value) is CtgiError
    assert r"has no model 'qwen3': it serves qwen2-vl, clip\x1b[31m" in str(raised.value)
    assert len(double.seen) == 1


def test_a_model_that_is_refused_by_its_name_is_an_unknown_model(double: ScriptedServer) -> None:
    double.replies = http_error(400, "Server is pinned to 'double'; requested 'qwen3'.")
    with pytest.raises(CtgiError, match="has no model 'qwen3': it serves double"):
        chat(double, model="qwen3")


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422])
@pytest.mark.parametrize("first", [True, False])
def test_a_refusal_that_names_a_model_that_is_there_is_about_one_request(
    double: ScriptedServer, status: int, first: bool
) -> None:
    said = http_error(status, "ContentPolicyViolationError: flagged. model group 'model' failed")
    double.models, double.replies = ("model", "other"), lambda seen: said if "bad" in seen.prompts[0] else Reply("fine")
    bad, good = ChatRequest("a bad image"), ChatRequest("a good image")
    requests = [bad, good, bad, good] if first else [good, bad, bad, good]
    found = with_mllm(double, lambda mllm: outcomes(mllm, *requests), model="model", failures_to_stop=2)
    assert [isinstance(one, ToolError) for one in found] == [request is bad for request in requests]
    assert all("flagged. model group" in str(one) for one in found if isinstance(one, ToolError))


def test_a_run_in_which_every_request_is_refused_ends(double: ScriptedServer) -> None:
    double.replies = http_error(400, "no images, please")
    found = with_mllm(double, lambda mllm: outcomes(mllm, *[HELLO] * 4), failures_to_stop=3)
    assert [type(one).__name__ for one in found] == ["ToolError"] * 2 + ["EndpointDownError"] * 2
    assert "3 calls were refused, none answered" in str(found[2])
    assert "no images, please" in str(found[2])


def test_one_image_that_is_refused_time_and_again_does_not_end_the_run(
    double: ScriptedServer, picture: ImageRef
) -> None:
    """As in an evaluation that goes on: all other replies are known, and each query meets the same image."""
    double.replies = http_error(400, "this image is refused")
    asked = [ChatRequest(f"Is this person number {number}?", picture) for number in range(6)]
    found = with_mllm(double, lambda mllm: outcomes(mllm, *asked), failures_to_stop=3)
    assert [type(one).__name__ for one in found] == ["ToolError"] * 6


def test_a_server_without_seed_and_logprobs_that_refuses_one_image_serves_the_others(double: ScriptedServer) -> None:
    def answer(seen: Request) -> Reply | Fault:
        for name in ("logprobs", "seed"):
            if name in seen.body:
                return http_error(400, f"litellm.UnsupportedParamsError: double does not support parameters: {name}.")
        return http_error(400, "flagged; model group 'double'") if "bad" in seen.prompts[0] else Reply("fine")

    double.replies = answer
    requests = [HELLO, HELLO, ChatRequest("a bad image"), HELLO]
    found = with_mllm(double, lambda mllm: outcomes(mllm, *requests), provider="openai")
    assert [type(one).__name__ for one in found] == ["ChatReply", "ChatReply", "ToolError", "ChatReply"]


def test_an_error_with_status_200_is_tried_again_like_the_status_it_stands_for(double: ScriptedServer) -> None:
    double.faults.append(Fault(200, b'{"error": {"message": "upstream rate limit exceeded", "code": 429}}'))
    assert chat(double).text == "a person in a red coat"
    double.replies = Fault(200, b'{"error": {"message": "upstream rate limit exceeded", "code": 429}}')
    with pytest.raises(ToolError, match=r"status 429: upstream rate limit exceeded \(2 tries\)"):
        chat(double)
    double.replies = Fault(200, b'{"error": "out of order"}')
    with pytest.raises(ToolError, match=r": out of order \(2 tries\)"):
        chat(double)


def test_an_address_that_leads_elsewhere_says_so(double: ScriptedServer) -> None:
    with pytest.raises(CtgiError, match=r"Not Found: check the model's name, and base_url, which usually"):
        chat(double, base_url=double.url.removesuffix("/v1"))


def test_a_wrong_key_names_its_variable_and_never_the_key(
    double: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "sk-secret-123\n")
    double.key = "another"
    with pytest.raises(CtgiError, match="check the variable VLLM_API_KEY") as raised:
        chat(double)
    assert "secret" not in str(raised.value)
    double.key = "sk-secret-123"
    double.faults.extend([http_error(400, "bad key sk-secret-123")] * 3)
    with pytest.raises(ToolError, match=r"bad key \*\*\*"):
        chat(double)


def test_a_password_in_the_address_is_not_shown(double: ScriptedServer) -> None:
    async def shown(mllm: Mllm) -> str:
        return mllm.endpoint

    url = double.url.replace("http://", "http://me:secret@")
    assert with_mllm(double, shown, base_url=url) == double.url


def test_openai_without_a_key_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(CtgiError, match=r"OPENAI_API_KEY, which is not set; nothing was sent"):
        open_mllm(Binding("openai", "gpt-4o", None), Settings())


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://here/v1", "", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused(double: ScriptedServer, url: str) -> None:
    with pytest.raises(CtgiError, match="expected an address like http://127"):
        chat(double, base_url=url)
