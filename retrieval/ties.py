"""Where the matches of one query rank. Equal scores have no order: what is told is the mean over all their orders."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAME = 2e-7
"""Scores that differ by no more are equal: the product of two unit vectors in float32 is not more exact."""


@dataclass(frozen=True)
class Places:
    """The groups of equal scores that hold matches of a query, the best group first."""

    above: NDArray[np.intp]
    """Images with a higher score than the group."""
    size: NDArray[np.intp]
    """Images in the group."""
    matches: NDArray[np.intp]
    """Matches in the group."""

    @property
    def total(self) -> int:
        """All matches."""
        return int(self.matches.sum())

    @property
    def first(self) -> float:
        """Expected rank of the best match, from 1."""
        return float(self.above[0] + (self.size[0] + 1) / (self.matches[0] + 1))

    def hit(self, k: int) -> float:
        """Probability that a match is among the first k."""
        above, size, matches = int(self.above[0]), int(self.size[0]), int(self.matches[0])
        if not above < k < above + size:  # the whole group is within the first k, or none of it
            return float(above < k)
        return 1 - float(_all_within(np.array([above + size - k]), matches, size)[0])

    @property
    def average_precision(self) -> float:
        """Expected average precision, from 0 to 1."""
        before = np.cumsum(self.matches) - self.matches
        if (self.size == 1).all():
            return float(((before + 1) / (self.above + 1)).mean())
        groups = zip(self.above.tolist(), self.size.tolist(), self.matches.tolist(), before.tolist(), strict=True)
        return sum(_precisions(*group) for group in groups) / self.total

    @property
    def inverse_negative_penalty(self) -> float:
        """Expected number of matches divided by the rank of the last one, from 0 to 1."""
        above, size, matches = int(self.above[-1]), int(self.size[-1]), int(self.matches[-1])
        if size == 1:
            return self.total / (above + 1)
        last = np.diff(_all_within(np.arange(size + 1), matches, size))
        return float(self.total * (last / (above + np.arange(1, size + 1))).sum())


def places(ascending: NDArray[np.float32], wanted: NDArray[np.float32]) -> Places:
    """The places of matches with the scores `wanted` among all scores of a query, [G] in ascending order."""
    found = np.sort(np.searchsorted(ascending, wanted))[::-1]
    last = len(ascending) - 1
    below = ascending[found] - ascending[np.maximum(found - 1, 0)] > SAME
    above = ascending[np.minimum(found + 1, last)] - ascending[found] > SAME
    if ((below | (found == 0)) & (above | (found == last))).all():
        one = np.ones(len(found), np.intp)
        return Places(last - found, one, one)
    return _tied(ascending, found)


def _tied(ascending: NDArray[np.float32], found: NDArray[np.intp]) -> Places:
    """The same where some of the matches share their score; `found` are their indices."""
    starts = np.flatnonzero(np.diff(ascending) > SAME) + 1
    ends = np.append(starts, len(ascending))
    groups, matches = np.unique(np.searchsorted(starts, found, side="right"), return_counts=True)
    best_first = groups[::-1]
    end = ends[best_first]
    start = np.where(best_first > 0, ends[best_first - 1], 0)
    return Places(len(ascending) - end, end - start, matches[::-1])


def _precisions(above: int, size: int, matches: int, before: int) -> float:
    """Expected sum of the precisions at the matches of a group; `before` counts the matches above it."""
    place = np.arange(size)
    found = before + 1 + place * (matches - 1) / max(size - 1, 1)
    return float(matches / size * (found / (above + place + 1)).sum())


def _all_within(first: NDArray[np.intp], matches: int, size: int) -> NDArray[np.float64]:
    """Probability that all matches of a group are among its first images, for each number of those."""
    share = np.ones(len(first))
    for drawn in range(matches):
        share *= np.maximum(first - drawn, 0) / (size - drawn)
    return share
