from collections import Counter

from ctgi.retrieval.benchmarks.sampling import spread_queries

PIDS = [pid for pid in range(10) for _ in range(4)]


def test_a_sample_is_spread_over_all_people() -> None:
    """The first ten captions would be of three people."""
    assert Counter(PIDS[row] for row in spread_queries(PIDS, 10, seed=0)) == Counter(range(10))
    assert set(Counter(PIDS[row] for row in spread_queries(PIDS, 20, seed=3)).values()) == {2}


def test_a_larger_sample_holds_the_smaller_and_a_seed_draws_the_same() -> None:
    small, large = spread_queries(PIDS, 7, seed=1), spread_queries(PIDS, 13, seed=1)
    assert set(small) < set(large)
    assert small == sorted(small) == spread_queries(PIDS, 7, seed=1)
    assert small != spread_queries(PIDS, 7, seed=2)
    assert spread_queries(PIDS, 99, seed=0) == list(range(40))


def test_every_query_is_as_likely_as_any_other() -> None:
    pids = [0] * 12 + [1] * 2 + [2]
    drawn = Counter(row for seed in range(3000) for row in spread_queries(pids, 5, seed))
    assert all(abs(drawn[row] / 3000 - 5 / 15) < 0.06 for row in range(15))
