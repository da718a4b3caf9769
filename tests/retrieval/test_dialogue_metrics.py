import math

import numpy as np
import pytest

from ctgi.errors import CtgiError
from ctgi.retrieval.dialogue_metrics import dialogue_curves

RANKS = np.array([[4, 2, 3], [1, 1, 1], [20, 12, 5]])  # 3 queries, the query alone and two turns


def test_hits_remember_earlier_turns_and_recall_does_not() -> None:
    curves = dialogue_curves(np.array([[2, 1, 3]]), ks=(1,))
    assert curves.hits == {1: [0, 100, 100]}
    assert curves.recall == {1: [0, 100, 0]}
    curves = dialogue_curves(RANKS, ks=(1, 10))
    assert curves.hits[10] == pytest.approx([200 / 3, 200 / 3, 100])
    assert curves.recall[1] == pytest.approx([100 / 3] * 3)


def test_bri_by_hand() -> None:
    """Best ranks so far: (4, 2, 2), (1, 1, 1), (20, 12, 5); the trapezoid rule over their logs, two intervals."""
    first = (math.log(4) + math.log(2)) / 2 + (math.log(2) + math.log(2)) / 2
    third = (math.log(20) + math.log(12)) / 2 + (math.log(12) + math.log(5)) / 2
    assert dialogue_curves(RANKS).bri == pytest.approx((first + 0 + third) / 3 / 2)


def test_bri_of_a_perfect_search_is_zero() -> None:
    assert dialogue_curves(np.ones((5, 11), int)).bri == 0


def test_no_turn_at_all_leaves_the_mean_log_rank() -> None:
    assert dialogue_curves(np.array([[4], [1]])).bri == pytest.approx(math.log(4) / 2)


@pytest.mark.parametrize("ranks", [np.empty((0, 3), int), np.array([1, 2]), np.array([[0, 1]])])
def test_impossible_ranks_are_refused(ranks: np.ndarray) -> None:
    with pytest.raises(CtgiError, match="expected"):
        dialogue_curves(ranks)
