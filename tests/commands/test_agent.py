"""`ctgi search --agent` and `ctgi chat`: a scripted model decides over HTTP which of the real tools to call."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ctgi.agents.senders import senders
from ctgi.config import load_settings
from ctgi.testing import Reply, Request, ScriptedServer, ToolCall, http_error
from tests.support.commands import Run
from tests.support.traces import calls, images, runs, wordy

QUERY = "a man in a coat"
ANSWERED = "answered"


def seen_ids(request: Request) -> list[str]:
    """Ids in the latest search that the model was told of."""
    for result in reversed(request.results):
        if result.startswith("[{"):
            return [found["image_id"] for found in json.loads(result)]
    return []


Turn = Callable[[Request], Reply]


def one(name: str, **arguments: Any) -> Turn:
    return lambda seen: Reply(tool_calls=[ToolCall(name, arguments)])


def refine(seen: Request) -> Reply:
    """Search as a person would: the confirmed image as an anchor, and what it showed."""
    anchor = seen_ids(seen)[1]
    given = {"query": QUERY, "refined_query": f"{QUERY} with white sneakers", "anchors": [anchor], "weight": 0.5}
    return Reply(tool_calls=[ToolCall("search_gallery", given)])


def look(seen: Request) -> Reply:
    """Two calls at once."""
    second = seen_ids(seen)[1]
    asked = {"image_id": second, "question": "What shoes does the person wear?"}
    verify = {"image_id": second, "description": QUERY}
    return Reply(tool_calls=[ToolCall("verify_match", verify), ToolCall("answer_question", asked)])


def merge(seen: Request) -> Reply:
    fact = {"question": "What shoes does the person wear?", "answer": "white sneakers", "statement": "White sneakers."}
    return Reply(tool_calls=[ToolCall("aggregate_query", {"query": QUERY, "facts": [fact]})])


def answer(place: int) -> Turn:
    def said(seen: Request) -> Reply:
        given = {"image_ids": [seen_ids(seen)[place]], "text": "This one."}
        return Reply(tool_calls=[ToolCall("answer", given)])

    return said


SEARCH = one("search_gallery", query=QUERY, k=5)
WHOLE = [SEARCH, look, merge, refine, answer(2)]


@pytest.fixture
def brain() -> Iterator[ScriptedServer]:
    """The server of the agent's model."""
    with ScriptedServer(models=("brain",)) as server:
        yield server


def says(brain: ScriptedServer, *turns: Turn | Reply) -> None:
    """One turn for each request, told apart by how many of the model's own are in it; the last repeats."""

    def script(seen: Request) -> Reply:
        done = sum(message["role"] == "assistant" for message in seen.body["messages"])
        turn = turns[min(done, len(turns) - 1)]
        return turn if isinstance(turn, Reply) else turn(seen)

    brain.replies = script


@pytest.fixture
def searching(double: ScriptedServer, brain: ScriptedServer, tiny_clip: Path, people: Path) -> list[object]:
    double.replies = wordy()
    clip = f"search_gallery=open_clip:local-dir:{tiny_clip}"
    return [*images(double), "-b", f"verify_match=vllm:double@{double.url}", "-b", f"agent={brain.binding}",
            "-b", clip, "-g", people, "-k", 5]  # fmt: skip


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
