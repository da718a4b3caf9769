import numpy as np
import pytest

from ctgi.retrieval import resampling
from ctgi.retrieval.resampling import compare, intervals


def test_an_interval_is_as_wide_as_people_differ_not_queries() -> None:
    """100 people with 20 queries each, which all hit or all miss: the width is that of 100 coins, not of 2,000."""
    hits = np.repeat(np.random.default_rng(0).integers(0, 2, 100), 20) * 100.0
    people = np.repeat(np.arange(100), 20).tolist()
    low, high = intervals({"R@1": hits}, people)["R@1"]
    by_query = intervals({"R@1": hits}, range(2000))["R@1"]
    share = hits.mean() / 100
    assert (high - low) / 2 == pytest.approx(1.96 * 100 * (share * (1 - share) / 100) ** 0.5, rel=0.1)
    assert (by_query[1] - by_query[0]) * 4 < high - low
    assert low < hits.mean() < high


def test_people_with_many_queries_weigh_more_as_in_the_mean() -> None:
    hits = np.array([100.0, 100, 100, 0])
    low, high = intervals({"R@1": hits}, [1, 1, 1, 2])["R@1"]
    assert (low, high) == (0, 100)  # either person may be drawn twice
    means = {0, 75, 100}
    assert hits.mean() in means


def test_one_person_tells_nothing_about_others() -> None:
    assert intervals({"R@1": np.array([1.0, 0])}, [7, 7]) == {}


def test_the_same_seed_gives_the_same_numbers_however_much_memory_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"mAP": np.random.default_rng(1).normal(size=60)}
    people = [row // 3 for row in range(60)]
    whole = intervals(values, people)
    assert intervals(values, people) == whole
    assert intervals(values, people, seed=1) != whole
    monkeypatch.setattr(resampling, "_CHUNK", 100)
    assert intervals(values, people)["mAP"] == pytest.approx(whole["mAP"])


def test_a_gain_of_every_person_is_found_and_noise_is_not() -> None:
    generator = np.random.default_rng(0)
    people = np.repeat(np.arange(50), 4).tolist()
    before = generator.normal(50, 10, 200)
    better = compare({"mAP": before}, {"mAP": before + 1}, people)["mAP"]
    assert better.gain == pytest.approx(1)
    assert better.p == pytest.approx(1 / 10_001)  # no exchange does as well
    assert better.interval == pytest.approx((1, 1))
    noise = compare({"mAP": before}, {"mAP": before + generator.normal(0, 5, 200)}, people)["mAP"]
    assert noise.p > 0.05
    assert noise.interval[0] < 0 < noise.interval[1]


def test_two_equal_runs_differ_by_chance_alone() -> None:
    values = {"R@1": np.array([1.0, 0, 1, 1])}
    same = compare(values, values, [1, 1, 2, 3])["R@1"]
    assert (same.gain, same.p, same.interval) == (0, 1, (0, 0))


def test_p_is_exact_where_it_can_be_counted() -> None:
    """Three people gain 1 each: of the 8 exchanges two are as extreme, +3 and -3."""
    gains = compare({"mAP": np.zeros(3)}, {"mAP": np.ones(3)}, [1, 2, 3])["mAP"]
    assert gains.p == pytest.approx(2 / 8, abs=0.02)
