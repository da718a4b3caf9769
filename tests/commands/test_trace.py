import json
import os
import shutil
import time
from pathlib import Path

import pytest

from ctgi.testing import Reply, ScriptedServer, http_error
from tests.support.commands import Run, start
from tests.support.looking_model import look, name_shirts_alone
from tests.support.people_dataset import save_people_dataset
from tests.support.traces import FOLDER, calls, images, lines, read, runs, wordy

KEY = "sk-a-key-that-must-stay-here"


def test_a_captioning_is_replayed_to_the_same_bytes_without_the_server(
    ctgi: Run, double: ScriptedServer, captioned: str
) -> None:
    assert {record["trace"] for record in read("captions.jsonl")} == {captioned}
    asked = len(double.seen)
    double.stop()
    done = ctgi("trace", "replay", captioned, "--out", "again.jsonl", "--json")
    assert done.code == 0, done.err
    assert Path("again.jsonl").read_bytes() == Path("captions.jsonl").read_bytes()
    report = done.json
    assert (report["items"], report["identical"], report["live"], report["unused"]) == (9, 9, 0, 0)
    assert report["served"] == len(calls(captioned))
    assert len(double.seen) == asked
    assert report["trace"] is None  # it would repeat the recorded one
    assert runs() == [captioned]


def test_processes_share_out_a_long_replay(
    ctgi: Run, captioned: str, monkeypatch: pytest.MonkeyPatch, double: ScriptedServer
) -> None:
    double.stop()
    monkeypatch.setattr("ctgi.runs.replay.run.worker_count", lambda items: 2)
    monkeypatch.setattr("ctgi.runs.replay.workers._CHUNK", 2)
    done = ctgi("trace", "replay", captioned, "--out", "again.jsonl", "--json")
    assert done.code == 0, done.err
    assert Path("again.jsonl").read_bytes() == Path("captions.jsonl").read_bytes()
    assert (done.json["identical"], done.json["served"]) == (9, len(calls(captioned)))


def test_a_search_is_replayed_to_the_same_ranking_without_gallery_and_server(
    ctgi: Run, double: ScriptedServer, searching: list[object], people: Path
) -> None:
    result = ctgi(*searching, "--json").json
    double.stop()
    shutil.rmtree(people)
    done = ctgi("trace", "replay", result["trace"], "--out", "again.jsonl")
    assert done.code == 0, done.err
    assert read("again.jsonl") == [result]
    plain = ["search", *searching[1:4], "--no-mti", "--json"]
    assert ctgi(*plain).code == 2  # the gallery is gone


def test_plain_retrieval_and_a_talk_with_a_person_are_replayed(
    ctgi: Run, searching: list[object], monkeypatch: pytest.MonkeyPatch, people: Path
) -> None:
    import io

    plain = ctgi(*searching, "--no-mti", "--json").json
    monkeypatch.setattr("sys.stdin", io.StringIO("red\n\njeans\nstop\n"))
    talk = ctgi(*searching, "--interactive", "--json").json
    assert talk["calls"]["ask_user"] == 3
    shutil.rmtree(people)
    for result in (plain, talk):
        done = ctgi("trace", "replay", result["trace"], "--out", f"{result['trace']}.out")
        assert done.code == 0, done.err
        assert read(f"{result['trace']}.out") == [result]
    assert [call["out"]["text"] for call in calls(talk["trace"], "ask_user")] == ["red", "", "jeans", "stop"]


