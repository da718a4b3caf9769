import json
from pathlib import Path

import numpy as np
import pytest

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import Split
from ctgi.retrieval.metrics import measure_features
from ctgi.runs.query_results import compare_measurements, read_measurement, write_queries

PEOPLE = 30


def _split(captions: int = 2) -> Split:
    pids = tuple(pid for pid in range(PEOPLE) for _ in range(captions))
    images = tuple(f"imgs/{pid}.jpg" for pid in range(PEOPLE))
    texts = tuple(f"caption {row % captions} of {pid}" for row, pid in enumerate(pids))
    return Split("test", images, tuple(range(PEOPLE)), texts, pids, pids)


def _measured(folder: Path, noise: float, *, split: Split | None = None, gallery: str = "abc") -> Path:
    """An evaluation whose queries are the vectors of their images, with noise."""
    split = split or _split()
    generator = np.random.default_rng(0)
    images = np.eye(PEOPLE, dtype=np.float32)
    texts = images[list(split.caption_images)] + noise * generator.normal(size=(len(split.captions), PEOPLE))
    texts = (texts / np.linalg.norm(texts, axis=1, keepdims=True)).astype(np.float32)
    folder.mkdir()
    found = measure_features(texts, images, split.caption_pids, split.image_pids)
    write_queries(folder, split, {"t2i": found})
    told = {"data": "rstp", "split": "test", "retriever": folder.name, "gallery": gallery}
    (folder / "result.json").write_text(json.dumps(told))
    return folder


def test_a_better_model_is_told_from_one_that_is_the_same(tmp_path: Path) -> None:
    noisy, clear = (read_measurement(_measured(tmp_path / name, noise)) for name, noise in (("a", 0.5), ("b", 0.1)))
    found = compare_measurements(noisy, clear).differences["mAP"]
    assert found.gain > 20
    assert found.p < 0.001
    assert found.interval is not None
    assert found.interval[0] > 0
    same = compare_measurements(clear, clear)
    assert {one.p for one in same.differences.values()} == {1}


def test_queries_are_paired_by_caption_and_person_whatever_their_order(tmp_path: Path) -> None:
    whole = _measured(tmp_path / "a", 0.4)
    shuffled = tmp_path / "b"
    shuffled.mkdir()
    lines = (whole / "queries.jsonl").read_text().splitlines()
    (shuffled / "queries.jsonl").write_text("\n".join(lines[::-1][:40]) + "\n")
    (shuffled / "result.json").write_text((whole / "result.json").read_text())
    found = compare_measurements(read_measurement(whole), read_measurement(shuffled / "result.json"))
    assert (found.queries, found.left_out) == (40, 20)
    assert {one.gain for one in found.differences.values()} == {0}


def test_what_cannot_be_compared_is_refused_with_the_cure(tmp_path: Path) -> None:
    first = read_measurement(_measured(tmp_path / "a", 0.4))
    other = read_measurement(_measured(tmp_path / "b", 0.4, gallery="def"))
    with pytest.raises(CtgiError, match="other images"):
        compare_measurements(first, other)
    with pytest.raises(CtgiError, match=r"no result.json and queries.jsonl of ctgi evaluate"):
        read_measurement(tmp_path)
    (tmp_path / "b" / "queries.jsonl").write_text('{"caption": "x", "pid": 1, "t2i": {"R@1": 1}}\n')
    with pytest.raises(CtgiError, match=r"lacks 'R@5'"):
        damaged = read_measurement(tmp_path / "b")
        compare_measurements(damaged, damaged)
    (tmp_path / "b" / "queries.jsonl").write_text('{"caption": 3}\n')
    with pytest.raises(CtgiError, match="line 1"):
        read_measurement(tmp_path / "b")


def test_a_caption_without_letters_of_utf8_is_kept(tmp_path: Path) -> None:
    split = _split(1)
    odd = Split(split.name, split.images, split.image_pids, ("\udcff", *split.captions[1:]), split.caption_pids,
                split.caption_images)  # fmt: skip
    found = read_measurement(_measured(tmp_path / "a", 0.1, split=odd))
    assert (0, "\udcff", 0) in found.queries
