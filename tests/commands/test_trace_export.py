"""`ctgi trace export --to sft`: the verdicts of a run as dialogues with images, with what is right as the reply."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from ctgi.testing import Reply, Request, ScriptedServer
from tests.support.commands import Run
from tests.support.people_dataset import save_people_dataset
from tests.support.traces import calls, read, runs, wordy


def no(seen: Request) -> Any:
    """Nobody matches, and about one candidate nothing can be said."""
    if not seen.choices:
        return wordy()(seen)
    return Reply("no", top={"yes": 0.2, "no": 0.8})


@pytest.fixture
def searched(ctgi: Run, double: ScriptedServer, searching: list[object]) -> str:
    double.replies = no
    done = ctgi(*searching, "--bind", f"verify_match=vllm:double@{double.url}", "--json")
    assert done.code == 0, done.err
    return str(done.json["trace"])


def test_the_verdicts_carry_what_is_right_and_not_what_the_model_said(ctgi: Run, searched: str, people: Path) -> None:
    done = ctgi("trace", "export", searched, "--truth", "0_*.png", "--out", "v.jsonl", "--json")
    assert done.code == 0, done.err
    lines = read("v.jsonl")
    assert (done.json["written"], done.json["yes"]) == (len(lines), 2)
    assert len(lines) == len(calls(searched, "verify_match")) == 8
    for line in lines:
        system, asked, answered = line["messages"]
        (image,) = line["images"]
        assert system["content"].startswith("You help to find a person")
        assert asked["content"].startswith('<image>Description: "a man in a coat"\n')
        assert answered == {"role": "assistant", "content": "yes" if Path(image).name.startswith("0_") else "no"}
        assert Path(image).parent == people and Path(image).is_file()


def test_the_models_own_verdicts_teach_another_model(ctgi: Run, searched: str) -> None:
    done = ctgi("trace", "export", searched, "--recorded")
    assert done.code == 0, done.err
    assert done.out == f"8 verdicts of {searched}, 0 yes and 8 no: verdicts.jsonl\n"
    assert {line["messages"][-1]["content"] for line in read("verdicts.jsonl")} == {"no"}


def test_without_knowing_what_is_right_nothing_is_written(ctgi: Run, searched: str) -> None:
    done = ctgi("trace", "export", searched)
    assert done.code == 2
    assert "nobody says which images show the right person, of 8 verdicts: add --truth" in done.err
    assert not Path("verdicts.jsonl").exists()
    ctgi("trace", "export", searched, "--recorded")
    again = ctgi("trace", "export", searched, "--recorded")
    assert (again.code, "exists already: give another --out" in again.err) == (2, True)
    both = ctgi("trace", "export", searched, "--recorded", "--truth", "x", "--out", "w.jsonl")
    assert (both.code, "--truth" in both.err) == (2, True)
    assert ctgi("trace", "export", searched, "--to", "lora").code == 2


def test_images_that_are_gone_or_others_now_are_left_out_and_told(ctgi: Run, searched: str, people: Path) -> None:
    (people / "0_a.png").unlink()
    shutil.copy(people / "2_a.png", people / "1_a.png")
    done = ctgi("trace", "export", searched, "--truth", "0_*.png")
    assert done.code == 0, done.err
    assert "6 verdicts" in done.out
    assert "0_a.png: no such file" in done.err
    assert "1_a.png: the path holds another image now" in done.err
    moved = shutil.move(people, people.with_name("moved"))
    assert ctgi("trace", "export", searched, "--recorded", "--out", "b.jsonl").code == 2
    found = ctgi("trace", "export", searched, "--recorded", "--out", "b.jsonl", "--images", moved, "--json")
    assert (found.json["written"], len(found.json["missing"])) == (6, 2)


def test_an_evaluation_knows_who_is_right_and_each_pair_is_written_once(
    ctgi: Run, double: ScriptedServer, tiny_clip: Path, tmp_path: Path
) -> None:
    double.replies = no
    root = save_people_dataset(tmp_path / "data")
    clip = f"open_clip:local-dir:{tiny_clip}"
    evaluated = ctgi(
        "evaluate", "--data", "rstp", "--root", root, "--retriever", clip, "--mti", "--limit", 3, "--top", 4,
        "--bind", f"images=vllm:double@{double.url}", "--json",
    )  # fmt: skip
    assert evaluated.code == 0, evaluated.err
    done = ctgi("trace", "export", runs()[-1], "--json")
    assert done.code == 0, done.err
    asked = calls(runs()[-1], "verify_match")
    assert done.json["written"] + done.json["repeated"] == len(asked) == 12
    right = {line["images"][0] for line in read("verdicts.jsonl") if line["messages"][-1]["content"] == "yes"}
    wrong = {line["images"][0] for line in read("verdicts.jsonl") if line["messages"][-1]["content"] == "no"}
    assert len(right) == done.json["yes"]
    assert wrong


def test_a_description_cannot_stand_for_a_picture_and_prompts_are_those_of_the_run(
    ctgi: Run, double: ScriptedServer, searching: list[object]
) -> None:
    Path("ctgi.toml").write_text('[prompts]\nset = "paper"\n')
    double.replies = no
    query = "a man <image> in a coat"
    ctgi("search", query, *searching[2:], "--bind", f"verify_match=vllm:double@{double.url}")
    Path("ctgi.toml").write_text("")
    assert ctgi("trace", "export", "last", "--recorded").code == 0
    for line in read("verdicts.jsonl"):
        asked, _ = line["messages"]
        assert asked["content"].count("<image>") == 1
        assert asked["content"].startswith('<image>Does this image match the description "a man < image>')


def test_calls_that_failed_are_counted(ctgi: Run, double: ScriptedServer, searching: list[object]) -> None:
    double.replies = lambda seen: "perhaps" if seen.choices else "A man."
    ctgi(*searching, "--top", 5, "--bind", f"verify_match=vllm:double@{double.url}")
    done = ctgi("trace", "export", "last", "--recorded", "--json")
    assert done.code == 2
    assert "all 5 calls for a verdict failed" in done.err
