"""What models say besides the answer, or in other languages: captions stay prose, verdicts are read or reported."""

import json
from pathlib import Path

import pytest

from ctgi.testing import Reply, Request, ScriptedServer
from tests.support.commands import Run
from tests.support.traces import images

MARKED = (
    "Here is a description of the person in the image:\n\n### Clothing\n- **Top:** red coat\n- **Bottom:** blue jeans\n"
    "\nLet me know if you need more details!"
)


def _speaks(caption: str, answer: str, verdict: str) -> object:
    def reply(seen: Request) -> Reply:
        if "yes or no" in seen.prompts[-1]:
            return Reply(verdict)
        return Reply(answer if "few words" in seen.prompts[-1] else caption)

    return reply


def test_markdown_and_talk_stay_in_the_trace_alone(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    double.replies = _speaks(MARKED, "**Answer:** a *black* hat", "yes")
    done = ctgi("caption", people, *images(double), "--limit", 1, "--turns", 1, "--json")
    assert done.code == 0, done.err
    record = json.loads(Path("captions.jsonl").read_text())
    assert record["initial_caption"] == "The person wears a red coat and blue jeans."
    assert record["turns"][0]["answer"] == "a black hat"
    trace = next(Path(".ctgi/traces").rglob("*.jsonl")).read_text(encoding="utf-8")
    assert "Let me know if you need more details!" in trace


def test_captions_in_another_language_are_kept_and_counted(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    double.replies = _speaks("一名女子穿着红色外套。", "黑色的背包", "是的")
    done = ctgi("caption", people, *images(double), "--limit", 2, "--json")
    assert (done.code, done.json["not_english"]) == (0, 2)
    assert "2 of 2 new captions have answers that are not English" in done.err
    turns = [turn for line in Path("captions.jsonl").read_text().splitlines() for turn in json.loads(line)["turns"]]
    assert any(turn["kept"] for turn in turns)
    assert {turn["reason"] for turn in turns if not turn["kept"]} == {"redundant: 1.00 similar to what is known"}


def test_a_weak_anchor_that_takes_rank_1_is_told(ctgi: Run, double: ScriptedServer, searching: list[object]) -> None:
    asked: list[str] = []

    def third_is_just_a_yes(seen: Request) -> Reply:
        if not seen.choices:
            return Reply("a red bag")
        asked.extend(image for image in seen.images if image not in asked)
        yes = 0.61 if len(asked) > 2 else 0.1
        return Reply("yes" if yes > 0.5 else "no", top={"yes": yes, "no": 1 - yes})

    double.replies = third_is_just_a_yes
    options = [*searching, "--lam", 0, "--no-cache", "--html", "page.html"]
    found = ctgi(*options, "--json").json
    anchor = found["anchors"][0]
    assert anchor["weak"].startswith("P(yes) 0.61")
    first = found["results"][0]
    assert (first["sha256"], first["rank_before"] > 1) == (anchor["sha256"], True)
    best = next(one["path"] for one in found["results"] if one["rank_before"] == 1)
    assert found["overruled"] == best
    asked.clear()
    told = " ".join(ctgi(*options).out.split())
    assert "weak anchor: " in told and f"whose own best is {best}" in told
    page = Path("page.html").read_text(encoding="utf-8")
    assert "Weak anchor" in page and "own best is" in page


@pytest.mark.parametrize(
    ("reply", "calls"),
    [
        (Reply("I'm sorry, I can't help with identifying people."), 2),
        (Reply("A woman in a", finish_reason="length"), 4),
    ],
)
def test_calls_and_tokens_count_although_every_image_fails(
    ctgi: Run, double: ScriptedServer, people: Path, reply: Reply, calls: int
) -> None:
    double.replies = lambda request: reply
    done = ctgi("caption", people, *images(double), "--limit", 2, "--json")
    assert (done.code, done.json["captioned"], len(double.seen)) == (1, 0, calls)
    assert done.json["calls"] == 2
    assert done.json["tokens"]["output"] == calls * len(str(reply.text).split())


def test_calls_of_your_own_code_count(ctgi: Run, people: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "counted_code.py").write_text("def answer(image, prompt):\n    return 'a person in a red coat'\n")
    monkeypatch.syspath_prepend(work)
    done = ctgi("caption", people, "--bind", "images=python:counted_code:answer", "--limit", 1, "--turns", 2, "--json")
    assert (done.code, done.json["calls"], done.json["cached"]) == (0, 3, 0)


@pytest.mark.parametrize(
    ("verdict", "matches", "code"), [("是的，匹配。", True, 0), ("不匹配。", False, 0), ("这是一张照片。", False, 1)]
)
def test_a_verdict_in_another_language_is_read_or_reported_as_unread(
    ctgi: Run, double: ScriptedServer, searching: list[object], verdict: str, matches: bool, code: int
) -> None:
    double.replies = _speaks("一名女子", "黑色的背包", verdict)
    done = ctgi(*searching, "--json")
    assert done.code == code, done.err
    first = done.json["verified"][0]
    assert (first["match"], bool(first["error"])) == (matches, bool(code))
    assert ("unread" in done.err and verdict in done.err) is bool(code)
    assert done.json["not_english"] == len(done.json["dialogue"])
