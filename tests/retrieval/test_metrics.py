import numpy as np
import pytest

from ctgi.errors import CtgiError
from ctgi.retrieval.metrics import Metrics, evaluate_blocks, evaluate_features, evaluate_scores, row_slices


def test_parity_rank(golden) -> None:
    for case in golden("rank"):
        for c in range(int(case["n_cases"])):
            scores, queries, gallery = (case[f"c{c}_{name}"] for name in ("similarity", "q_pids", "g_pids"))
            _same(evaluate_scores(scores, queries, gallery, ks=range(1, 11)), case, f"c{c}_")
            if f"c{c}_i2t_mAP" in case:
                _same(evaluate_scores(scores.T, gallery, queries, ks=range(1, 11)), case, f"c{c}_i2t_")


def _same(metrics: Metrics, case: dict[str, np.ndarray], prefix: str) -> None:
    curve = case[f"{prefix}cmc10"]  # as long as the gallery, if that is smaller
    np.testing.assert_allclose(list(metrics.recall.values())[: len(curve)], curve, atol=1e-4)
    np.testing.assert_allclose(metrics.mean_ap, case[f"{prefix}mAP"], atol=1e-4)
    np.testing.assert_allclose(metrics.mean_inp, case[f"{prefix}mINP"], atol=1e-4)


def test_a_ranking_one_can_check_by_eye() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.6], [0.1, 0.9, 0.2, 0.3]], np.float32)
    metrics = evaluate_scores(scores, [1, 2], [1, 2, 1, 2], ks=(1, 3))
    # query 0: matches at ranks 1 and 3; query 1: at 1 and 2
    assert metrics.recall == {1: 100, 3: 100}
    assert metrics.mean_ap == pytest.approx(100 * ((1 + 2 / 3) / 2 + 1) / 2)
    assert metrics.mean_inp == pytest.approx(100 * (2 / 3 + 1) / 2)


def test_queries_without_a_match_are_left_out_and_counted() -> None:
    scores = np.array([[0.1, 0.2], [0.5, 0.4]], np.float32)
    metrics = evaluate_scores(scores, [9, 1], [1, 2])
    assert (metrics.queries, metrics.unmatched, metrics.recall[1]) == (1, 1, 100)
    with pytest.raises(CtgiError, match="no query has a match"):
        evaluate_scores(scores, [8, 9], [1, 2])


def test_a_gallery_smaller_than_k() -> None:
    assert evaluate_scores(np.array([[0.1, 0.9]], np.float32), [1], [1, 2]).recall == {1: 0, 5: 100, 10: 100}


def test_ties_rank_in_gallery_order() -> None:
    scores = np.array([[0.5, 0.5, 0.5, 0.9]], np.float32)
    assert evaluate_scores(scores, [1], [1, 2, 3, 4], ks=(1, 2, 3)).recall == {1: 0, 2: 100, 3: 100}
    assert evaluate_scores(scores, [1], [2, 3, 1, 4], ks=(2, 3, 4)).recall == {2: 0, 3: 0, 4: 100}
    both = evaluate_scores(scores, [1], [2, 1, 1, 4])
    assert both.mean_inp == pytest.approx(100 * 2 / 4)


def test_features_and_blocks_of_rows_give_the_same() -> None:
    generator = np.random.default_rng(0)
    queries, gallery = (generator.normal(size=(n, 16)).astype(np.float32) for n in (50, 40))
    pids = generator.integers(0, 9, 50), generator.integers(0, 9, 40)
    whole = evaluate_scores(queries @ gallery.T, *pids)
    assert evaluate_features(queries, gallery, *pids) == whole
    blocks = (queries[start : start + 7] @ gallery.T for start in range(0, 50, 7))
    assert evaluate_blocks(blocks, (50, 40), *pids) == whole


def test_rows_are_taken_by_32_mib() -> None:
    assert list(row_slices(5, 2**22)) == [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert list(row_slices(2, 2**30)) == [slice(0, 1), slice(1, 2)]


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(CtgiError, match="not a number"):
        evaluate_scores(np.array([[np.nan, 1.0]], np.float32), [1], [1, 2])
    with pytest.raises(CtgiError, match="do not fit"):
        evaluate_scores(np.zeros((2, 2), np.float32), [1], [1, 2])