def test_an_evaluation_is_recorded_and_replayed(
    ctgi: Run, double: ScriptedServer, tiny_clip: Path, tmp_path: Path
) -> None:
    data = name_shirts_alone(save_people_dataset(tmp_path / "rstp", train=2, val=1, test=4, views=2))
    double.replies = look
    done = ctgi(
        "evaluate", "--data", "rstp", "--root", data, "--retriever", f"open_clip:local-dir:{tiny_clip}",
        *images(double), "--mti", "--dialogue", "oracle", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    run = done.json["mti"]["trace"]
    items = [line for line in lines(run) if line["t"] == "item" and "user" not in line["input"]]
    assert len(items) == 8
    assert {len(item["input"]["right"]) for item in items} == {2}
    double.stop()
    shutil.rmtree(data)
    report = ctgi("trace", "replay", run, "--json").json
    assert report["failed"] == []
    assert report["identical"] == report["items"] == 8
    assert report["live"] == 0


def test_one_tool_swapped_calls_only_that_one(ctgi: Run, double: ScriptedServer, captioned: str) -> None:
    asked = len(double.seen)
    double.replies = wordy(shoes="black boots")
    swap = ["--bind", f"answer_question=vllm:double@{double.url}"]
    done = ctgi("trace", "replay", captioned, *swap, "--out", "swapped.jsonl", "--json")
    assert done.code == 0, done.err
    report = done.json
    live = [call for call in calls(report["trace"]) if call["src"] == "live"]
    changed = len(report["changed"])
    assert changed > 0
    assert {call["tool"] for call in live} == {"answer_question", "reconstruct_caption"}
    answers = calls(report["trace"], "answer_question")
    assert len(double.seen) - asked == len(answers) == len(calls(captioned, "answer_question"))
    assert all(call["src"] == "recorded" for call in calls(report["trace"], "caption_image"))
    written = read("swapped.jsonl")
    assert [record["path"] for record in written] == [record["path"] for record in read("captions.jsonl")]
    assert any("black boots" in record["caption"] for record in written)
    assert lines(report["trace"])[0]["replay"]["of"] == captioned
    again = ctgi("trace", "replay", report["trace"], "--json").json  # a replay can be replayed
    assert (again["identical"], again["live"]) == (9, 0)


def test_what_was_never_recorded_is_an_error_or_is_asked(ctgi: Run, double: ScriptedServer, captioned: str) -> None:
    double.replies = wordy(shoes="not visible")
    swap = ["--bind", f"caption_image=vllm:double@{double.url}"]
    done = ctgi("trace", "replay", captioned, *swap, "--json")
    assert done.code == 0  # the same captions again, so nothing else changes
    double.replies = lambda seen: Reply("A woman in a yellow dress." if not seen.choices else "yes")
    done = ctgi("trace", "replay", captioned, *swap, "--json")
    assert done.code == 1
    assert len(done.json["failed"]) == 8
    assert "answer_question was never recorded with these arguments" in done.err
    assert "the nearest recording, call" in done.err
    assert "--on-miss live" in done.err
    asked = len(double.seen)
    done = ctgi("trace", "replay", captioned, *swap, "--on-miss", "live", "--json")
    assert done.code == 0, done.err
    assert len(double.seen) - asked == sum(
        call["src"] == "live" and call["tool"] != "reconstruct_caption" for call in calls(done.json["trace"])
    )


def test_a_trace_does_not_choose_where_things_are_sent(ctgi: Run, double: ScriptedServer, captioned: str) -> None:
    path = FOLDER / f"{captioned}.jsonl"
    path.write_text(path.read_text().replace(double.url, "http://elsewhere.example/v1"))
    assert ctgi("trace", "replay", captioned).code == 1  # told that it was edited, and replayed
    done = ctgi("trace", "replay", captioned, "--on-miss", "live")
    assert done.code == 2
    assert "served by http://elsewhere.example/v1" in done.err.replace("\n", "")
    done = ctgi("trace", "replay", captioned, "--bind", "verify_match=templates")
    assert "never calls verify_match" in done.err


def test_a_trace_does_not_choose_code_to_run(ctgi: Run, captioned: str, work: Path) -> None:
    path = FOLDER / f"{captioned}.jsonl"
    header, rest = path.read_text().split("\n", 1)
    edited = json.loads(header)
    edited["bindings"]["answer_question"] = "python:theirs:answer"
    path.write_text(json.dumps(edited) + "\n" + rest)
    (work / "theirs.py").write_text("from pathlib import Path\nPath('ran').touch()\ndef answer(prompt): return 'x'\n")
    for options in ((), ("--on-miss", "live"), ("--from", "ask")):
        done = ctgi("trace", "replay", captioned, *options)
        assert not Path("ran").exists()
        if options:
            assert done.code == 2
            assert "was served by code, python:theirs:answer" in done.err.replace("\n", " ")


def test_from_a_node_on_everything_is_made_anew(ctgi: Run, double: ScriptedServer, captioned: str) -> None:
    asked = len(double.seen)
    done = ctgi("trace", "replay", captioned, "--from", "ask", "--item", "0_b.png", "--json")
    assert done.code == 0, done.err
    assert done.json["items"] == 1
    assert done.json["served"] == 1
    assert len(double.seen) - asked == len(calls(done.json["trace"], "answer_question"))
    done = ctgi("trace", "replay", captioned, "--from", "verify")
    assert done.code == 2
    assert "no node 'verify'" in done.err


@pytest.mark.parametrize("node", ["dedupe", "judge"])
def test_a_node_that_calls_nothing_may_be_the_first_one_too(
    ctgi: Run, double: ScriptedServer, captioned: str, node: str
) -> None:
    """From the first turn's filter on; ctgi 0.1 had one node for it."""
    asked = len(double.seen)
    done = ctgi("trace", "replay", captioned, "--from", node, "--item", "0_b.png", "--json")
    assert (done.code, done.json["served"]) == (0, 2), done.err
    assert len(double.seen) - asked == len(calls(done.json["trace"], "answer_question")) - 1
    told = "the node judge is relevance and dedupe now: calls are made anew from relevance on"
    assert (told in done.err) == (node == "judge")


def test_recorded_failures_fail_again(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    double.replies = lambda seen: http_error(400, "too dark") if "Describe" not in seen.prompts[-1] else Reply("A man.")
    (people / "broken.png").write_bytes(b"no image")
    first = ctgi("caption", people, *images(double), "--json")
    assert first.code == 1
    assert len(first.json["failed"]) == 9
    errors = sorted(call["error"]["type"] for call in calls(first.json["trace"]) if call["error"])
    assert errors == ["ImageError", *["ToolError"] * 8]
    double.stop()
    done = ctgi("trace", "replay", first.json["trace"], "--json")
    assert done.code == 0, done.err
    assert done.json["identical"] == done.json["items"] == 9


def test_retries_are_recorded(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    double.faults.extend([http_error(500), http_error(500)])
    run = ctgi("caption", people / "0_a.png", *images(double), "--json").json["trace"]
    assert calls(run, "caption_image")[0]["retries"] == 2


def test_a_resumed_run_has_a_trace_of_its_own(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    ctgi("caption", people, *images(double), "--limit", 3)
    ctgi("caption", people, *images(double))
    first, second = runs()
    assert [record["trace"] for record in read("captions.jsonl")] == [first] * 3 + [second] * 5
    assert ctgi("caption", people, *images(double), "--no-trace", "--json").json["trace"] is None
    assert len(runs()) == 2


def test_no_secret_is_written(ctgi: Run, double: ScriptedServer, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    double.replies = lambda seen: Reply(f"A man who says {KEY}.")
    address = double.url.replace("http://", "http://user:pass-word-in-url@")
    ctgi("caption", people / "0_a.png", "--bind", f"images=vllm:double@{address}")
    text = (FOLDER / f"{runs()[0]}.jsonl").read_text()
    assert "A man who says ***" in text
    for secret in (KEY, "pass-word-in-url"):
        assert secret not in text
        assert secret not in Path("captions.jsonl").read_text().replace(KEY, "")
    assert "http://127.0.0.1" in lines(runs()[0])[0]["bindings"]["caption_image"]


def test_a_killed_recording_replays_what_there_is(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    double.replies, double.latency_s = wordy(), 0.05
    config = Path("ctgi.toml")
    config.write_text("[endpoints.vllm]\nconcurrency = 2\n")
    process = start("caption", people, *images(double))
    out, deadline = Path("captions.jsonl"), time.monotonic() + 60
    while time.monotonic() < deadline and not (out.exists() and out.read_bytes().count(b"\n") >= 2):
        time.sleep(0.01)
    os.kill(process.pid, 9)
    assert process.wait(30) == -9
    (run,) = runs()
    with (FOLDER / f"{run}.jsonl").open("ab") as file:
        file.write(b'{"t":"call","seq":99,"it')  # what a kill in the middle of a write leaves
    written = out.read_bytes()
    double.stop()
    shown = ctgi("trace", "show", run, "--json")
    assert shown.code == 1
    assert "the last line is cut off and ignored" in shown.err
    assert shown.json["summary"]["status"] == "killed"
    done = ctgi("trace", "replay", run, "--out", "again.jsonl", "--json")
    assert done.code == 1
    report = done.json
    assert report["unfinished"]
    assert report["failed"] == []
    again = Path("again.jsonl").read_bytes()
    assert again.startswith(written) or written.startswith(again)
    assert report["identical"] == again.count(b"\n") >= 2


def test_two_processes_do_not_mix(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    double.replies, double.latency_s = wordy(), 0.02
    processes = [start("caption", people, "-o", f"{name}.jsonl", *images(double)) for name in "ab"]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert len(runs()) == 2
    for run in runs():
        found = ctgi("trace", "show", run, "--json").json
        assert found["summary"]["problems"] == []
        assert (found["summary"]["items"], found["summary"]["status"]) == (8, "done")


def test_a_changed_prompt_is_named(
    ctgi: Run, double: ScriptedServer, captioned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ctgi.runs import digests

    real = digests._packaged()
    monkeypatch.setattr(digests, "_packaged", lambda: real | {"prompts/answer.txt": "another"})
    done = ctgi("trace", "replay", captioned)
    assert done.code == 2
    assert "prompts/answer.txt was changed since run" in done.err
    done = ctgi("trace", "replay", captioned, "--accept-changes", "--json")
    assert (done.code, done.json["identical"], done.json["live"]) == (0, 9, 0)
    assert "changed since the recording: prompts/answer.txt" in done.err
    asked = len(double.seen)
    done = ctgi("trace", "replay", captioned, "--on-miss", "live", "--json")
    assert len(double.seen) - asked == len(calls(captioned, "answer_question"))
    assert done.json["identical"] == 9


def test_a_changed_question_pool_is_named(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    pool = Path("pool.yaml")
    pool.write_text((Path(__file__).parents[2] / "agents" / "question_pool.yaml").read_text())
    Path("ctgi.toml").write_text('[mtg]\nquestion_pool = "pool.yaml"\n')
    double.replies = wordy()
    run = ctgi("caption", people, *images(double), "--json").json["trace"]
    pool.write_text(pool.read_text().replace("is the person wearing?", "does the person wear?"))
    done = ctgi("trace", "replay", run, "--json")
    assert done.code == 1
    assert "changed since the recording: question_pool" in done.err
    assert "question is" in done.err
    assert done.json["failed"]


def test_code_that_only_moved_leaves_a_replay_certain(
    ctgi: Run, captioned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves no trace of its own then, for nothing can come out otherwise."""
    from ctgi.runs import digests

    moved = {f"rooms/{name}" if name.endswith(".py") else name: one for name, one in digests._packaged().items()}
    monkeypatch.setattr(digests, "_packaged", lambda: moved)
    report = ctgi("trace", "replay", captioned, "--json").json
    assert (report["changes"], report["trace"]) == ([], None)
    edited = moved | {"rooms/graphs/mtg.py": "ast:other"}
    monkeypatch.setattr(digests, "_packaged", lambda: edited)
    report = ctgi("trace", "replay", captioned, "--json").json
    assert report["changes"] == ["graphs/mtg.py", "rooms/graphs/mtg.py"]
    assert report["trace"]
