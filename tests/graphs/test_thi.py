"""ICL's test-time interaction: its decisions, merge and answer parsing, against numbers of the released code."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from ctgi.agents.thi import parse_numbered, thi_anchor, thi_asked
from ctgi.retrieval.fusion import fuse
from ctgi.retrieval.metrics import evaluate_scores

Golden = Callable[[str], list[dict[str, np.ndarray]]]


@pytest.mark.parametrize(
    ("verdicts", "top", "anchor"),
    [
        ([True, True], 0.6, 0),
        ([True, True], 0.5, None),  # confirmed, yet not above xi: nothing further down may qualify
        ([False, True], 0.5, 1),
        ([False, True], 0.6, None),
        ([False, False], 0.5, None),
        ([], 0.5, None),
    ],
)
def test_only_the_first_yes_counts(verdicts: list[bool], top: float, anchor: int | None) -> None:
    assert thi_anchor(verdicts, top, 0.5) == anchor


def decide(case: dict[str, np.ndarray]) -> tuple[list[int | None], np.ndarray]:
    """Place of each query's anchor or None, and columns by rank [Q, K]."""
    similarity, k = case["similarity"], int(case["K"])
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    verdicts = np.take_along_axis(case["verdict_yes"], order, axis=1)
    tops = similarity.max(axis=1)
    xi = float(case["xi"])
    return [thi_anchor(row.tolist(), float(top), xi) for row, top in zip(verdicts, tops, strict=True)], order


def test_parity_icl_thi_who_is_asked_and_what_is_decided(golden: Golden) -> None:
    for case in golden("icl_thi"):
        places, order = decide(case)
        k = int(case["K"])
        asked = np.array([[turn < thi_asked(place, k) for place in places] for turn in range(k)])
        assert (asked == case["asked"]).all()
        assert asked.sum(axis=1).tolist() == case["calls_verify"].tolist()
        refined = [sum(place == turn for place in places) for turn in range(k)]
        assert refined == case["calls_vqa"].tolist() == case["calls_agg"].tolist()
        yes = np.take_along_axis(case["verdict_yes"], order, axis=1).T
        assert ((yes & asked) == case["decisions"].astype(bool)).all()


def test_parity_icl_thi_anchors_merge_and_metrics(golden: Golden) -> None:
    for case in golden("icl_thi"):
        places, order = decide(case)
        similarity, lam = case["similarity"], float(case["lam"])
        pids = case["q_pids"].tolist(), case["g_pids"].tolist()
        _compare(similarity, case["metrics_base"], *pids)
        for turn in range(1, int(case["K"]) + 1):
            anchors = [
                int(order[row, place]) if place is not None and place < turn else None
                for row, place in enumerate(places)
            ]
            expected = case[f"anchor_after_round{turn}"]
            assert [-1 if anchor is None else anchor for anchor in anchors] == expected.tolist()
            wanted = [None if anchor is None else [anchor] for anchor in anchors]
            merged = fuse(similarity, case[f"refined_similarity_round{turn}"], wanted, lam, "refined")
            np.testing.assert_allclose(merged, case[f"merged_after_round{turn}"], rtol=1e-5, atol=1e-6)
            _compare(merged, case[f"metrics_after_round{turn}"], *pids)


def _compare(scores: np.ndarray, expected: np.ndarray, queries: list[int], images: list[int]) -> None:
    metrics = evaluate_scores(scores, queries, images)
    found = [*metrics.recall.values(), metrics.mean_ap, metrics.mean_inp]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_parity_icl_thi_answers(golden: Golden) -> None:
    for case in golden("icl_thi"):
        expected = json.loads(str(case["vqa_parsed_json"]))
        assert [parse_numbered(text) for text in case["vqa_raw"].tolist()] == expected


def test_answers_of_one_line_each() -> None:
    said = "Here they are:\n1. Yes, she wears a hat. It is red.\n2. no scarf\n3) none"
    assert parse_numbered(said) == ["She wears a hat.", "No scarf.", ""]
