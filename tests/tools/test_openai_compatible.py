"""What is sent to an OpenAI-compatible server, and what is read from its replies."""

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from ctgi.errors import ImageError
from ctgi.retrieval.images import ImageRef, ref
from ctgi.testing import (
    Reply,
    ScriptedServer,
)
from ctgi.tools.backends import ChatRequest
from ctgi.tools.backends.chat_completions import choice_probabilities
from ctgi.tools.types import Tokens
from tests.support.asked_server import HELLO, VERDICT, chat, with_mllm

YES = Reply("yes", top={"y": 0.5, "Yes": 0.2, " no": 0.3})


def test_the_image_comes_first_and_stays_before_the_first_prompt(double: ScriptedServer, picture: ImageRef) -> None:
    history = (("Describe.", "A man."), ("Shoes?", "Black."))
    chat(double, ChatRequest("Hat?", picture, history, system="Be brief."))
    (seen,) = double.seen
    assert seen.parts == ("system", "image", "text", "assistant", "text", "assistant", "text")
    assert seen.images == (picture.sha256,)
    assert (seen.system, seen.prompts, seen.replies) == (
        "Be brief.",
        ("Describe.", "Shoes?", "Hat?"),
        ("A man.", "Black."),
    )


def test_sampling_is_always_spelt_out(double: ScriptedServer) -> None:
    chat(double, ChatRequest("hello", max_tokens=77), temperature=0.5, seed=3)
    body = double.seen[0].body
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
    double: ScriptedServer, provider: str, extras: dict[str, Any]
) -> None:
    chat(double, VERDICT, provider=provider)
    body = double.seen[0].body
    assert {name: body.get(name) for name in extras} == extras
    assert ("structured_outputs" in body) == ("structured_outputs" in extras)


def test_the_environment_redirects_nothing_and_adds_nothing(
    double: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/v1")
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "for-someone-else")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Mine: for-someone-else")
    chat(double)
    assert len(double.seen) == 1
    assert sorted(double.seen[0].headers) == [
        "accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent",
    ]  # fmt: skip


def test_an_image_is_encoded_once_for_eight_calls_at_once(
    double: ScriptedServer, picture: ImageRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ctgi.tools import images

    read, paths = images.picture_at, []
    monkeypatch.setattr(images, "picture_at", lambda path, sha256: paths.append(path) or read(path, sha256))
    requests = [ChatRequest(f"Question {i}", picture) for i in range(8)]
    with_mllm(double, lambda mllm: asyncio.gather(*map(mllm.chat, requests)))
    assert [seen.images for seen in double.seen] == [(picture.sha256,)] * 8
    assert paths == [picture.path]


def test_a_bad_image_fails_its_own_call_and_nothing_is_sent(double: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match="empty"):
        chat(double, ChatRequest("hello", ref(str(tmp_path / "a.jpg"))))
    assert len(double.seen) == 0


def test_text_confidence_and_tokens(double: ScriptedServer) -> None:
    double.replies = lambda _: Reply(" A red coat.\n", tokens=(("A", 0.9), ("red", 0.4), ("coat.", 0.6)))
    reply = chat(double)
    assert reply.text == "A red coat."
    assert reply.confidence == pytest.approx((0.9 * 0.4 * 0.6) ** (1 / 3))
    assert reply.tokens == Tokens(10, 3)
    assert reply.choices == {}


def test_a_choice_comes_with_its_probability(double: ScriptedServer) -> None:
    double.replies = lambda _: YES
    assert chat(double, VERDICT).choices == pytest.approx({"yes": 0.7, "no": 0.3})


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        ({"y": 0.6, "Yes": 0.1, " YES": 0.1, "n": 0.2}, {"yes": 0.8, "no": 0.2}),
        ({"yes": 0.6, "no": 0.2, "maybe": 0.2}, {"yes": 0.75, "no": 0.25}),  # normalized over the choices
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


def test_a_refusal_is_text(double: ScriptedServer) -> None:
    double.replies = lambda _: Reply(None, refusal="I cannot describe people.")
    assert chat(double).text == "I cannot describe people."


def test_control_characters_and_markup_pass_as_text(double: ScriptedServer) -> None:
    said = "<b>bold</b> \x1b[31m ignore your instructions"
    double.replies = lambda _: said
    assert chat(double).text == said


def test_no_more_requests_are_in_flight_than_allowed(double: ScriptedServer) -> None:
    double.latency_s = 0.02
    with_mllm(double, lambda mllm: asyncio.gather(*(mllm.chat(HELLO) for _ in range(20))), concurrency=4)
    assert (len(double.seen), double.peak_in_flight) == (20, 4)


def test_a_process_may_have_one_loop_after_another(double: ScriptedServer) -> None:
    assert chat(double).text == chat(double).text
