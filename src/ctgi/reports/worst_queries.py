"""The queries that found their person last, as searches for the HTML page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctgi.records import Match, SearchRecord
from ctgi.reports.search_page import write_html
from ctgi.retrieval.evaluate import EncodedSplit, measure_texts
from ctgi.runs.evaluate_mti import MtiRun, measure_refined
from ctgi.runs.evaluation import Evaluation

SHOWN = 20
"""Queries on the page."""
_LENGTH = 10


@dataclass(frozen=True)
class MadeBy:
    """What the page says of how it was made."""

    gallery: str
    encoder: str
    bindings: dict[str, str]


def write_worst(out: Path, encoded: EncodedSplit, result: Evaluation, run: MtiRun | None = None) -> None:
    """Write the page of the queries whose best right image ranks lowest; with MTI, their dialogues too.

    Args:
        out: the page.
        encoded: the split.
        result: what was measured.
        run: the dialogues.

    Raises:
        CtgiError: `out` cannot be written.
    """
    found = measure_refined(run, run.settings.mti.lam, run.settings.mti.xi) if run else measure_texts(encoded)
    bindings = dict(result.mti.bindings) if result.mti else {}
    made_by = MadeBy(f"{result.data} {result.split}", result.retriever, bindings)
    worst = np.argsort(-found.first, kind="stable")[:SHOWN]
    queries = found.rows[worst].tolist()
    searches = [_search(encoded, query, made_by, run) for query in queries]
    relevant = [_shows(encoded, encoded.split.caption_pids[query]) for query in queries]
    write_html(searches, out, relevant=relevant, best_ranks=[round(rank) for rank in found.first[worst].tolist()])


def _shows(encoded: EncodedSplit, pid: int) -> Any:
    paths = {path for path, who in zip(encoded.split.images, encoded.split.image_pids, strict=True) if who == pid}
    return paths.__contains__


def _search(encoded: EncodedSplit, query: int, made_by: MadeBy, run: MtiRun | None) -> SearchRecord:
    before = encoded.image_features @ encoded.text_features[query]
    choice = run.choices(run.settings.mti.xi)[query] if run else None
    after = run.scores(query, choice) if run else before
    said = choice.search if choice else None
    refined = said if choice and choice.is_reranked else None
    return SearchRecord(
        query=encoded.split.captions[query],
        refined_query=refined.refined_query if refined else None,
        anchors=refined.anchors if refined else (),
        dialogue=refined.dialogue if refined else (),
        verified=said.verified if said else (),
        early_stop=bool(choice and choice.early),
        rounds=1 if choice else 0,
        calls=choice.calls if choice else {},
        results=_ranked(encoded, before, after),
        truncated_tokens=encoded.truncated[query],
        seconds=said.seconds if said else 0.0,
        gallery=made_by.gallery,
        encoder=made_by.encoder,
        bindings=made_by.bindings,
    )


def _ranked(encoded: EncodedSplit, before: NDArray[np.float32], after: NDArray[np.float32]) -> tuple[Match, ...]:
    places = np.empty(len(before), np.int64)
    places[np.argsort(-before, kind="stable")] = np.arange(1, len(before) + 1)
    return tuple(
        Match(
            path=encoded.images[column].path,
            sha256=encoded.images[column].sha256,
            rank=rank,
            score=float(after[column]),
            score_before=float(before[column]),
            rank_before=int(places[column]),
        )
        for rank, column in enumerate(np.argsort(-after, kind="stable")[:_LENGTH].tolist(), 1)
    )
