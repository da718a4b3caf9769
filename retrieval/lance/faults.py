"""Reads every row of a gallery on LanceDB, and says what is wrong."""

from collections.abc import Iterator

import numpy as np

from ctgi.retrieval.lance.tables import PATH, VECTOR, LanceTable, matrix


def faults(table: LanceTable) -> Iterator[str]:
    """What is wrong with the rows.

    Raises:
        CtgiError: they cannot be read.
    """
    import pyarrow as pa

    wrong, hashes = 0, [np.empty(0, np.int64)]
    for batch in table.batches([PATH, VECTOR]):
        vectors = matrix(pa.Table.from_batches([batch])).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            wrong += int((~(np.abs(np.einsum("ij,ij->i", vectors, vectors) - 1) < 0.02)).sum())
        wrong += len(batch) - len(vectors)
        hashes.append(np.fromiter(map(hash, batch[PATH].to_pylist()), np.int64, len(batch)))
    paths = np.concatenate(hashes)
    if wrong:
        yield f"{wrong:,} embeddings are not of length 1: run ctgi index --rebuild on all of its images"
    if twice := len(paths) - len(np.unique(paths)):
        yield f"{twice:,} paths are there twice: another program wrote to it; run ctgi index --rebuild"
