from itertools import pairwise, permutations

import numpy as np
import pytest

from ctgi.errors import CtgiError
from ctgi.retrieval.metrics import (
    Metrics,
    evaluate_blocks,
    evaluate_features,
    evaluate_scores,
    measure_features,
    measure_queries,
    row_slices,
)


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


def _mean_over_orders(scores: list[float], pids: list[int], ks: tuple[int, ...]) -> Metrics:
    """The metrics of one query of person 1, averaged over all ways to order equal scores."""
    orders = [
        order
        for order in permutations(range(len(scores)))
        if all(scores[one] >= scores[after] for one, after in pairwise(order))
    ]
    found = []
    for order in orders:
        ranked = np.array([[-order.index(column) for column in range(len(scores))]], np.float32)
        found.append(evaluate_scores(ranked, [1], pids, ks=ks))
    return Metrics(
        {k: float(np.mean([one.recall[k] for one in found])) for k in ks},
        float(np.mean([one.mean_ap for one in found])),
        float(np.mean([one.mean_inp for one in found])),
        1,
        0,
    )


@pytest.mark.parametrize(
    ("scores", "pids"),
    [
        ([0.5] * 6, [1, 1, 2, 2, 3, 3]),
        ([0.5] * 4, [1, 1, 1, 1]),
        ([0.9, 0.5, 0.5, 0.5, 0.1], [2, 2, 1, 3, 3]),
        ([0.9, 0.9, 0.5, 0.5, 0.5, 0.1], [1, 2, 1, 1, 3, 1]),
        ([0.9, 0.9, 0.9, 0.5, 0.5, 0.5], [1, 2, 3, 1, 1, 2]),
    ],
)
def test_a_tie_counts_as_the_mean_over_its_orders(scores: list[float], pids: list[int]) -> None:
    ks = (1, 2, 3, 5)
    found, expected = (
        evaluate_scores(np.array([scores], np.float32), [1], pids, ks=ks),
        _mean_over_orders(scores, pids, ks),
    )
    assert found.recall == pytest.approx(expected.recall)
    assert (found.mean_ap, found.mean_inp) == pytest.approx((expected.mean_ap, expected.mean_inp))


def test_the_rank_of_a_tied_match_lies_between() -> None:
    scores = np.array([[0.9, 0.5, 0.5, 0.5]], np.float32)
    found = measure_queries(iter([scores]), scores.shape, [1], [2, 1, 3, 3])
    assert found.first.tolist() == [3]
    both = measure_queries(iter([scores]), scores.shape, [1], [2, 1, 1, 3])
    assert both.first.tolist() == pytest.approx([1 + 4 / 3])  # the better of two among three places


def test_a_model_that_gives_one_vector_to_everything_scores_chance() -> None:
    """Matrix products tell equal vectors apart in the last bit, by where they stand; that is no order either."""
    generator = np.random.default_rng(0)
    people, views = 40, 5
    gallery = np.repeat(np.arange(people), views)  # the images of a person stand together, as in every data set
    one = generator.normal(size=512).astype(np.float32)
    images = np.tile(one / np.linalg.norm(one), (len(gallery), 1))
    texts = generator.normal(size=(97, 512)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    found = measure_features(texts, images, [0] * len(texts), gallery.tolist())
    chance = generator.permuted(np.tile(np.arange(200, dtype=np.float32), (5_000, 1)), axis=1)
    expected = evaluate_scores(chance, [0] * len(chance), gallery.tolist())
    assert np.ptp(found.average_precision) == 0
    assert found.mean().recall[1] == pytest.approx(100 / people)
    assert found.mean().mean_ap == pytest.approx(expected.mean_ap, abs=0.3)
    assert found.mean().mean_inp == pytest.approx(expected.mean_inp, abs=0.3)


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
