"""What it changes that a confirmed image rises although the dialogue added nothing to the query.

    ctgi synth people --identities 121 --val 40 --test 80 --seed 86028121
    python -m benchmarks.promotion people [--limit 400] [--out runs/promotion] [--bind images=...]

MTI of every query of the test split, run once and ranked several ways. "Refined only" promotes anchors of refined
queries alone; "always" promotes every anchor; "no answer" is the case that no answer is kept in any search. Differences
are paired, query by query, with intervals over people. Replies are kept in `--out`, so that a second run is arithmetic.
"""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.machine import describe_machine
from ctgi.config import load_settings
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.metrics import QueryMetrics, measure_queries
from ctgi.retrieval.resampling import compare
from ctgi.runs.evaluate import DataSpec, Measuring, evaluate
from ctgi.runs.evaluate_mti import MtiRun
from ctgi.runs.evaluation import as_row
from ctgi.runs.events import Logged
from ctgi.runs.interactions import Choice, fused_blocks


def measure(run: MtiRun, choices: Sequence[Choice | None], mode: str) -> QueryMetrics:
    """Text-to-image metrics under Eq. 7."""
    blocks = fused_blocks(run.encoded.text_features, run.gallery, choices, run.settings.mti.lam, mode)
    return measure_queries(blocks, run.shape, *run.pids)


def refined_only(choice: Choice | None) -> Choice | None:
    """The same, left alone where no answer was kept."""
    return choice if choice and choice.refined_query is not None else None


def without_answers(choice: Choice | None) -> Choice | None:
    """The same, as if no answer had been kept."""
    return choice and replace(choice, refined_query=None)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path, default=Path("runs/promotion"))
    parser.add_argument("--bind", action="append", default=[])
    options = parser.parse_args()
    settings = load_settings(binds=options.bind)
    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    spec = DataSpec("rstp", options.people, limit=options.limit)
    measuring = Measuring(mti=True, trace=False)
    found = asyncio.run(evaluate(spec, encoder, settings, options.out, Logged(), measuring))
    run = found.run
    assert run is not None
    choices = run.choices(settings.mti.xi)
    told = [choice for choice in choices if choice]
    print(describe_machine())
    print(f"{len(choices)} queries, {run.shape[1]} images: {sum(bool(c.anchors) for c in told)} with an anchor, "
          f"{sum(c.refined_query is not None for c in told)} refined")  # fmt: skip
    found_by = {"without MTI": measure(run, [None] * len(choices), "refined")}
    for mode in ("refined", "final"):
        found_by[f"{mode}: refined only"] = measure(run, [refined_only(choice) for choice in choices], mode)
        found_by[f"{mode}: always"] = measure(run, choices, mode)
        found_by[f"{mode}: no answer"] = measure(run, [without_answers(choice) for choice in choices], mode)
    for name, metrics in found_by.items():
        print(f"{name:24}", "  ".join(f"{column} {value:.2f}" for column, value in as_row(metrics.mean()).items()))
    for first, second in (
        ("without MTI", "refined: always"),
        ("refined: refined only", "refined: always"),
        ("refined: no answer", "refined: always"),
        ("refined: always", "final: always"),
    ):
        print_difference(first, second, found_by, run.pids[0])


def print_difference(first: str, second: str, found: Mapping[str, QueryMetrics], people: Sequence[int]) -> None:
    """How two ways of ranking differ on the same queries."""
    one, other = found[first], found[second]
    differences = compare(one.by_name(), other.by_name(), [people[row] for row in one.rows])
    won = int((other.hits[1] > one.hits[1]).sum()), int((other.hits[1] < one.hits[1]).sum())
    print(f"{second}, against {first}: first in {won[0]} queries more, {won[1]} fewer")
    for name, told in differences.items():
        low, high = told.interval or (0.0, 0.0)
        print(f"    {name:5} {told.gain:+.2f} (95 %: {low:+.2f} to {high:+.2f}), p {told.p:.4f}")


if __name__ == "__main__":
    main()
