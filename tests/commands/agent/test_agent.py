"""`ctgi search --agent` and `ctgi chat`: a scripted model decides over HTTP which of the real tools to call."""

import io
import json
from pathlib import Path

import pytest

from ctgi.agents.senders import senders
from ctgi.config import load_settings
from ctgi.testing import Reply, Request, ScriptedServer, ToolCall, http_error
from tests.support.agent_turns import (
    QUERY,
    SEARCH,
    WHOLE,
    Turn,
    answer,
    one,
    says,
    seen_ids,
)
from tests.support.commands import Run
from tests.support.traces import calls, runs


def test_a_search_with_refinement_ends_with_the_images_that_the_agent_names(
    ctgi: Run, searching: list[object], brain: ScriptedServer
) -> None:
    says(brain, *WHOLE)

    done = ctgi("search", QUERY, *searching, "--agent", "--json")

    assert done.code == 0, done.err
    found = done.json
    assert found["refined_query"] == f"{QUERY} with white sneakers"
    assert found["calls"] == {
        "agent": 5, "search_gallery": 3, "verify_match": 1, "answer_question": 1, "aggregate_query": 1,
    }  # fmt: skip
    assert [(one["rank"], one["match"], one["probability"]) for one in found["verified"]] == [(2, True, 0.9)]
    assert [anchor["path"] for anchor in found["anchors"]] == [found["verified"][0]["path"]]
    (turn,) = found["dialogue"]
    assert (turn["answer"], turn["statement"], turn["kept"]) == ("white sneakers", "White sneakers.", True)
    last = json.loads(brain.seen[-1].results[-1])
    assert found["results"][0]["sha256"].startswith(last[2]["image_id"])
    assert [len(found["results"]), found["named"], found["answer"], found["stopped"]] == [5, 1, "This one.", None]
    others = [one["score"] for one in found["results"][1:]]
    assert others == sorted(others, reverse=True)
    assert found["bindings"]["agent"] == brain.binding


def test_the_model_sees_ids_and_no_paths(
    ctgi: Run, searching: list[object], brain: ScriptedServer, people: Path
) -> None:
    says(brain, *WHOLE)
    ctgi("search", QUERY, *searching, "--agent", "--json")
    sent = json.dumps([request.body for request in brain.seen])
    assert {request.prompts for request in brain.seen} == {(QUERY,)}
    assert str(people) not in sent
    assert ".png" not in sent
    assert brain.seen[0].tools == (
        "search_gallery", "caption_image", "answer_question", "verify_match", "propose_questions", "aggregate_query",
        "answer",
    )  # fmt: skip


def test_a_model_that_may_see_images_gets_those_that_it_asks_for_after_the_tools_reply(
    ctgi: Run, searching: list[object], brain: ScriptedServer, double: ScriptedServer, people: Path
) -> None:
    def look_again(seen: Request) -> Reply:
        second, third = seen_ids(seen)[1:3]
        calls = [ToolCall("caption_image", {"image_id": second, "show": True}),
                 ToolCall("verify_match", {"image_id": third, "description": QUERY})]  # fmt: skip
        return Reply(tool_calls=calls)

    Path("ctgi.toml").write_text("[agent]\npictures = true\n")
    says(brain, one("search_gallery", query=QUERY, k=5, show=2), look_again, answer(1))
    done = ctgi("search", QUERY, *searching, "--agent", "--json")
    assert done.code == 0, done.err

    last = brain.seen[-1]
    roles = [message["role"] for message in last.body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "user", "assistant", "tool", "tool", "user"]
    assert all(isinstance(message["content"], str) for message in last.body["messages"] if message["role"] == "tool")
    first, second = seen_ids(last)[:2]
    one_image, other, again = last.images
    assert one_image != other == again
    assert last.prompts == (QUERY, f"{first}:", f"{second}:", f"{second}:")
    assert str(people) not in json.dumps(last.body)
    assert "To see some yourself, set show" in last.system
    (run,) = runs()
    assert "base64" not in Path(f".ctgi/traces/{run}.jsonl").read_text()

    asked = len(brain.seen)
    assert ctgi("search", QUERY, *searching, "--agent", "--json").json["named"] == 1
    assert len(brain.seen) == asked  # from the cache
    brain.stop()
    double.stop()
    replayed = ctgi("trace", "replay", run, "--json")
    assert (replayed.code, replayed.json["identical"]) == (0, 1), replayed.err


def test_images_that_go_to_the_agents_model_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    far = "agent=vllm:big@http://far.example/v1"
    for sees, what in ((True, "images and texts"), (False, "texts")):
        settings = load_settings(binds=[far], agent={"pictures": sees})
        assert senders(settings, ["agent"]) == [f"these bindings send {what} to http://far.example/v1: agent"]
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        assert ("and the images that an agent sees" in senders(settings, ["agent"])[-1]) == sees
        monkeypatch.delenv("LANGSMITH_TRACING")


def test_a_picture_that_changed_is_said_to_the_model(
    ctgi: Run, searching: list[object], brain: ScriptedServer, people: Path
) -> None:
    def spoil(seen: Request) -> Reply:
        for image in people.glob("*.png"):
            image.write_bytes(b"gone")
        return Reply(tool_calls=[ToolCall("search_gallery", {"query": QUERY, "k": 3, "show": 1})])

    Path("ctgi.toml").write_text("[agent]\npictures = true\n")
    says(brain, SEARCH, spoil, answer(0))
    done = ctgi("search", QUERY, *searching, "--agent", "--json")
    assert done.code == 0, done.err
    assert "(cannot be shown: " in brain.seen[-1].prompts[-1]


