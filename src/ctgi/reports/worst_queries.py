"""The queries that found their person last, as searches for the HTML page."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctgi.reports.search_page import write_html
from ctgi.retrieval.evaluate import EncodedSplit
from ctgi.runs.evaluate_mti import MtiRun

SHOWN = 20
"""Queries on the page."""
_LENGTH = 10


def write_worst(
    out: Path, encoded: EncodedSplit, ranks: NDArray[np.intp], made_by: dict[str, Any], run: MtiRun | None = None
) -> None:
    """Write the page of the queries whose best right image ranks lowest; with MTI, their dialogues too.

    Args:
        out: the page.
        encoded: the split.
        ranks: 1-based rank of the best right image, of each query that has one, in their order.
        made_by: `gallery`, `encoder` and `bindings` to print.
        run: the dialogues.

    Raises:
        CtgiError: `out` cannot be written.
    """
    queries = np.flatnonzero(np.isin(encoded.split.caption_pids, encoded.split.image_pids))
    worst = np.argsort(-ranks, kind="stable")[:SHOWN]
    searches = [_search(encoded, int(queries[i]), run) | {"best_rank": int(ranks[i])} | made_by for i in worst]
    pids = [encoded.split.caption_pids[queries[i]] for i in worst]
    write_html(searches, out, relevant=[_shows(encoded, pid) for pid in pids])


def _shows(encoded: EncodedSplit, pid: int) -> Any:
    paths = {path for path, who in zip(encoded.split.images, encoded.split.image_pids, strict=True) if who == pid}
    return paths.__contains__


def _search(encoded: EncodedSplit, query: int, run: MtiRun | None) -> dict[str, Any]:
    """One query in the fields of `ctgi search --json`."""
    before = encoded.image_features @ encoded.text_features[query]
    choice = run.choices(run.settings.mti.xi)[query] if run else None
    after = run.scores(query, choice) if run else before
    said = choice.search if choice else {"verified": [], "seconds": 0.0}
    refined = bool(choice and choice.refined)
    return {
        "query": encoded.split.captions[query],
        "refined_query": said["refined_query"] if refined else None,
        "anchors": said["anchors"] if refined else [],
        "dialogue": said["dialogue"] if refined else [],
        "verified": said["verified"],
        "early_stop": bool(choice and choice.early),
        "rounds": 1 if choice else 0,
        "calls": choice.calls if choice else {},
        "results": _ranked(encoded, before, after),
        "truncated_tokens": encoded.truncated[query],
        "seconds": said["seconds"],
        "trace": None,
    }


def _ranked(encoded: EncodedSplit, before: NDArray[np.float32], after: NDArray[np.float32]) -> list[dict[str, Any]]:
    places = np.empty(len(before), np.int64)
    places[np.argsort(-before, kind="stable")] = np.arange(1, len(before) + 1)
    return [
        {
            "path": encoded.images[column].path,
            "sha256": encoded.images[column].sha256,
            "rank": rank,
            "score": float(after[column]),
            "score_before": float(before[column]),
            "rank_before": int(places[column]),
        }
        for rank, column in enumerate(np.argsort(-after, kind="stable")[:_LENGTH].tolist(), 1)
    ]
