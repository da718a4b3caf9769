import json
from itertools import pairwise
from pathlib import Path

from PIL import Image

from ctgi.testing import Reply, ScriptedServer
from tests.support.commands import Run
from tests.support.traces import FOLDER, calls, images, wordy


def test_list_and_show(ctgi: Run, captioned: str, searching: list[object]) -> None:
    search = ctgi(*searching, "--json").json["trace"]
    rows = ctgi("trace", "list", "--json").json
    assert [row["run"] for row in rows] == [captioned, search]
    assert [(row["command"], row["items"], row["status"]) for row in rows] == [
        ("caption", 9, "done"), ("search", 1, "done"),
    ]  # fmt: skip
    assert rows[0]["calls"] == len(calls(captioned))
    assert rows[0]["tokens"]["input"] == sum(call["tokens"][0] for call in calls(captioned))
    assert search in ctgi("trace", "list").out
    out = ctgi("trace", "show", captioned).out
    assert "0_a.png" in out
    assert "describe" in out
    assert "caption_image" in out
    only = ctgi("trace", "show", captioned, "--tool", "answer_question", "--item", "0_b.png", "--json").json
    assert [item["input"]["image"]["path"].endswith("0_b.png") for item in only["items"]] == [True]
    assert {call["tool"] for call in only["items"][0]["calls"]} == {"answer_question"}
    sha256 = only["items"][0]["input"]["image"]["$image"]
    for wanted in (only["items"][0]["item"], sha256[:10]):
        again = ctgi("trace", "show", captioned, "--item", wanted, "--json").json
        assert [item["item"] for item in again["items"]] == [only["items"][0]["item"]]
    done = ctgi("trace", "show", captioned, "--item", "nobody")
    assert (done.code, "no item like nobody" in done.err) == (2, True)
    assert ctgi("trace", "show", captioned, "--failed", "--json").json["items"] == []
    assert ctgi("trace", "show", captioned, "--slow", 1e6, "--json").json["items"] == []
    by_node = ctgi("trace", "show", search, "--node", "verify", "--json").json
    assert {call["tool"] for call in by_node["items"][0]["calls"]} == {"verify_match"}


def test_what_is_no_trace_is_said(ctgi: Run, captioned: str) -> None:
    assert "no such trace" in ctgi("trace", "show", "nowhere").err
    Path("other.jsonl").write_text(json.dumps({"hello": 1}) + "\n")
    done = ctgi("trace", "show", "other.jsonl")
    assert done.code == 2
    assert "other.jsonl, line 1: not a trace" in done.err
    done = ctgi("trace", "show", "20")
    assert done.code == 0  # one run begins like that
    for command in ("list", "show", "replay", "diff"):
        assert f"ctgi trace {command}" in " ".join(ctgi("trace", command, "--help").out.split())


def test_an_edited_line_is_told_and_its_item_left_to_fail(ctgi: Run, captioned: str) -> None:
    path = FOLDER / f"{captioned}.jsonl"
    text = path.read_text()
    assert "jeans" in text
    path.write_text(text.replace('"text":"jeans"', '"text":"a kilt"', 1))
    done = ctgi("trace", "show", captioned)
    assert done.code == 1
    assert "edited after it was recorded" in done.err
    number = next(i for i, line in enumerate(path.read_text().splitlines(), 1) if "a kilt" in line)
    assert f"line {number} (item" in done.err
    done = ctgi("trace", "replay", captioned, "--json")
    assert done.code == 1
    assert len(done.json["changed"]) + len(done.json["failed"]) >= 1


def test_lines_that_are_broken_or_missing_are_told(ctgi: Run, captioned: str) -> None:
    path = FOLDER / f"{captioned}.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    answers = [b'"tool":"answer_question"' in line for line in whole]
    at = next(i for i, pair in enumerate(pairwise(answers)) if all(pair))  # no item begins in it
    path.write_bytes(b"".join([*whole[:at], b"garbage\n", *whole[at + 2 :]]))
    done = ctgi("trace", "show", captioned, "--json")
    assert done.code == 1
    assert f"line {at + 1}: edited after it was recorded, and no longer a record" in done.err
    assert f"line {at + 2}: lines before it were removed" in done.err
    assert len(done.json["items"]) == 9
    report = ctgi("trace", "replay", captioned, "--json").json
    assert report["identical"] >= 6
    assert report["failed"]


def test_a_newer_trace_is_shown_as_far_as_it_can_be(ctgi: Run, captioned: str) -> None:
    path = FOLDER / f"{captioned}.jsonl"
    newer = path.read_text().replace('"v":1', '"v":7', 1)
    path.write_text(newer + '{"t":"thought","text":"new"}\n')
    done = ctgi("trace", "show", captioned, "--json")
    assert done.code == 1
    assert "written in format 7" in done.err
    assert "update ctgi" in done.err
    assert len(done.json["items"]) == 9
    done = ctgi("trace", "replay", captioned)
    assert done.code == 2
    assert "format 7" in done.err


