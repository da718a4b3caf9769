"""Ranking metrics: R@k, mAP and mINP, as the person search benchmarks define them.

Equal scores have no order: a metric is its mean over all orders of them (`ctgi.retrieval.ties`), so that a model that
gives every image the same score gets what chance gets, whatever the order of the gallery.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.retrieval.ties import Places, places

_CHUNK_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Metrics:
    """Percentages in [0, 100], means over the queries that have a match in the gallery."""

    recall: dict[int, float]
    """R@k by k. If the gallery is smaller than k, its size replaces k."""
    mean_ap: float
    mean_inp: float
    """Mean inverse negative penalty: number of matches divided by the rank of the last match."""
    queries: int
    """Number of queries with a match."""
    unmatched: int
    """Number of queries left out because nothing in the gallery matches them."""


@dataclass(frozen=True)
class QueryMetrics:
    """The metrics of each query that has a match in the gallery, from 0 to 1."""

    rows: NDArray[np.intp]
    """[M]: which queries they are."""
    asked: int
    """Number of all queries."""
    first: NDArray[np.float64]
    """[M]: rank of the best match, from 1; between two ranks where its score is not its alone."""
    hits: Mapping[int, NDArray[np.float64]]
    """k -> [M]: whether a match is among the first k."""
    average_precision: NDArray[np.float64]
    """[M]."""
    inverse_negative_penalty: NDArray[np.float64]
    """[M]."""

    def mean(self) -> Metrics:
        """Over the queries."""
        return Metrics(
            recall={k: 100 * float(values.mean()) for k, values in self.hits.items()},
            mean_ap=100 * float(self.average_precision.mean()),
            mean_inp=100 * float(self.inverse_negative_penalty.mean()),
            queries=len(self.rows),
            unmatched=self.asked - len(self.rows),
        )

    def by_name(self) -> dict[str, NDArray[np.float64]]:
        """Percentages [M] by the names papers use."""
        values = {f"R@{k}": hits for k, hits in self.hits.items()}
        values |= {"mAP": self.average_precision, "mINP": self.inverse_negative_penalty}
        return {name: 100 * column for name, column in values.items()}


def evaluate_scores(
    scores: NDArray[np.float32],
    query_pids: Sequence[int],
    gallery_pids: Sequence[int],
    *,
    ks: Sequence[int] = (1, 5, 10),
) -> Metrics:
    """Metrics of a similarity matrix [Q, G]. Every image of a query's person is a match.

    Raises:
        CtgiError: no query has a match, shapes do not fit, or a score is not a number.
    """
    chunks = (scores[rows].astype(np.float32) for rows in row_slices(*scores.shape))
    return evaluate_blocks(chunks, scores.shape, query_pids, gallery_pids, ks)


def evaluate_features(
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    query_pids: Sequence[int],
    gallery_pids: Sequence[int],
    *,
    ks: Sequence[int] = (1, 5, 10),
) -> Metrics:
    """The same from L2-normalized features [Q, D] and [G, D], without ever holding the whole matrix."""
    return measure_features(queries, gallery, query_pids, gallery_pids, ks=ks).mean()


def measure_features(
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    query_pids: Sequence[int],
    gallery_pids: Sequence[int],
    *,
    ks: Sequence[int] = (1, 5, 10),
) -> QueryMetrics:
    """The same query by query."""
    shape = len(queries), len(gallery)
    chunks = (queries[rows] @ gallery.T for rows in row_slices(*shape))
    return measure_queries(chunks, shape, query_pids, gallery_pids, ks)


def row_slices(rows: int, columns: int) -> Iterator[slice]:
    """Slices of rows for float32 blocks [rows, columns] of at most 32 MiB."""
    step = max(1, _CHUNK_BYTES // (4 * max(1, columns)))
    return (slice(start, start + step) for start in range(0, rows, step))


def evaluate_blocks(
    blocks: Iterator[NDArray[np.float32]],
    shape: tuple[int, ...],
    query_pids: Sequence[int],
    gallery_pids: Sequence[int],
    ks: Sequence[int] = (1, 5, 10),
) -> Metrics:
    """The same from consecutive blocks of rows of a matrix of this shape [Q, G]."""
    return measure_queries(blocks, shape, query_pids, gallery_pids, ks).mean()


def measure_queries(
    blocks: Iterator[NDArray[np.float32]],
    shape: tuple[int, ...],
    query_pids: Sequence[int],
    gallery_pids: Sequence[int],
    ks: Sequence[int] = (1, 5, 10),
) -> QueryMetrics:
    """The same query by query.

    Raises:
        CtgiError: as `evaluate_scores`.
    """
    if shape != (len(query_pids), len(gallery_pids)):
        raise CtgiError(f"scores of shape {shape} do not fit {len(query_pids)} queries and {len(gallery_pids)} images")
    found = dict(_places(blocks, query_pids, _columns_by_pid(gallery_pids)))
    if not found:
        raise CtgiError("no query has a match in the gallery: check that both use the same person ids")
    every = found.values()
    return QueryMetrics(
        rows=np.array([*found], np.intp),
        asked=len(query_pids),
        first=np.array([one.first for one in every]),
        hits={k: np.array([one.hit(k) for one in every]) for k in ks},
        average_precision=np.array([one.average_precision for one in every]),
        inverse_negative_penalty=np.array([one.inverse_negative_penalty for one in every]),
    )


def _columns_by_pid(pids: Sequence[int]) -> dict[int, NDArray[np.intp]]:
    order = np.argsort(pids, kind="stable")
    names, starts = np.unique(np.asarray(pids)[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))


def _places(
    chunks: Iterator[NDArray[np.float32]], pids: Sequence[int], matches: dict[int, NDArray[np.intp]]
) -> Iterator[tuple[int, Places]]:
    """(row, where its matches rank) of each query that has a match.

    A rank needs only the number of higher scores, so rows are sorted by value and never by index.
    """
    rows = (pair for scores in chunks for pair in zip(scores, np.sort(scores, axis=1), strict=True))
    for query, (pid, (row, ascending)) in enumerate(zip(pids, rows, strict=True)):
        if np.isnan(ascending[-1:]).any():  # NaN sorts last
            raise CtgiError("a score is not a number: check that all features are finite")
        columns = matches.get(int(pid))
        if columns is not None:
            yield query, places(ascending, row[columns])
