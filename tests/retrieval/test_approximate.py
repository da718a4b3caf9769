"""Approximate indexes: the stored rows decide, and filters hold."""

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from ctgi.retrieval import approximate
from ctgi.retrieval.approximate import Approximate
from ctgi.retrieval.index import exact_index
from ctgi.retrieval.subset import Subset

COUNT, DIM, K = 2000, 32, 10


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float16]:
    random = np.random.default_rng(0)
    found = random.standard_normal((200, DIM))[random.integers(0, 200, COUNT)] + 0.7 * random.normal(size=(COUNT, DIM))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture(scope="module")
def queries(rows: NDArray[np.float16]) -> NDArray[np.float32]:
    return np.ascontiguousarray(rows[::100], np.float32)


def made(factory: str, rows: NDArray[np.float16]) -> Approximate:
    index = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
    index.train(rows.astype(np.float32))
    index.add(rows.astype(np.float32))
    return Approximate(index, factory, rows)


def recall(found: NDArray[np.int64], wanted: NDArray[np.int64]) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(found, wanted, strict=True)]))


@pytest.mark.parametrize("factory", ["IVF4,PQ8x4", "PCA16,IVF4,PQ8x4", "PQ8x4"])
def test_the_stored_rows_decide_where_an_index_only_estimates(
    rows: NDArray[np.float16], queries: NDArray[np.float32], factory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, wanted = exact_index(rows).search(queries, K)
    index = made(factory, rows)
    scores, found = index.search(queries, K)
    for query, row, score in zip(queries, found, scores, strict=True):
        np.testing.assert_allclose(score, rows[row].astype(np.float32) @ query, rtol=1e-5)
    assert (np.diff(scores) <= 0).all()
    refined = recall(found, wanted)
    monkeypatch.setattr(approximate, "_REFINE", 1)
    assert refined > recall(index.search(queries, K)[1], wanted) + 0.1
    assert refined > 0.8


@pytest.mark.parametrize("factory", ["IVF32,Flat", "PCA16,IVF32,PQ8x4"])
@pytest.mark.parametrize("share", [2, 20])
def test_a_filter_is_kept_within_the_index(
    rows: NDArray[np.float16],
    queries: NDArray[np.float32],
    factory: str,
    share: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(approximate, "_FEW", 50)
    monkeypatch.setattr(approximate, "_LISTS_LOOKED_THROUGH", 1)
    chosen = np.arange(1, COUNT, share)
    _, wanted = Subset(rows, chosen).search(queries, K)
    narrowed = made(factory, rows).narrowed(chosen)
    assert isinstance(narrowed, Approximate)
    _, found = narrowed.search(queries, K)
    assert np.isin(found, chosen).all()
    assert recall(found, wanted) > (0.9 if share == 20 else 0.75)  # of 32 lists 6 are looked through, here 11 or all


@pytest.mark.parametrize(("factory", "few"), [("IVF8,Flat", 5000), ("HNSW8", 50)])
def test_few_rows_are_compared_one_by_one(
    rows: NDArray[np.float16],
    queries: NDArray[np.float32],
    factory: str,
    few: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(approximate, "_FEW", few)
    chosen = np.arange(0, COUNT, 3)
    index = made(factory, rows)
    for found, wanted in zip(
        index.narrowed(chosen).search(queries, K), Subset(rows, chosen).search(queries, K), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_lists_with_too_few_rows_are_made_up_for_by_all(
    rows: NDArray[np.float16], queries: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "_FEW", 5)
    index = made("IVF64,Flat", rows)
    wanted = exact_index(rows).search(queries, COUNT)[1]
    np.testing.assert_array_equal(index.search(queries, COUNT)[1], wanted)
    chosen = np.array([3, 5, 700, 701, 702, 1999])
    _, found = index.narrowed(chosen).search(queries, 6)
    np.testing.assert_array_equal(np.sort(found), np.broadcast_to(chosen, found.shape))
