"""`ctgi.testing`: models that answer from a script, as users' own tests see them."""

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from openai import APIConnectionError, BadRequestError, OpenAI

import ctgi
from ctgi.testing import MALFORMED, Reply, Request, ScriptedMllm, ScriptedServer, ToolCall, UnscriptedError
from ctgi.tools.backends import ChatReply, ChatRequest

HEAVY = ("faiss", "httpx2", "langgraph", "numpy", "open_clip", "openai", "torch", "transformers")
SEARCH = {"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}
BOTH = Reply(tool_calls=[ToolCall("search", {"query": "a bag"}), ToolCall("verify", '{"image": ')])


def said(model: ScriptedMllm, *prompts: str) -> list[str]:
    async def ask() -> list[str]:
        return [(await model.chat(ChatRequest(prompt))).text for prompt in prompts]

    return asyncio.run(ask())


def client(server: ScriptedServer) -> OpenAI:
    return OpenAI(base_url=server.url, api_key="any", max_retries=0)


def ask(server: ScriptedServer, prompt: str = "Who?", **more: Any) -> Any:
    messages = [{"role": "user", "content": prompt}]
    return client(server).chat.completions.create(model="scripted", messages=messages, **more)


def test_import_is_light() -> None:
    code = f"import ctgi.testing, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_phrases_decide_in_their_order_and_in_any_case() -> None:
    model = ScriptedMllm({"What Color": "red", "what": "a bag", "": "not visible"})
    assert said(model, "what color is it?", "WHAT is that?", "Who?") == ["red", "a bag", "not visible"]
    assert [request.prompt for request in model.seen] == ["what color is it?", "WHAT is that?", "Who?"]


def test_replies_come_one_after_the_other_and_end() -> None:
    model = ScriptedMllm(["a man", ChatReply("red", confidence=0.5)])
    assert said(model, "Describe.", "What color?") == ["a man", "red"]
    with pytest.raises(UnscriptedError, match=r"all 2 replies were given before the prompt 'And now\?'"):
        said(model, "And now?")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ScriptedMllm({"color": "red"}), r"none of the phrases \['color'\] occurs in the prompt 'Who\?'"),
        (ScriptedMllm(limit=0), r"asked more than 0 times: 'Who\?'"),
        (ScriptedMllm([]), "all 0 replies"),
    ],
)
def test_what_is_not_scripted_is_no_reply(model: ScriptedMllm, message: str) -> None:
    with pytest.raises(UnscriptedError, match=message):
        said(model, "Who?")


def test_an_exception_in_the_script_is_raised() -> None:
    model = ScriptedMllm({"color": ctgi.ToolError("too dark"), "": "a bag"})
    with pytest.raises(ctgi.ToolError, match="too dark"):
        said(model, "What color?")
    assert said(model, "What?") == ["a bag"]


def test_a_model_of_a_module_is_named_by_python(people: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = 'from ctgi.testing import ScriptedMllm\nmodel = ScriptedMllm({"describe": "A man.", "": "not visible"})\n'
    (tmp_path / "my_doubles.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_doubles", raising=False)
    record = ctgi.caption_image(people / "0_a.png", bindings={"images": "python:my_doubles:model"})
    assert record.initial_caption == "A man."
    assert sys.modules["my_doubles"].model.seen[0].image is not None


def test_two_models_in_one_session_keep_apart(people: Path) -> None:
    describing, answering = ScriptedMllm("A man."), ScriptedMllm("not visible")
    bindings = {"caption_image": describing, "answer_question": answering}
    with ctgi.Session(bindings=bindings, mtg={"turns": 2}) as session:
        session.caption_image(people / "0_a.png")
    assert (len(describing.seen), len(answering.seen)) == (1, 2)


def test_parallel_calls_and_malformed_arguments_reach_the_client_and_their_results_the_server() -> None:
    with ScriptedServer([BOTH, "Person 7."]) as server:
        choice = ask(server, tools=[SEARCH]).choices[0]
        first, second = choice.message.tool_calls
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
        assert json.loads(first.function.arguments) == {"query": "a bag"}
        assert (second.function.name, second.function.arguments) == ("verify", '{"image": ')
        assert first.id != second.id
        results = [{"role": "tool", "tool_call_id": call.id, "content": call.id} for call in (first, second)]
        history = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
        last = client(server).chat.completions.create(
            model="scripted", messages=[*history, choice.message, *results], tools=[SEARCH]
        )
    assert last.choices[0].message.content == "Person 7."
    assert server.seen[0].tools == ("search",)
    assert server.seen[1].results == (first.id, second.id)
    assert (server.seen[1].system, server.seen[1].prompt) == ("Be brief.", "Who?")


def test_no_two_calls_share_an_id() -> None:
    with ScriptedServer(BOTH) as server:
        ids = [call.id for _ in range(3) for call in ask(server).choices[0].message.tool_calls]
    assert len(set(ids)) == 6


def test_a_stream_says_what_the_reply_says() -> None:
    with ScriptedServer([Reply("a man  in red"), BOTH]) as server:
        text = list(ask(server, stream=True, stream_options={"include_usage": True}))
        calls = [
            call
            for chunk in ask(server, stream=True)
            for choice in chunk.choices
            for call in choice.delta.tool_calls or []
        ]
    assert "".join(choice.delta.content or "" for chunk in text for choice in chunk.choices) == "a man  in red"
    assert text[-2].choices[0].finish_reason == "stop"
    assert text[-1].usage.completion_tokens == 4
    assert [(call.index, call.function.name) for call in calls] == [(0, "search"), (1, "verify")]


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ({"color": "red"}, "none of the phrases"),
        ([], "all 0 replies were given"),
        (lambda request: request.nonsense, "AttributeError"),
        (lambda request: 7, "AttributeError"),
    ],
)
def test_a_request_that_the_script_cannot_answer_says_why(replies: Callable[[Request], str], reason: str) -> None:
    with ScriptedServer(replies) as server, pytest.raises(BadRequestError, match=reason):
        ask(server)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"model": "scripted"}', b"KeyError: 'messages'"),
        (b'{"model": "scripted", "messages": [], "structured_outputs": ["yes"]}', b"AttributeError"),
    ],
)
def test_what_is_no_chat_request_is_told_and_not_counted(body: bytes, reason: bytes) -> None:
    with ScriptedServer() as server:
        asked = urllib.request.Request(f"{server.url}/chat/completions", body, method="POST")
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(asked, timeout=10)
        assert b"this is no chat request: " + reason in error.value.read()
        error.value.close()
        ask(server)
    assert (len(server.seen), server.peak_in_flight) == (1, 1)


def test_faults_come_first_and_a_script_can_be_exchanged() -> None:
    with ScriptedServer("a man") as server:
        server.faults += [Reply("first"), MALFORMED]
        assert ask(server).choices[0].message.content == "first"
        with pytest.raises(json.JSONDecodeError):
            ask(server)
        assert ask(server).choices[0].message.content == "a man"
        server.replies = {"who": "a woman"}
        assert ask(server).choices[0].message.content == "a woman"


def test_a_script_may_stop_its_server() -> None:
    def last_words(request: Request) -> str:
        server.stop()
        return "bye"

    with ScriptedServer(last_words) as server:
        with suppress(APIConnectionError):  # its reply may still get through
            ask(server)
        server.stop()
        with pytest.raises(APIConnectionError):
            ask(server)


def test_a_server_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "ctgi.testing", "--model", "mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            models = OpenAI(base_url=url, api_key="any").models.list()
            assert [model.id for model in models] == ["mine"]
        finally:
            process.kill()