def test_a_search_is_replayed_without_any_server_and_comes_out_the_same(
    ctgi: Run, searching: list[object], brain: ScriptedServer, double: ScriptedServer
) -> None:
    says(brain, *WHOLE)
    ctgi("search", QUERY, *searching, "--agent", "--json")
    (run,) = runs()
    brain.stop()
    double.stop()

    replayed = ctgi("trace", "replay", run, "--json")

    assert replayed.code == 0, replayed.err
    assert [replayed.json[name] for name in ("items", "identical", "live")] == [1, 1, 0]
    decided = calls(run, "agent")
    assert [one["node"] for one in decided] == ["decide"] * 5
    assert decided[0]["out"]["calls"][0]["name"] == "search_gallery"
    assert decided[0]["tokens"] == [10, 0]


def test_the_trace_shows_what_the_model_decided(
    ctgi: Run, searching: list[object], brain: ScriptedServer, tmp_path: Path
) -> None:
    says(brain, *WHOLE)
    ctgi("search", QUERY, *searching, "--agent")
    shown = ctgi("trace", "show").out
    assert f'2 messages -> search_gallery {{"query": "{QUERY}"' in shown
    assert "verify_match {" in shown
    assert ctgi("trace", "show", "--html", tmp_path / "page.html").code == 0
    assert "verify_match {" in (tmp_path / "page.html").read_text()


def test_a_second_search_takes_the_decisions_from_the_cache(
    ctgi: Run, searching: list[object], brain: ScriptedServer
) -> None:
    says(brain, *WHOLE)
    first = ctgi("search", QUERY, *searching, "--agent", "--json").json
    asked = len(brain.seen)
    second = ctgi("search", QUERY, *searching, "--agent", "--json").json
    assert len(brain.seen) == asked
    assert second["results"] == first["results"]
    assert {one["src"] for one in calls(runs()[-1], "agent")} == {"cache"}


def test_two_runs_are_compared(ctgi: Run, searching: list[object], brain: ScriptedServer) -> None:
    says(brain, *WHOLE)
    ctgi("search", QUERY, *searching, "--agent")
    says(brain, SEARCH, answer(0))
    ctgi("search", QUERY, *searching, "--agent", "--no-cache")
    told = ctgi("trace", "diff", *runs())
    assert told.code in (0, 1), told.err
    assert "agent" in told.out


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_a_conversation_asks_searches_shows_and_goes_on(
    ctgi: Run, searching: list[object], brain: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(brain, Reply("What does he wear?"), SEARCH, answer(1), SEARCH, answer(0))
    typed(monkeypatch, "a man", "a coat", "no, another one", "")

    done = ctgi("chat", *searching)

    assert done.code == 0, done.err
    assert "What does he wear?" in done.err
    assert done.out.count("rank") == 2
    assert brain.seen[-1].prompts == ("a man", "a coat", "no, another one")
    asked = [(one["args"]["question"], one["out"]["text"]) for one in calls(runs()[-1], "ask_user")]
    assert [text.split(" (")[0] for text, _ in asked] == ["What does he wear?", "This one.", "This one."]
    assert [text for _, text in asked] == ["a coat", "no, another one", ""]
    replayed = ctgi("trace", "replay", runs()[-1], "--json")
    assert replayed.json["identical"] == 1, replayed.err


@pytest.mark.parametrize("second", [SEARCH, http_error(400, "This model's maximum context length is 4096 tokens")])
def test_the_outcome_of_a_conversation_is_that_of_its_last_request(
    ctgi: Run, searching: list[object], brain: ScriptedServer, monkeypatch: pytest.MonkeyPatch, second: Turn | Reply
) -> None:
    monkeypatch.setenv("CTGI_AGENT__CALLS", "2")
    says(brain, SEARCH, answer(3), second)
    typed(monkeypatch, "a man", "another one", "")
    done = ctgi("chat", *searching, "--json")
    assert done.code == 1, done.err
    found = done.json
    assert found["stopped"]
    assert (found["named"], found["answer"]) == (0, "")
    scores = [one["score"] for one in found["results"]]
    assert scores == sorted(scores, reverse=True)


def test_a_closed_terminal_ends_the_conversation(
    ctgi: Run, searching: list[object], brain: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(brain, SEARCH, answer(0))
    typed(monkeypatch, "a man")
    done = ctgi("chat", *searching, "--json")
    assert done.code == 0, done.err
    assert done.json["named"] == 1
    assert "rank" in done.err


def test_an_interactive_search_lets_the_agent_ask_the_person(
    ctgi: Run, searching: list[object], brain: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(brain, one("ask_user", question="Which bag?"), SEARCH, answer(0))
    typed(monkeypatch, "a red one")
    done = ctgi("search", QUERY, *searching, "--agent", "-i", "--json")
    assert done.code == 0, done.err
    assert "a red one" in brain.seen[1].results
    assert [(turn["question"], turn["answer"], turn["anchor"]) for turn in done.json["dialogue"]] == [
        ("Which bag?", "a red one", None)
    ]
