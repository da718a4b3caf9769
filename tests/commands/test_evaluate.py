import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctgi.retrieval.metrics import evaluate_scores
from ctgi.testing import Reply, Request, ScriptedServer, ToolCall, http_error
from tests.support.commands import Run
from tests.support.looking_model import look, name_shirts_alone
from tests.support.people_dataset import save_people_dataset
from tests.support.traces import lines

QUERIES = 8


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four people in the test split, two images each; a query names the shirt alone."""
    return name_shirts_alone(save_people_dataset(tmp_path / "rstp", train=2, val=1, test=4, views=2))


@pytest.fixture
def command(data: Path, double: ScriptedServer, tiny_clip: Path) -> list[str]:
    double.replies = look
    return [
        "evaluate", "--data", "rstp", "--root", str(data), "--retriever", f"open_clip:local-dir:{tiny_clip}",
        "-b", f"images=vllm:double@{double.url}",
    ]  # fmt: skip


def test_plain_retrieval_asks_no_model(ctgi: Run, command: list[str], double: ScriptedServer) -> None:
    result = ctgi(*command, "--json").json
    assert len(double.seen) == 0
    assert (result["images"], result["captions"]) == (8, 8)
    assert set(result["t2i"]) == set(result["i2t"]) == {"R@1", "R@5", "R@10", "mAP", "mINP"}
    assert result["t2i"]["R@10"] == 100
    assert json.loads(Path("runs/evaluate-rstp/result.json").read_text()) == result


def test_captions_of_the_images_are_searched_too(
    ctgi: Run, command: list[str], data: Path, double: ScriptedServer, tmp_path: Path
) -> None:
    entries = json.loads((data / "data_captions.json").read_text())
    lines = [
        {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "caption": f"{entry['id']} shirts",
         "turns": [{"attribute": "shoes", "answer": ("boots", "sandals", "heels")[number % 3]}]}
        for number, entry in enumerate(entries) if (path := data / "imgs" / entry["img_path"]).exists()
    ]  # fmt: skip
    file = tmp_path / "captions.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    plain = ctgi(*command, "--json").json
    done = ctgi(*command, "--gallery-captions", file, "--mti", "--json")
    assert "8 of 8 images have a caption in" in done.err
    assert (done.json["captioned"], "captioned" in plain) == (8, False)
    assert plain["t2i"] != done.json["t2i"]
    asked = [one.prompt for one in double.seen if "What " in one.prompt]
    assert asked and all("shoes" in question for question in asked)
    file.write_text(json.dumps({"path": "x.png", "sha256": "0" * 64, "caption": "a man"}) + "\n")
    refused = ctgi(*command, "--gallery-captions", file)
    assert (refused.code, "no caption of an image of this split" in refused.err.replace("\n", " ")) == (2, True)


def test_every_metric_has_an_interval_over_people(ctgi: Run, command: list[str]) -> None:
    result = ctgi(*command, "--json").json
    assert (result["people"], result["intervals"]["level"]) == (4, 95)
    for stage in ("t2i", "i2t"):
        for name, (low, high) in result["intervals"][stage].items():
            assert low <= result[stage][name] <= high
    assert result["intervals"]["t2i"]["R@10"] == [100, 100]
    assert "95 % interval" in ctgi(*command).out


def test_a_sample_of_queries_is_drawn_over_all_people(ctgi: Run, command: list[str]) -> None:
    """The first four captions would be those of two people."""
    done = ctgi(*command, "--limit", "4", "--json")
    assert (done.json["captions"], done.json["people"], done.json["images"]) == (4, 4, 8)
    assert done.json["sample"] == {"drawn": 4, "of": 8, "seed": 0}
    assert "4 of 8 captions as queries, of 4 people (seed 0)" in done.err
    assert "sample" not in ctgi(*command, "--limit", "8", "--json").json
    captions = {seed: queries(ctgi, command, seed) for seed in ("0", "1", "2")}
    assert captions["0"] == queries(ctgi, command, "0")
    assert len(set(captions.values())) > 1
    assert "add --limit" in ctgi(*command, "--seed", "1").err


def queries(ctgi: Run, command: list[str], seed: str) -> tuple[str, ...]:
    """The images whose captions were drawn."""
    assert ctgi(*command, "--limit", "4", "--seed", seed).code == 0
    lines_there = Path("runs/evaluate-rstp/queries.jsonl").read_text().splitlines()
    return tuple(json.loads(line)["image"] for line in lines_there)


def test_what_mti_changes_is_tested_query_by_query(ctgi: Run, command: list[str]) -> None:
    refined = mti(ctgi, command, "--lam", "0.3")
    plain = json.loads(Path("runs/evaluate-rstp/result.json").read_text())["t2i"]
    found = ctgi("compare", "runs/evaluate-rstp", "--json").json
    assert (found["queries"], found["people"], found["left_out"]) == (8, 4, 0)
    assert (found["a"]["stage"], found["b"]["stage"]) == ("t2i", "mti")
    for name, one in found["metrics"].items():
        assert one["a"] == pytest.approx(plain[name], abs=2e-3)
        assert one["b"] == pytest.approx(refined["t2i"][name], abs=2e-3)
        assert 0 < one["p"] <= 1
    same = ctgi("compare", "runs/evaluate-rstp", "runs/evaluate-rstp/result.json")
    assert (same.code, same.err.endswith("are the same results: name two\n")) == (2, True)
    told = ctgi("compare", "runs/evaluate-rstp").out
    assert "8 queries of 4 people" in told
    assert "B - A" in told


def mti(ctgi: Run, command: list[str], *more: str) -> dict[str, Any]:
    done = ctgi(*command, "--mti", "--json", *more)
    assert done.code == 0, done.err
    result: dict[str, Any] = done.json["mti"]
    return result


def test_mti_refines_what_it_confirms(ctgi: Run, command: list[str], double: ScriptedServer) -> None:
    result = mti(ctgi, command)
    row = result["t2i"]
    assert row["refined_rate"] == 1  # every shirt is in the gallery, and the query leaves the trousers open
    assert row["calls_per_query"]["answer_question"] == 6
    assert 1 <= row["calls_per_query"]["verify_match"] <= 8
    assert row["calls_per_query"]["all"] == pytest.approx(6 + row["calls_per_query"]["verify_match"])
    assert result["calls"]["made"] == len(double.seen)
    assert result["failed"] == []
    again = mti(ctgi, command)
    assert again["t2i"] == row
    assert again["calls"]["made"] == 0


@pytest.mark.parametrize("variant", ["ctgi", "icl"])
def test_a_sweep_calls_no_model(ctgi: Run, command: list[str], double: ScriptedServer, variant: str) -> None:
    chosen = ("--mti-variant", variant)
    first = mti(ctgi, command, *chosen)
    asked = len(double.seen)
    double.stop()
    swept = mti(ctgi, command, *chosen, "--sweep-lam", "0,0.8,1", "--sweep-xi", "-1,0.5,0.85")
    assert len(double.seen) == asked
    assert len(swept["sweep"]) == 9
    assert first["t2i"] in swept["sweep"]
    at_one = [row["mAP"] for row in swept["sweep"] if row["lam"] == 1]
    assert len(set(at_one)) == 1  # lambda 1 is the original ranking, whatever xi


def test_stored_scores_give_the_numbers_again(ctgi: Run, command: list[str]) -> None:
    result = mti(ctgi, command, "--lam", "0.3")
    with np.load("runs/evaluate-rstp/scores.npz") as kept:
        scores = kept["queries"] @ kept["images"].T
        second = kept["refined"] @ kept["images"].T
        rows = np.flatnonzero(kept["anchor"] >= 0)
        second[rows, kept["anchor"][rows]] = 1
        scores[rows] = 0.3 * scores[rows] + 0.7 * second[rows]
        metrics = evaluate_scores(scores.astype(np.float32), kept["query_pids"].tolist(), kept["image_pids"].tolist())
    assert result["t2i"]["mAP"] == pytest.approx(metrics.mean_ap, abs=1e-3)
    assert result["t2i"]["R@1"] == pytest.approx(metrics.recall[1], abs=1e-3)


def test_early_stop_is_reported_at_its_xi(ctgi: Run, command: list[str]) -> None:
    rows = mti(ctgi, command, "--sweep-xi", "-1,1")["sweep"]
    assert rows[1]["early_stop_rate"] == 0
    assert rows[0]["early_stop_rate"] > 0  # every top result that was confirmed
    assert rows[0]["mAP"] == rows[1]["mAP"]  # with one anchor, stopping early changes nothing


def test_icl_asks_once_and_reports_its_released_calls(ctgi: Run, command: list[str]) -> None:
    result = mti(ctgi, command, "--mti-variant", "icl", "--sweep-xi", "-1,1")
    assert (result["k"], result["t2i"]["xi"]) == (5, 0.5)
    above, below = result["sweep"]  # every top similarity above xi, then none
    assert above["refined_rate"] + below["refined_rate"] <= 1
    assert above["calls_per_query"]["answer_question"] == above["refined_rate"]
    assert above["early_stop_rate"] == above["refined_rate"]
    assert below["early_stop_rate"] == 0
    stopped = above["refined_rate"]
    assert above["calls_per_query"]["verify_match"] == pytest.approx(stopped + 5 * (1 - stopped), abs=1e-3)


def test_curves_are_labelled_by_who_answers(ctgi: Run, command: list[str]) -> None:
    result = mti(ctgi, command, "--dialogue", "anchor", "--dialogue", "oracle")
    anchor, oracle = result["dialogue"]
    assert (anchor["user"], oracle["user"]) == ("anchor", "oracle")
    assert "no user, no label" in anchor["note"]
    assert "upper bound" in oracle["note"]
    for curves in (anchor, oracle):
        assert [row["turn"] for row in curves["turns"]] == list(range(7))
        assert curves["Hits@1"] == sorted(curves["Hits@1"])
        assert curves["BRI"] >= 0
    assert anchor["turns"][0] == oracle["turns"][0]
    last = {name: value for name, value in anchor["turns"][-1].items() if name != "turn"}
    assert last == {name: result["t2i"][name] for name in last}  # after the last turn it is what MTI gives
    assert oracle["turns"][-1] != oracle["turns"][0]


def test_a_stopped_run_goes_on_with_what_is_missing(ctgi: Run, command: list[str], double: ScriptedServer) -> None:
    answered = 0

    def dying(seen: Any) -> Any:
        nonlocal answered
        answered += 1
        return look(seen) if answered <= 20 else http_error(503)

    double.replies = dying
    stopped = ctgi(*command, "--mti")
    assert stopped.code == 2
    assert double.url in stopped.err
    double.replies = look
    result = mti(ctgi, command)
    assert result["calls"]["reused"] >= 20
    fresh = mti(ctgi, [*command, "-o", "elsewhere"])
    assert fresh["t2i"] == result["t2i"]
    assert fresh["calls"]["made"] == result["calls"]["made"] + 20


def test_a_query_that_fails_is_listed_and_keeps_its_ranking(
    ctgi: Run, command: list[str], double: ScriptedServer
) -> None:
    double.replies = lambda seen: look(seen) if seen.choices else http_error(400)
    done = ctgi(*command, "--mti", "--json")
    assert done.code == 1
    assert len(done.json["mti"]["failed"]) == QUERIES
    assert {name: done.json["mti"]["t2i"][name] for name in done.json["t2i"]} == done.json["t2i"]


def test_verdicts_that_failed_are_counted_and_named(ctgi: Run, command: list[str], double: ScriptedServer) -> None:
    """A candidate that nobody judged counts as no match; numbers made from that are not simply done."""

    def refuse_one(seen: Request) -> Any:
        return http_error(400, "this image is refused") if seen.images == double.seen[0].images else look(seen)

    double.replies = refuse_one
    done = ctgi(*command, "--mti", "--json")
    assert done.code == 1, done.err
    result = done.json["mti"]
    assert result["failed"] == []
    assert "refused" in result["unverified"][0]["reason"]
    assert len({one["path"] for one in result["unverified"]}) == 1
    assert len({one["caption"] for one in result["unverified"]}) == len(result["unverified"]) > 1
    assert done.err.count("not verified: caption ") == len(result["unverified"])
    assert "candidates not verified" in ctgi(*command, "--mti").out
    double.replies = look
    whole = ctgi(*command, "--mti", "--json")
    assert (whole.code, whole.json["mti"]["unverified"]) == (0, [])


def test_the_page_of_the_worst_queries(ctgi: Run, command: list[str]) -> None:
    done = ctgi(*command, "--mti", "--html", "worst.html", "--limit", "3")
    assert done.code == 0, done.err
    page = Path("worst.html").read_text()
    assert page.count('<section class="search"') == 3
    assert "The right person is first at rank" in page
    assert "Refined query" in page
    assert "calls per query" in done.out


def test_a_dry_run_calls_nothing(ctgi: Run, command: list[str], double: ScriptedServer) -> None:
    done = ctgi(*command, "--mti", "--dry-run", "--json")
    assert len(double.seen) == 0
    assert done.json["queries"] == QUERIES
    assert done.json["calls"] == QUERIES * (8 + 6)
    icl = ctgi(*command, "--mti", "--mti-variant", "icl", "--dry-run", "--json").json
    assert icl["calls"] == QUERIES * (5 + 1)
    model = f"propose_questions=vllm:double@{double.url}"
    asking = ctgi(*command, "--mti", "--bind", model, "--dry-run", "--json").json
    assert asking["calls"] == QUERIES * (8 + 1 + 6)
    assert asking["input_tokens"] > done.json["input_tokens"]


def test_what_mti_cannot_do_is_said_before_anything_is_encoded(ctgi: Run, command: list[str]) -> None:
    Path("ctgi.toml").write_text("[mti]\nrounds = 2\n")
    for more in (["--mti-variant", "other"], ["--sweep-lam", "0.5"]):
        assert ctgi(*command, "--mti", *more).code == 2
        assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--sweep-lam", "0.5"], "add --mti"),
        (["--dialogue", "anchor"], "add --mti"),
        (["--mti", "--dialogue", "user"], "expected anchor, oracle or witness"),
        (["--mti", "--sweep-xi", "a,b"], "expected numbers"),
        (["--mti", "--mti-variant", "other"], "expected one of ctgi, icl"),
        (["--split", "dev"], "no split 'dev'"),
    ],
)
def test_wrong_options_are_explained(ctgi: Run, command: list[str], more: list[str], complaint: str) -> None:
    done = ctgi(*command, *more)
    assert done.code == 2
    assert complaint in done.err.replace("\n", " ")


def agents(request: Request) -> Reply:
    """An agent's model that searches and then names the second image."""
    if not request.results:
        return Reply(tool_calls=[ToolCall("search_gallery", {"query": request.prompt, "k": 5})])
    ids = [found["image_id"] for found in json.loads(request.results[0])]
    if len(request.results) == 1:
        given = {
            "query": request.prompt,
            "refined_query": "a person in blue trousers",
            "anchors": [ids[2]],
            "weight": 0.3,
        }
        return Reply(tool_calls=[ToolCall("search_gallery", given)])
    return Reply(tool_calls=[ToolCall("answer", {"image_ids": [ids[1]], "text": "This one."})])


