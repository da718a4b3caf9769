"""What a run leaves behind when it fails, and what its trace then says."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ctgi.testing import Request, ScriptedServer, http_error
from tests.support.commands import Run
from tests.support.traces import calls, images, lines, runs, wordy


def left(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize(
    "wrong",
    [
        ["--profile", "openai"],  # no key
        ["--bind", "images=vllm:"],
        ["--bind", "caption_image=templates"],
        ["--bind", "images=hf:nowhere/at-all"],
        ["--config", "broken.toml"],
    ],
)
def test_a_run_that_fails_before_it_has_an_answer_leaves_nothing(
    ctgi: Run, people: Path, work: Path, wrong: list[str], tmp_path: Path
) -> None:
    (tmp_path / "broken.toml").write_text('[mtg]\nquestion_pool = "nowhere.yaml"\n')
    options = [str(tmp_path / one) if one == "broken.toml" else one for one in wrong]
    done = ctgi("caption", people, "--out", "new/folder/captions.jsonl", *options)
    assert done.code == 2, done.err
    assert left(work) == []


def test_a_server_that_was_never_there_leaves_nothing(
    ctgi: Run, double: ScriptedServer, people: Path, work: Path
) -> None:
    double.stop()
    assert ctgi("caption", people, *images(double)).code == 2
    assert left(work) == []


def test_folders_that_were_there_stay(ctgi: Run, people: Path, work: Path) -> None:
    (work / ".ctgi").mkdir()
    (work / "captions.jsonl").touch()
    assert ctgi("caption", people, "--profile", "openai").code == 2
    assert left(work) == [work / ".ctgi", work / "captions.jsonl"]


def test_a_search_that_fails_before_it_has_an_answer_leaves_no_trace(ctgi: Run, searching: list[object]) -> None:
    done = ctgi(*searching, "--bind", "verify_match=templates")
    assert done.code == 2, done.err
    assert runs() == []


def test_a_run_in_which_every_image_failed_leaves_no_empty_file(
    ctgi: Run, double: ScriptedServer, people: Path
) -> None:
    double.replies = http_error(400, "this image is refused")
    done = ctgi("caption", people, "--limit", 3, "--export", "rstp", *images(double))
    assert done.code == 1, done.err
    assert "nothing to export" in done.err
    assert "captions.jsonl" not in done.out
    assert not Path("captions.jsonl").exists()
    (run,) = runs()
    assert lines(run)[-1]["status"] == "done with failures"


def test_a_trace_says_that_items_failed(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    (people / "0_a.png").write_bytes(b"no image")
    double.replies = wordy()
    assert ctgi("caption", people, *images(double)).code == 1
    (row,) = ctgi("trace", "list", "--json").json
    assert (row["status"], row["items"], row["items_failed"]) == ("done with 1 failed", 8, 1)
    assert "done with 1 failed" in ctgi("trace", "list").out
    assert "done with 1 failed" in ctgi("trace", "show", "last").out
    assert ctgi("trace", "show", "last", "--json").json["summary"]["status"] == "done with 1 failed"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_image_that_may_not_be_read_stands_in_the_trace(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    (people / "0_a.png").chmod(0)
    double.replies = wordy()
    assert ctgi("caption", people, *images(double)).code == 1
    assert ctgi("trace", "list", "--json").json[0]["status"] == "done with 1 failed"


def test_an_image_that_cannot_be_opened_stands_in_the_trace_and_in_its_replay(
    ctgi: Run, double: ScriptedServer, people: Path
) -> None:
    (people / "gone.png").symlink_to(people / "nowhere.png")
    double.replies = wordy()
    report = ctgi("caption", people, *images(double), "--json")
    assert report.code == 1
    (row,) = ctgi("trace", "list", "--json").json
    assert (row["status"], row["items"]) == ("done with 1 failed", 9)
    again = ctgi("trace", "replay", "last", "--json")
    assert (again.code, again.json["identical"], again.json["failed"]) == (0, 9, [])


def test_a_search_with_a_verdict_that_failed_is_not_done(
    ctgi: Run, double: ScriptedServer, searching: list[object]
) -> None:
    def refuse_one(seen: Request) -> Any:
        return http_error(400, "refused") if seen.images == double.seen[0].images else wordy()(seen)

    double.replies = refuse_one
    assert ctgi(*searching).code == 1
    (run,) = runs()
    assert sum(call["error"] is not None for call in calls(run)) == 1
    assert ctgi("trace", "list", "--json").json[0]["status"] == "done with 1 failed call"


def test_an_old_trace_that_called_itself_done_is_told_by_its_counts(
    ctgi: Run, double: ScriptedServer, people: Path
) -> None:
    """Earlier versions wrote "done" whatever had failed."""
    from ctgi.tools.traces.format import seal

    (people / "0_a.png").write_bytes(b"no image")
    double.replies = wordy()
    assert ctgi("caption", people, *images(double)).code == 1
    (run,) = runs()
    path = Path(".ctgi/traces") / f"{run}.jsonl"
    *before, last = path.read_bytes().splitlines(keepends=True)
    body, _, _ = last.rpartition(b',"n":')
    old = body.replace(b"done with failures", b"done") + b"}"
    path.write_bytes(b"".join([*before, seal(old, len(before))]))
    assert lines(run)[-1]["status"] == "done"
    (row,) = ctgi("trace", "list", "--json").json
    assert (row["status"], row["problems"]) == ("done with 1 failed", [])


def test_a_folder_that_cannot_hold_traces_is_one_line(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    Path("file").write_text("in the way")
    for folder in ("file", "file/traces"):
        Path("ctgi.toml").write_text(f'traces = "{folder}"\n')
        done = ctgi("caption", people, *images(double))
        assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
        assert "cannot keep traces here" in done.err
        assert not Path("captions.jsonl").exists()
        listed = ctgi("trace", "list")
        assert (listed.code, "cannot look for traces here" in listed.err) == (2, True)


def test_where_every_server_dies_what_was_captioned_stays(
    ctgi: Run, double: ScriptedServer, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTGI_ENDPOINTS__VLLM__FAILURES_TO_STOP", "2")
    monkeypatch.setenv("CTGI_ENDPOINTS__VLLM__BACKOFF_S", "0")
    with ScriptedServer(wordy(), models=["double"]) as other:
        answer, both, left = wordy(), f"images=vllm:double@{double.url},{other.url}", iter(range(10))

        def dies(request: Request) -> Any:
            if next(left, None) is None:
                double.stop()
                other.stop()
            return answer(request)

        double.replies = answer
        assert ctgi("caption", people, "--bind", both, "--no-cache", "--limit", 3).code == 0
        double.replies = other.replies = dies
        ended = ctgi("caption", people, "--bind", both, "--no-cache")
    assert ended.code == 2, ended.err
    assert f"{double.url}: " in ended.err
    assert f"{other.url}: " in ended.err
    kept = Path("captions.jsonl").read_text().splitlines()
    with ScriptedServer(wordy(), models=["double"]) as again:
        assert ctgi("caption", people, "--bind", f"images=vllm:double@{again.url}", "--no-cache").code == 0
    lines = Path("captions.jsonl").read_text().splitlines()
    assert len(kept) >= 3
    assert lines[: len(kept)] == kept
    assert len({json.loads(line)["path"] for line in lines}) == len(lines) == 8
