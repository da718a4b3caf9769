"""Ranking metrics: R@k, mAP and mINP, as the person search benchmarks define them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError

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


def evaluate_scores(
    scores: NDArray[np.float32],
    query_pids: Sequence[int],
    gallery_pids: Sequence[int],
    *,
    ks: Sequence[int] = (1, 5, 10),
) -> Metrics:
    """Metrics of a similarity matrix [Q, G]. Every image of a query's person is a match.

    Equal scores keep the gallery's order on every machine.

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
    shape = len(queries), len(gallery)
    chunks = (queries[rows] @ gallery.T for rows in row_slices(*shape))
    return evaluate_blocks(chunks, shape, query_pids, gallery_pids, ks)


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
    ranks = list(_checked_ranks(blocks, shape, query_pids, gallery_pids))
    if not ranks:
        raise CtgiError("no query has a match in the gallery: check that both use the same person ids")
    first = np.array([found[0] for found in ranks])
    return Metrics(
        recall={k: 100 * float((first <= k).mean()) for k in ks},
        mean_ap=100 * float(np.mean([(np.arange(1, len(found) + 1) / found).mean() for found in ranks])),
        mean_inp=100 * float(np.mean([len(found) / found[-1] for found in ranks])),
        queries=len(ranks),
        unmatched=len(query_pids) - len(ranks),
    )


def best_ranks(
    blocks: Iterator[NDArray[np.float32]],
    shape: tuple[int, ...],
    query_pids: Sequence[int],
    gallery_pids: Sequence[int],
) -> NDArray[np.intp]:
    """1-based rank of the best match of each query that has any, from blocks as `evaluate_blocks` takes them."""
    return np.array([found[0] for found in _checked_ranks(blocks, shape, query_pids, gallery_pids)], np.intp)


def _checked_ranks(
    blocks: Iterator[NDArray[np.float32]],
    shape: tuple[int, ...],
    query_pids: Sequence[int],
    gallery_pids: Sequence[int],
) -> Iterator[NDArray[np.intp]]:
    if shape != (len(query_pids), len(gallery_pids)):
        raise CtgiError(f"scores of shape {shape} do not fit {len(query_pids)} queries and {len(gallery_pids)} images")
    return _match_ranks(blocks, query_pids, _columns_by_pid(gallery_pids))


def _columns_by_pid(pids: Sequence[int]) -> dict[int, NDArray[np.intp]]:
    order = np.argsort(pids, kind="stable")
    names, starts = np.unique(np.asarray(pids)[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))


def _match_ranks(
    chunks: Iterator[NDArray[np.float32]], pids: Sequence[int], matches: dict[int, NDArray[np.intp]]
) -> Iterator[NDArray[np.intp]]:
    """Ascending 1-based ranks of the matches, for each query that has a match.

    A rank needs only the number of higher scores, so rows are sorted by value and never by index.
    """
    rows = (pair for scores in chunks for pair in zip(scores, np.sort(scores, axis=1), strict=True))
    for pid, (row, ascending) in zip(pids, rows, strict=True):
        if np.isnan(ascending[-1:]).any():  # NaN sorts last
            raise CtgiError("a score is not a number: check that all features are finite")
        columns = matches.get(int(pid))
        if columns is not None:
            yield _ranks(row, ascending, columns)


def _ranks(row: NDArray[np.float32], ascending: NDArray[np.float32], columns: NDArray[np.intp]) -> NDArray[np.intp]:
    wanted = row[columns]
    above = len(row) - np.searchsorted(ascending, wanted, side="right")
    equal = len(row) - np.searchsorted(ascending, wanted, side="left") - above
    for place in np.flatnonzero(equal > 1):  # ties: images earlier in the gallery rank first
        above[place] += np.count_nonzero(row[: columns[place]] == wanted[place])
    return np.sort(above) + 1
