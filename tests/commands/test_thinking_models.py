"""Models that think aloud, or that do not come to an end: no thought and no half reply is a caption or a verdict."""

import json
from pathlib import Path

import pytest

from ctgi.testing import Reply, Request, ScriptedServer
from tests.support.commands import Run
from tests.support.traces import images

THOUGHTS = "The user wants me to look. I see a person, no bag. There may be a hat, I look again."


def _answer(seen: Request) -> str:
    if "yes or no" in seen.prompts[-1]:
        return "yes"
    return "a black hat" if "few words" in seen.prompts[-1] else "A woman in a red coat."


def _thinks(before: str, after: str) -> object:
    """A model whose words are its tokens: thoughts, then the answer, as far as the limit goes."""

    def reply(seen: Request) -> Reply:
        words = f"{before}{THOUGHTS}{after}{_answer(seen)}".split(" ")
        limit = seen.body["max_tokens"]
        cut = len(words) > limit
        tokens = tuple((word, 0.9) for word in words[:limit])
        top = {"no": 0.9, "<think>": 0.1}
        return Reply(" ".join(words[:limit]), tokens=tokens, top=top, finish_reason="length" if cut else "stop")

    return reply


THINKING = [_thinks("<think>\n", "\n</think>\n\n"), _thinks("", " </think> "), _thinks("◁think▷", "◁/think▷")]


@pytest.mark.parametrize("thinks", THINKING, ids=["tags", "opened by the template", "other tags"])
def test_thoughts_are_in_no_caption_and_counted(
    ctgi: Run, double: ScriptedServer, people: Path, thinks: object, caplog: pytest.LogCaptureFixture
) -> None:
    double.replies = thinks
    done = ctgi("caption", people, *images(double), "--limit", 2, "--turns", 1, "--json")
    assert done.code == 0, done.err
    for line in Path("captions.jsonl").read_text().splitlines():
        assert json.loads(line)["initial_caption"] == "A woman in a red coat."
        assert json.loads(line)["turns"][0]["answer"] == "a black hat"
    assert done.json["thoughts"] == 4
    assert "the model thinks aloud" in caplog.text
    trace = next(Path(".ctgi/traces").rglob("*.jsonl")).read_text(encoding="utf-8").splitlines()
    calls = [call for call in map(json.loads, trace) if call["t"] == "call"]
    assert min(call["thoughts"] for call in calls if call["tool"] == "caption_image") > 40
    again = ctgi("caption", people, *images(double), "--limit", 2, "--turns", 1, "--json", "--out", "again.jsonl")
    assert (again.json["cached"], again.json["thoughts"]) == (4, 4)


@pytest.mark.parametrize("thinks", THINKING, ids=["tags", "opened by the template", "other tags"])
def test_a_verdict_waits_for_the_end_of_its_thought(
    ctgi: Run, double: ScriptedServer, searching: list[object], thinks: object
) -> None:
    double.replies = thinks
    done = ctgi(*searching, "--json")
    assert done.code == 0, done.err
    assert [(found["match"], found["text"], found["probability"]) for found in done.json["verified"]] == [
        (True, "yes", None)
    ]


def test_a_verdict_cut_inside_a_thought_is_an_error_that_names_its_cure(
    ctgi: Run, double: ScriptedServer, searching: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    double.replies = THINKING[0]
    monkeypatch.setenv("CTGI_ENDPOINTS__VLLM__MAX_TOKENS", "16")
    done = ctgi(*searching, "--json")
    assert done.code == 1
    assert all("raise max_tokens under [endpoints.vllm]" in found["error"] for found in done.json["verified"])
    assert not done.json["anchors"]


def test_a_reply_cut_at_its_limit_is_no_caption(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    double.replies = lambda seen: Reply("A woman in a red coat who is carrying a", finish_reason="length")
    done = ctgi("caption", people, *images(double), "--limit", 2, "--json")
    assert (done.code, done.json["captioned"], len(done.json["failed"])) == (1, 0, 2)
    assert all("cut off at 2,048 tokens" in failed["reason"] for failed in done.json["failed"])
    assert sorted(seen.body["max_tokens"] for seen in double.seen) == [256, 256, 2048, 2048]  # two images at once


@pytest.mark.parametrize("tool", ["reconstruct_caption", "answer_question"])
def test_no_tool_takes_half_a_text(ctgi: Run, double: ScriptedServer, people: Path, tool: str) -> None:
    said = {"reconstruct_caption": "Rewrite the description", "answer_question": "few words"}[tool]
    double.replies = lambda seen: Reply(_answer(seen), finish_reason="length" if said in seen.prompts[-1] else "stop")
    bound = [*images(double), "--bind", f"reconstruct_caption=vllm:double@{double.url}"]
    done = ctgi("caption", people, *bound, "--limit", 1, "--turns", 1, "--json")
    assert (done.code, done.json["captioned"]) == (1, 0)
    assert "raise max_tokens" in done.json["failed"][0]["reason"]
