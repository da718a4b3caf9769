"""`ctgi search --agent`: budgets, wrong calls and broken replies end with the best ranking so far."""

import pytest

from ctgi.testing import Reply, ScriptedServer, ToolCall, http_error
from tests.support.agent_turns import QUERY, SEARCH, answer, one, says
from tests.support.commands import Run
from tests.support.traces import calls, runs


def test_an_endless_loop_is_stopped_by_the_budget_with_the_best_ranking_so_far(
    ctgi: Run, searching: list[object], brain: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTGI_AGENT__CALLS", "7")
    says(brain, SEARCH)  # for ever

    done = ctgi("search", QUERY, *searching, "--agent", "--json")

    assert done.code == 1
    assert "its 7 calls are spent" in done.err
    assert done.json["stopped"] == "its 7 calls are spent"
    assert done.json["calls"] == {"agent": 7, "search_gallery": 8}
    assert len(done.json["results"]) == 5


def test_of_five_hundred_calls_at_once_only_the_budget_is_made(
    ctgi: Run, searching: list[object], brain: ScriptedServer
) -> None:
    many = [ToolCall("search_gallery", {"query": QUERY, "k": 3})] * 500
    says(brain, Reply(tool_calls=many))
    done = ctgi("search", QUERY, *searching, "--agent", "--json")
    assert done.code == 1
    assert done.json["calls"] == {"agent": 1, "search_gallery": 41}
    assert len(done.json["results"]) == 5


def test_tokens_are_a_budget_too(
    ctgi: Run, searching: list[object], brain: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTGI_AGENT__TOKENS", "25")
    says(brain, SEARCH)
    done = ctgi("search", QUERY, *searching, "--agent", "--json")
    assert done.json["stopped"] == "its 25 tokens are spent (30)"
    assert done.json["calls"]["agent"] == 3


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (ToolCall("search_gallery", '{"query": '), "the arguments are no JSON object: '{\"query\": '"),
        (ToolCall("search_gallery", "[1]"), "the arguments are no JSON object"),
        (ToolCall("find_person", {"query": QUERY}), "no tool is called 'find_person': the tools are search_gallery"),
        (ToolCall("search_gallery", {"query": QUERY, "k": 0}), "k: Input should be greater than or equal to 1"),
        (
            ToolCall("verify_match", {"image_id": "/etc/passwd", "description": "x"}),
            "no image has the id '/etc/passwd'",
        ),
        (ToolCall("answer", {"image_ids": ["nobody"]}), "no image has the id 'nobody'"),
    ],
)
def test_a_wrong_call_is_told_to_the_model_which_goes_on(
    ctgi: Run, searching: list[object], brain: ScriptedServer, call: ToolCall, told: str
) -> None:
    says(brain, Reply(tool_calls=[call]), SEARCH, answer(1))
    done = ctgi("search", QUERY, *searching, "--agent", "--json")
    assert done.code == 0, done.err
    assert told in brain.seen[1].results[0]
    assert done.json["named"] == 1


def test_marks_of_thoughts_in_a_call_are_its_words(ctgi: Run, searching: list[object], brain: ScriptedServer) -> None:
    says(brain, one("search_gallery", query="a man </think> in black", k=5), answer(1))
    done = ctgi("search", QUERY, *searching, "--agent", "--json")
    assert done.code == 0, done.err
    assert calls(runs()[-1], "search_gallery")[0]["args"]["query"] == "a man </think> in black"


def test_a_refusal_leaves_the_ranking_of_the_query(ctgi: Run, searching: list[object], brain: ScriptedServer) -> None:
    says(brain, Reply(refusal="I do not search for people."))
    done = ctgi("search", QUERY, *searching, "--agent", "--json")
    assert done.code == 1, done.err
    assert done.json["stopped"] == "the model refused: I do not search for people."
    plain = ctgi("search", QUERY, *searching[4:], "--no-mti", "--json")
    assert [one["path"] for one in done.json["results"]] == [one["path"] for one in plain.json["results"]]


def test_a_conversation_too_long_for_the_model_keeps_the_ranking(
    ctgi: Run, searching: list[object], brain: ScriptedServer
) -> None:
    too_long = http_error(400, "This model's maximum context length is 4096 tokens")
    brain.replies = [SEARCH(None), too_long]  # type: ignore[arg-type]
    done = ctgi("search", QUERY, *searching, "--agent", "--json")
    assert done.code == 1
    assert "maximum context length" in done.json["stopped"]
    assert len(done.json["results"]) == 5


@pytest.mark.parametrize(
    "cut",
    [
        Reply('<tool_call>\n{"name": "answer", "arguments": {"image_ids": ["', finish_reason="length"),
        Reply(tool_calls=[ToolCall("answer", '{"image_ids": ["')], finish_reason="length"),
    ],
)
def test_a_decision_that_was_cut_off_is_not_used_and_the_ranking_stays(
    ctgi: Run, searching: list[object], brain: ScriptedServer, cut: Reply
) -> None:
    says(brain, SEARCH, cut)
    done = ctgi("search", QUERY, *searching, "--agent", "--json")
    assert done.code == 1
    assert "cut off at 2,048 tokens" in done.json["stopped"]
    assert "raise max_tokens under [endpoints.vllm] in ctgi.toml" in done.json["stopped"]
    assert len(done.json["results"]) == 5
    says(brain, cut)
    first = ctgi("search", QUERY, *searching, "--agent", "--no-cache")
    assert (first.code, "cut off at 2,048 tokens" in first.err) == (1, True)


def test_an_answer_in_words_alone_keeps_the_ranking(ctgi: Run, searching: list[object], brain: ScriptedServer) -> None:
    says(brain, SEARCH, Reply("None of them."))
    done = ctgi("search", QUERY, *searching, "--agent", "--json")
    assert done.code == 0, done.err
    assert [done.json["answer"], done.json["named"], len(done.json["results"])] == ["None of them.", 0, 5]
