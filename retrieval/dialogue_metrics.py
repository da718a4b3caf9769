"""Metrics of a search turn by turn: Hits@k, Recall@k and BRI, as defined by ChatIR and PlugIR."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError


@dataclass(frozen=True)
class DialogueCurves:
    """Percentages per turn, where turn 0 is the query alone, and one number for the whole dialogue."""

    hits: dict[int, list[float]]
    """Hits@k: queries whose target was among the first k at this turn or any earlier one (ChatIR)."""
    recall: dict[int, list[float]]
    """Recall@k: queries whose target is among the first k at this very turn (PlugIR)."""
    bri: float
    """Best log rank integral (PlugIR): 0 is perfect, lower is better."""


def dialogue_curves(ranks: NDArray[np.floating | np.integer], *, ks: Sequence[int] = (1, 5, 10)) -> DialogueCurves:
    """Curves from the 1-based ranks [Q, R] of each query's target (its best image) after 0 .. R-1 turns.

    Raises:
        CtgiError: no query, or a rank below 1.
    """
    if ranks.ndim != 2 or not ranks.size or ranks.min() < 1:
        raise CtgiError(f"ranks of shape {ranks.shape}: expected [queries, turns + 1] with every rank at least 1")
    best = np.minimum.accumulate(ranks, axis=1)
    return DialogueCurves(
        hits={k: _percent(best <= k) for k in ks},
        recall={k: _percent(ranks <= k) for k in ks},
        bri=best_log_rank_integral(best),
    )


def best_log_rank_integral(best: NDArray[np.floating | np.integer]) -> float:
    """Mean over queries of the trapezoid rule over the log of the best rank so far, per turn; [Q, R] -> scalar.

    With a single column there is no turn to integrate over, and it is the mean log rank itself.
    """
    logs = np.log(best)
    if logs.shape[1] == 1:
        return float(logs.mean())
    return float(((logs[:, :-1] + logs[:, 1:]) / 2).mean())


def _percent(hit: NDArray[np.bool_]) -> list[float]:
    return [100 * float(share) for share in hit.mean(axis=0)]
