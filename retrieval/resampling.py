"""How sure a measurement is: intervals and tests over people, because the queries of one person stand or fall together.

The gallery stays as it is; only the people who are looked for are drawn anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
"""Samples of people for an interval."""
SWAPS = 10_000
"""Random exchanges of two runs for a test."""
LEVEL = 95
"""Per cent of the samples that an interval holds."""
_CHUNK = 2**22  # numbers drawn at once

Values = Mapping[str, NDArray[np.float64]]
"""Name of a metric -> its values [M], one per query."""


@dataclass(frozen=True)
class Difference:
    """One metric of two runs on the same queries."""

    first: float
    second: float
    interval: tuple[float, float] | None
    """Of the difference, second minus first; None where there are fewer than two people."""
    p: float
    """How often a difference at least this large comes up if the two runs are exchanged at random, person by person."""

    @property
    def gain(self) -> float:
        """Second minus first."""
        return self.second - self.first


def intervals(values: Values, people: Sequence[int], *, seed: int = 0) -> dict[str, tuple[float, float]]:
    """The bootstrap interval (percentiles) of each mean; empty where there are fewer than two people.

    Args:
        values: the metrics of each query.
        people: whom each query looks for.
        seed: the same seed gives the same interval.
    """
    totals, counts = _by_person(values, people)
    if len(counts) < 2:
        return {}
    means = np.concatenate([drawn @ totals / (drawn @ counts)[:, None] for drawn in _draws(len(counts), seed)])
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(means, (tail, 100 - tail), axis=0)
    return {name: (float(low[place]), float(high[place])) for place, name in enumerate(values)}


def compare(first: Values, second: Values, people: Sequence[int], *, seed: int = 0) -> dict[str, Difference]:
    """The differences of two runs on the same queries, with a paired test.

    Args:
        first: the metrics of each query in one run.
        second: the same in the other, in the same order.
        people: whom each query looks for.
        seed: the same seed gives the same numbers.
    """
    gains = {name: second[name] - first[name] for name in first}
    around = intervals(gains, people, seed=seed)
    chance = _exchanged(gains, people, seed)
    return {
        name: Difference(
            float(first[name].mean()),
            float(second[name].mean()),
            around.get(name),
            chance[name],
        )
        for name in gains
    }


def _exchanged(gains: Values, people: Sequence[int], seed: int) -> dict[str, float]:
    """Two-sided p of each metric: person by person, the two runs are exchanged or not."""
    totals, _ = _by_person(gains, people)
    generator, beaten = np.random.default_rng(seed), np.ones(len(gains))
    for rows in _slices(SWAPS, len(totals)):
        signs = generator.integers(0, 2, (rows, len(totals)), np.int8) * 2.0 - 1
        beaten += (np.abs(signs @ totals) >= np.abs(totals.sum(axis=0)) * (1 - 1e-9)).sum(axis=0)
    return dict(zip(gains, (beaten / (SWAPS + 1)).tolist(), strict=True))


def _by_person(values: Values, people: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums [P, N] of each metric over a person's queries, and how many those are [P]."""
    _, person = np.unique(np.asarray(people), return_inverse=True)
    sums = [np.bincount(person, weights=column) for column in values.values()]
    return np.stack(sums, axis=1), np.bincount(person).astype(np.float64)


def _draws(people: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each person is drawn, [some, P], in all DRAWS rows."""
    generator = np.random.default_rng(seed)
    for rows in _slices(DRAWS, people):
        yield generator.multinomial(people, np.full(people, 1 / people), size=rows).astype(np.float64)


def _slices(rows: int, columns: int) -> Iterator[int]:
    """Numbers of rows that add up to `rows`, few enough for the memory."""
    step = max(1, _CHUNK // columns)
    while rows > 0:
        yield min(step, rows)
        rows -= step
