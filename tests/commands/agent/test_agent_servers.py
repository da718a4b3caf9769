"""`ctgi search --agent`: servers that call no tools, refuse fields or are busy, and bindings that cannot."""

import json
from pathlib import Path

import pytest

from ctgi.testing import Reply, ScriptedServer, http_error
from tests.support.agent_turns import (
    QUERY,
    SEARCH,
    answer,
    says,
)
from tests.support.commands import Run

FLAGS = "--enable-auto-tool-choice --tool-call-parser hermes"


def test_a_model_that_calls_nothing_is_an_error_that_names_servers_that_do(
    ctgi: Run, searching: list[object], brain: ScriptedServer
) -> None:
    says(brain, Reply("I am a language model."))
    done = ctgi("search", QUERY, *searching, "--agent")
    assert done.code == 1
    assert "called no tool, and said: 'I am a language model.'" in done.err
    assert FLAGS in done.err


def test_calls_that_the_server_passes_on_as_text_are_an_error(
    ctgi: Run, searching: list[object], brain: ScriptedServer
) -> None:
    says(brain, Reply('<tool_call>{"name": "search_gallery"}</tool_call>'))
    done = ctgi("search", QUERY, *searching, "--agent")
    assert done.code == 2
    assert FLAGS in done.err


def test_a_server_that_refuses_tools_is_an_error(ctgi: Run, searching: list[object], brain: ScriptedServer) -> None:
    brain.faults.append(http_error(400, '"auto" tool choice requires --enable-auto-tool-choice to be set'))
    done = ctgi("search", QUERY, *searching, "--agent")
    assert done.code == 2
    assert "refuses tools" in done.err
    assert FLAGS in done.err


@pytest.mark.parametrize("refused", ["temperature", "seed", "max_completion_tokens"])
def test_a_field_that_the_agents_server_refuses_is_left_out_or_renamed(
    ctgi: Run, searching: list[object], brain: ScriptedServer, refused: str
) -> None:
    says(brain, SEARCH, answer(0))
    brain.rejects = {refused: 400}
    done = ctgi("search", QUERY, *searching, "--agent", "--json")
    assert done.code == 0, done.err
    assert [refused in request.body for request in brain.seen] == [True, False, False]
    assert ("max_tokens" in brain.seen[-1].body) == (refused == "max_completion_tokens")


def test_the_agents_requests_have_the_form_that_its_endpoint_asks_for(
    ctgi: Run, searching: list[object], brain: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KEY", "agent-secret")
    Path("ctgi.toml").write_text(
        '[endpoints.far]\nprovider = "vllm"\nleave_out = ["temperature", "system", "max_completion_tokens"]\n'
        f'base_url = "{brain.url}"\nheaders = {{api-key = "env:AGENT_KEY"}}\n'
        "extra_body = {chat_template_kwargs = {enable_thinking = false}}\n"
    )
    says(brain, SEARCH, answer(0))
    done = ctgi("search", QUERY, *searching, "-b", "agent=far:brain", "--agent", "--json")
    assert done.code == 0, done.err
    sent = brain.seen[-1]
    assert sent.body["chat_template_kwargs"] == {"enable_thinking": False}
    assert {"temperature", "max_completion_tokens"}.isdisjoint(sent.body)
    assert sent.body["max_tokens"] == 2048
    assert sent.headers["api-key"] == "agent-secret"
    assert [message["role"] for message in sent.body["messages"]][:2] == ["user", "assistant"]
    assert sent.prompts[0].startswith("You help to find one person") and sent.prompts[0].endswith(QUERY)


def test_a_busy_server_is_asked_again_and_a_wrong_key_is_said(
    ctgi: Run, searching: list[object], brain: ScriptedServer
) -> None:
    says(brain, SEARCH, answer(0))
    brain.faults.append(http_error(503))
    assert ctgi("search", QUERY, *searching, "--agent").code == 0
    brain.key = "secret"
    done = ctgi("search", QUERY, *searching, "--agent", "--no-cache")
    assert done.code == 2
    assert "key" in done.err


def test_what_the_environment_says_of_openai_does_not_reach_another_server(
    ctgi: Run,
    searching: list[object],
    brain: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("API_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", "theirs")
    for name in ("BASE_URL", "API_BASE", "PROXY"):
        monkeypatch.setenv(f"OPENAI_{name}", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    says(brain, SEARCH, answer(0))
    done = ctgi("search", QUERY, *searching, "--agent")
    assert done.code == 0
    assert "proxy" not in done.err
    assert not caplog.records
    assert "theirs" not in json.dumps(dict(brain.seen[0].headers))


@pytest.mark.parametrize("spec", ["embedded", "human", "templates", "python:tests:x", "hf:some/model"])
def test_a_backend_that_cannot_call_tools_is_refused_before_any_call(
    ctgi: Run, searching: list[object], spec: str
) -> None:
    done = ctgi("search", QUERY, *searching, "-b", f"agent={spec}", "--agent")
    assert done.code == 2
    assert FLAGS in done.err


def test_without_a_binding_the_command_says_how_to_bind_one(ctgi: Run, people: Path) -> None:
    for command in (["search", QUERY, "--agent"], ["chat"]):
        done = ctgi(*command, "-g", people)
        assert done.code == 2
        assert "--bind agent=" in done.err


def test_options_of_the_fixed_dialogue_are_refused(ctgi: Run, searching: list[object]) -> None:
    done = ctgi("search", QUERY, *searching, "--agent", "--lam", 0.5)
    assert done.code == 2
    assert "--lam: without effect with --agent" in done.err
