"""[prompts]: the user's own words, or the paper's, reach the model; a trace keeps them."""

from pathlib import Path
from typing import Any

import pytest

from ctgi.agents.assemble import Models, serve_tools
from ctgi.agents.pool import load_pool
from ctgi.config import load_settings
from ctgi.errors import CtgiError
from ctgi.runs.digests import digests
from ctgi.settings_tables import PromptSettings
from ctgi.testing import ScriptedServer
from tests.support.commands import Run
from tests.support.traces import images, lines, runs, wordy


def caption(ctgi: Run, double: ScriptedServer, people: Path, prompts: str, *more: str) -> Any:
    """One image captioned with these prompts and two questions; what the model was sent."""
    Path("ctgi.toml").write_text(f"[mtg]\nturns = 2\n[prompts]\n{prompts}\n")
    double.replies = wordy()
    first = len(double.seen)
    model = f"reconstruct_caption=vllm:double@{double.url}"
    done = ctgi("caption", people / "0_a.png", *images(double), "-b", model, "--out", "one.jsonl", *more)
    assert done.code == 0, done.err
    return double.seen[first:]


def test_the_papers_words_are_a_set(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    described, asked, _, rewritten = caption(ctgi, double, people, 'set = "paper"')
    assert described.prompt == "Describe the person in the image as clearly and concisely as possible."
    assert asked.prompts[0] == described.prompt
    assert asked.prompt.startswith("Answer the question from the image, concisely.\n")
    assert rewritten.prompt.endswith("Make it detailed and fluent.")
    assert {request.system for request in double.seen} == {""}
    assert all(message["role"] != "system" for request in double.seen for message in request.body["messages"])


def test_ones_own_words_take_their_place(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    own = 'system = "Be kind."\nanswer = "Frage: {question}"'
    described, asked, *_ = caption(ctgi, double, people, own)
    assert described.system == "Be kind."
    assert described.prompt.startswith("Describe the person in this image")
    assert asked.prompt.startswith("Frage: What ")


def test_a_trace_keeps_the_words_for_a_replay(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    caption(ctgi, double, people, 'caption = "Who is it?"')
    (run,) = runs()
    header = lines(run)[0]
    assert header["settings"]["prompts"]["caption"] == "Who is it?"
    Path("ctgi.toml").write_text("")
    again = ctgi("trace", "replay", run, "--json")
    assert again.code == 0, again.err
    assert again.json["identical"] == 1
    assert header["digests"]["prompts/caption.txt"] != digests(None)["prompts/caption.txt"]
    assert header["digests"]["prompts/verify.txt"] == digests(None)["prompts/verify.txt"]


def test_the_embedded_model_keeps_the_words_that_it_was_trained_by(double: ScriptedServer) -> None:
    settings = load_settings(prompts={"set": "paper"}, binds=[f"verify_match=vllm:double@{double.url}"])
    tools = serve_tools(settings, ["answer_question", "verify_match"], load_pool(), Models())
    assert tools["answer_question"].wording("system").startswith("You help to find a person")
    assert tools["verify_match"].wording("system") == ""


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("verify", "Is it so?", r"prompts\.verify.*expected \{description\} and no other braces"),
        ("verify", "{description.__class__}", r"expected \{description\} and no other braces"),
        ("aggregate", "{query} {facts} {image}", r"expected \{facts\} and \{query\} and no other braces"),
        ("answer", "{question", r"expected \{question\} and no other braces"),
        ("caption", "", r"prompts\.caption"),
        ("captoin", "x", "did you mean caption"),
        ("set", "ppaper", "did you mean paper"),
    ],
)
def test_a_prompt_that_would_lose_what_belongs_into_it_is_refused(name: str, text: str, told: str) -> None:
    with pytest.raises(CtgiError, match=told):
        load_settings(prompts={name: text})


def test_braces_can_be_written() -> None:
    own = PromptSettings(answer='{{"q": "{question}"}}', propose="{query} {count}").own()
    assert own["answer"].format(question="What?") == '{"q": "What?"}'