def test_an_agent_is_measured_by_the_images_it_names(ctgi: Run, command: list[str], double: ScriptedServer) -> None:
    with ScriptedServer(agents, models=("brain",)) as brain:
        command = [*command, "-b", f"agent={brain.binding}", "--mti-variant", "agent"]
        result = mti(ctgi, command)
        asked = len(brain.seen)
        again = mti(ctgi, command)
        assert len(brain.seen) == asked == 3 * QUERIES // 2  # both images of a person have the same query
    row = result["t2i"]
    assert again["t2i"] == row
    assert row["calls_per_query"]["agent"] == row["calls_per_query"]["all"] == 3
    assert row["refined_rate"] == 1
    assert result["bindings"]["agent"] == brain.binding
    first = []
    for line in lines(result["trace"]):
        if line["t"] == "done":
            first.append(line["output"]["results"][0])
            assert line["output"]["named"] == 1
    assert [one["rank_before"] for one in first] == [2] * QUERIES
    right = [line["input"]["right"] for line in lines(result["trace"]) if line["t"] == "item"]
    hits = sum(one["sha256"] in images for one, images in zip(first, right, strict=True))
    assert row["R@1"] == pytest.approx(100 * hits / QUERIES)
    assert not Path("runs/evaluate-rstp/scores.npz").exists()
    replayed = ctgi("trace", "replay", result["trace"], "--json")
    assert replayed.json["identical"] == QUERIES, replayed.err


@pytest.mark.parametrize("more", [["--lam", "0.5"], ["--dialogue", "oracle"], ["--dry-run"], ["--sweep-xi", "0.1,0.2"]])
def test_an_agent_heeds_no_numbers_of_the_fixed_dialogue(ctgi: Run, command: list[str], more: list[str]) -> None:
    done = ctgi(*command, "--mti", "--mti-variant", "agent", *more)
    assert done.code == 2
    assert f"{more[0]}: without effect with --mti-variant agent" in done.err
