"""Eq. 7: the scores of a query and of its refinement as one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError

MODES = ("refined", "final")


def fuse(
    scores: NDArray[np.float32],
    refined: NDArray[np.float32],
    anchors: Sequence[Sequence[int] | None],
    lam: float,
    mode: str,
) -> NDArray[np.float32]:
    """Weighted sum lam * S + (1 - lam) * R (Eq. 7), where the similarity of confirmed images counts as 1.

    "refined" puts the 1 into R, as ICL's code does: an anchor rises by (1 - lam)(1 - R) and is not
    necessarily first. "final" puts it into the fused score, as Eq. 7 reads literally: anchors come first.

    Args:
        scores: S, [Q, G], cosines of the queries.
        refined: R, [Q, G], cosines of the refined queries.
        anchors: gallery columns confirmed for each query; None for a query that was not refined, whose row of S is
            returned unchanged.
        lam: the original query's share, in [0, 1].
        mode: "refined" or "final".

    Returns:
        [Q, G].

    Raises:
        CtgiError: an unknown mode.
    """
    check_mode(mode)
    fused = scores.copy()
    for query, columns in enumerate(anchors):
        if columns is not None:
            fused[query] = blend(scores[query], refined[query], list(columns), lam, mode)
    return fused


def blend(
    scores: NDArray[np.float32], refined: NDArray[np.float32], anchors: list[int], lam: float, mode: str
) -> NDArray[np.float32]:
    """Eq. 7 for one query: [G] and [G], anchors by position -> [G]."""
    second = refined.copy()
    if mode == "refined":
        second[anchors] = 1
    fused = np.float32(lam) * scores + np.float32(1 - lam) * second
    if mode == "final":
        fused[anchors] = 1
    return fused


def check_mode(mode: str) -> None:
    """Raise CtgiError unless `mode` is one of MODES."""
    if mode not in MODES:
        raise CtgiError(f"fusion mode {mode!r}: expected one of {', '.join(MODES)}")
