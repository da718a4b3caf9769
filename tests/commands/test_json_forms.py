"""The JSON that other people's programs read: every key, in its order."""

import json
from pathlib import Path
from typing import Any

from ctgi.testing import ScriptedServer
from tests.support.commands import Run
from tests.support.looking_model import look, name_shirts_alone
from tests.support.people_dataset import save_people_dataset
from tests.support.traces import images

TURN = ["attribute", "question", "answer", "confidence", "statement", "kept", "reason"]
RECORD = ["path", "sha256", "initial_caption", "turns", "caption", "seconds", "tokens", "bindings", "trace"]
SEARCH = [
    "query", "refined_query", "anchors", "overruled", "no_match", "dialogue", "verified", "early_stop", "rounds",
    "calls", "results", "left", "truncated_tokens", "not_english", "seconds", "trace", "cached", "gallery",
    "encoder", "bindings", "passed_over", "not_indexed",
]  # fmt: skip
FOUND = ["path", "sha256", "score", "score_before", "rank_before", "rank"]
METRICS = ["R@1", "R@5", "R@10", "mAP", "mINP"]


def keys(values: list[dict[str, Any]]) -> list[str]:
    """The keys that every one of the values has, in this order."""
    (found,) = {tuple(value) for value in values}
    return list(found)


def test_captions(ctgi: Run, captioned: str) -> None:
    text = Path("captions.jsonl").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    assert text == "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    fresh = [record for record in records if "same_as" not in record]
    assert keys(fresh) == RECORD
    assert keys([record for record in records if "same_as" in record]) == [*RECORD, "same_as"]
    assert keys([turn for record in fresh for turn in record["turns"]]) == TURN
    assert list(fresh[0]["tokens"]) == ["input", "output"]


def test_a_refined_search(ctgi: Run, searching: list[object]) -> None:
    done = ctgi(*searching, "--json")
    assert list(done.json) == SEARCH
    assert keys(done.json["results"]) == FOUND
    assert keys(done.json["anchors"]) == ["path", "sha256", "rank", "probability", "weak", "by_person"]
    assert keys(done.json["dialogue"]) == [*TURN, "anchor", "round"]
    assert keys(done.json["verified"]) == [
        "path", "sha256", "rank", "score", "round", "match", "probability", "text", "error", "threshold",
        "doubt",
    ]  # fmt: skip
    again = ctgi("trace", "replay", done.json["trace"], "--out", "again.jsonl")
    assert again.code == 0, again.err
    assert json.loads(Path("again.jsonl").read_text()) == done.json


def test_a_plain_search(ctgi: Run, searching: list[object]) -> None:
    found = ctgi(*searching, "--no-mti", "--json").json
    assert list(found) == SEARCH
    assert keys(found["results"]) == FOUND
    assert (found["dialogue"], found["verified"], found["anchors"], found["calls"]) == (
        [],
        [],
        [],
        {"search_gallery": 1},
    )


def test_an_evaluation(ctgi: Run, double: ScriptedServer, tiny_clip: Path, tmp_path: Path) -> None:
    data = name_shirts_alone(save_people_dataset(tmp_path / "rstp", train=2, val=1, test=4, views=2))
    double.replies = look
    found = ctgi(
        "evaluate", "--data", "rstp", "--root", data, "--retriever", f"open_clip:local-dir:{tiny_clip}",
        *images(double), "--mti", "--dialogue", "oracle", "--sweep-lam", "0.5,0.8", "--json",
    ).json  # fmt: skip
    assert list(found) == [
        "data", "split", "retriever", "context_length", "images", "captions", "truncated_captions", "truncated_tokens",
        "t2i", "i2t", "intervals", "people", "gallery", "mti",
    ]  # fmt: skip
    assert list(found["t2i"]) == list(found["i2t"]) == METRICS
    mti = found["mti"]
    assert list(mti) == [
        "variant", "k", "max_anchors", "fusion", "bindings", "t2i", "calls", "trace", "failed", "unverified",
        "dialogue", "sweep",
    ]  # fmt: skip
    row = ["lam", "xi", *METRICS, "calls_per_query", "early_stop_rate", "refined_rate", "anchor_precision"]
    assert keys([mti["t2i"], *mti["sweep"]]) == row
    assert list(mti["calls"]) == ["made", "reused", "tokens_in", "tokens_out"]
    (curves,) = mti["dialogue"]
    many = [f"{name}@{k}" for name in ("Hits", "Recall") for k in (1, 5, 10)]
    assert list(curves) == ["user", "note", "turns", *many, "BRI", "questions_per_query"]
    assert keys(curves["turns"]) == ["turn", *METRICS]