def test_a_trace_is_data(ctgi: Run, double: ScriptedServer, people: Path) -> None:
    evil = "\x1b[31m<script>alert(1)</script> [link=http://x]"
    double.replies = lambda seen: Reply(f"A man {evil}")
    (people / "0_a.png").rename(people / "<img src=x onerror=alert(1)>.png")
    run = ctgi("caption", people, *images(double), "--json").json["trace"]
    out = ctgi("trace", "show", run).out
    assert "\x1b" not in out
    assert "[link=http://x]" in out
    done = ctgi("trace", "show", run, "--html", "page.html")
    assert done.code == 0, done.err
    page = Path("page.html").read_text()
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page


def test_the_page_shows_images_and_says_which_are_missing(ctgi: Run, captioned: str, people: Path) -> None:
    (people / "1_a.png").unlink()
    Image.new("RGB", (64, 128), "green").save(people / "2_a.png")
    done = ctgi("trace", "show", captioned, "--html", "page.html")
    assert done.code == 0, done.err
    page = Path("page.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 7
    assert "no such file" in page
    assert "the path holds another image" in page
    assert "jeans" in page
    assert not any(f'{attribute}="http' in page for attribute in ("src", "href", "action"))


def test_another_gallery_is_not_taken_for_the_recorded_one(
    ctgi: Run, double: ScriptedServer, searching: list[object], people: Path
) -> None:
    run = ctgi(*searching, "--json").json["trace"]
    Image.new("RGB", (64, 128), "green").save(people / "new.png")
    assert ctgi("index", people, *searching[6:8]).code == 0
    double.replies = lambda seen: Reply("yes" if seen.choices else "a green hat", top={"yes": 0.9, "no": 0.1})
    swap = ["--bind", f"answer_question=vllm:double@{double.url}", "--on-miss", "live"]
    done = ctgi("trace", "replay", run, *swap)
    assert done.code == 2
    assert "searched another gallery (8 images then, 9 now" in done.err.replace("\n", " ")


def test_a_diff_shows_what_a_swap_changed(ctgi: Run, double: ScriptedServer, captioned: str, people: Path) -> None:
    double.replies = wordy(shoes="black boots")
    swap = ["--bind", f"answer_question=vllm:double@{double.url}"]
    other = ctgi("trace", "replay", captioned, *swap, "--json").json["trace"]
    asked_about_shoes = [call for call in calls(captioned, "answer_question") if "shoes" in call["args"]["question"]]
    found = ctgi("trace", "diff", captioned, other, "--html", "diff.html", "--json")
    assert found.code == 0, found.err
    diff = found.json
    answers = diff["tools"]["answer_question"]
    assert answers["answers"] == len(asked_about_shoes) > 0
    assert answers["calls"][0] == len(calls(captioned, "answer_question"))
    assert answers["live"][1] == answers["calls"][1]
    assert diff["tools"]["caption_image"]["answers"] == 0
    assert diff["tools"]["caption_image"]["live"] == [8, 0]
    for item in diff["items"]:
        first = item["first"]
        assert (first["tool"], first["a"]["said"], first["b"]["said"]) == (
            "answer_question", "white sneakers", "black boots",
        )  # fmt: skip
        assert "white sneakers" in item["outputs"]["caption"]["a"]
        assert "black boots" in item["outputs"]["caption"]["b"]
    out = ctgi("trace", "diff", captioned, other).out
    assert "white sneakers -> black boots" in out
    page = Path("diff.html").read_text()
    assert "<ins>black boots" in page
    assert "data:image/jpeg;base64," in page
    same = ctgi("trace", "diff", captioned, captioned, "--json").json
    assert (same["items"], same["compared"]) == ([], 9)


def test_a_diff_ranks_the_right_person(ctgi: Run, double: ScriptedServer, searching: list[object]) -> None:
    first = ctgi(*searching, "--json").json
    double.replies = lambda seen: Reply("no", top={"yes": 0.1, "no": 0.9})
    second = ctgi(*searching, "--no-cache", "--json").json
    worst = Path(first["results"][-1]["path"]).name
    diff = ctgi("trace", "diff", first["trace"], second["trace"], "--truth", worst, "--json").json
    ranks = [[Path(found["path"]).name for found in one["results"]].index(worst) + 1 if worst in
             [Path(found["path"]).name for found in one["results"]] else 6 for one in (first, second)]  # fmt: skip
    assert diff["ranks"][0][0] == ranks[0]
    assert diff["tools"]["verify_match"]["verdicts"] == 1
    assert diff["items"][0]["first"]["tool"] == "verify_match"
    truth = Path("truth.json")
    truth.write_text(json.dumps({"a man in a coat": [worst]}))
    assert (
        ctgi("trace", "diff", first["trace"], second["trace"], "--truth", truth, "--json").json["ranks"]
        == diff["ranks"]
    )
    assert "right person, 1 queries" in ctgi("trace", "diff", first["trace"], second["trace"], "--truth", worst).out
    truth.write_text("[]")
    assert ctgi("trace", "diff", first["trace"], second["trace"], "--truth", truth).code == 2
