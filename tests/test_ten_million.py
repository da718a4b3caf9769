"""The stages of the benchmark of ten million, with few rows."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.ten_million import __main__ as ten_million
from benchmarks.ten_million import rows as made
from benchmarks.ten_million.cost import cost_of
from benchmarks.ten_million.rows import blocks, draws, queries
from benchmarks.ten_million.truth import best

ROWS, ASKED = 3000, 10


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    asked = argparse.Namespace(
        folder=tmp_path_factory.mktemp("ten"), rows=ROWS, queries=ASKED, index="IVF8,SQ8", decay=1.0
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "PEOPLE", 100)
        patch.setattr(made, "BLOCK", 1000)
        yield {name: work() for name, work in ten_million.stages(asked).items()}


def test_every_stage_gives_its_figures(figures: dict[str, Any]) -> None:
    assert figures["gallery rows"]["rows_added"] == figures["lance rows"]["rows_added"] == ROWS
    assert figures["gallery resume"] == {"rows": ROWS}
    assert figures["gallery open"]["rows"] == ROWS
    assert [figures["gallery where"][name]["images"] > 0 for name in ("50 %", "2.4 %")] == [True, True]
    for found in (figures["gallery search"], figures["lance search"]):
        assert all(one["p50_ms"] <= one["p95_ms"] for one in found.values())
        assert all(one["recall"] > 0.8 for one in found.values() if "recall" in one)
    assert set(figures["captions resume"]) == {"holds", "find", "append"}


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "PEOPLE", 60)
    monkeypatch.setattr(made, "BLOCK", 600)


@pytest.mark.usefixtures("small_blocks")
def test_rows_are_the_same_wherever_they_begin() -> None:
    whole = np.concatenate(list(blocks(2000, 1.0)))
    assert whole.shape == (2000, 512)
    np.testing.assert_array_equal(np.concatenate(list(blocks(2000, 1.0, 1500))), whole[1500:])
    np.testing.assert_allclose(np.linalg.norm(whole.astype(np.float32), axis=1), 1, atol=2e-3)


@pytest.mark.usefixtures("small_blocks")
def test_right_answers_are_those_of_all_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.ten_million.truth._CHUNK_ROWS", 300)
    rows = np.concatenate(list(blocks(1000, 0.0)))
    asked = queries(rows, 5, 0.0)
    scores = asked @ rows.astype(np.float32).T
    found = best(rows, asked)
    for name, one_in in (("all", 1), ("50 %", 2), ("2.4 %", 42)):
        allowed = np.flatnonzero(draws(1000, one_in) == 0)
        order = allowed[np.argsort(-scores[:, allowed], axis=1)]
        assert [set(one) for one in found[name]] == [set(one[:20]) for one in order]


def test_what_a_piece_of_work_costs() -> None:
    cost = cost_of(lambda: {"bytes": len(bytearray(50_000_000))})
    assert cost["bytes"] == 50_000_000
    assert cost["seconds"] >= 0
    assert 0 < cost["memory_mb"] <= cost["with_files_mb"]


def test_a_second_run_does_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    done: list[str] = []
    names = ("gallery rows", "captions write", "captions open")

    def run(command: list[str], **_: Any) -> Any:
        if "--stage" in command:  # what describes the machine may ask others
            done.append(command[-1])
        return argparse.Namespace(stdout=json.dumps({"stage": command[-1]}) + "\n")

    monkeypatch.setattr(ten_million, "stages", lambda asked: dict.fromkeys(names))
    monkeypatch.setattr("subprocess.run", run)
    ten_million.main([str(tmp_path), "--only", "captions"])
    ten_million.main([str(tmp_path)])
    assert done == ["captions write", "captions open", "gallery rows"]
