"""The result of `ctgi evaluate` as tables on the terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ctgi.cli.console import to_terminal
from ctgi.cli.terminal import markup

if TYPE_CHECKING:
    from rich.table import Table

    from ctgi.retrieval.metrics import Metrics
    from ctgi.runs.evaluation import Evaluation, MtiEvaluation, TurnCurves

_COLUMNS = ("R@1", "R@5", "R@10", "mAP", "mINP")


def print_result(result: "Evaluation") -> None:
    """Print metrics, what MTI took, sweeps and curves."""
    console = to_terminal(120)
    console.print(markup(_headline(result)), highlight=False)
    console.print(_measured(result))
    mti = result.mti
    if mti:
        for line in _told(mti):
            console.print(markup(line), highlight=False)
        if mti.sweep:
            console.print(_table("lambda, xi", {f"{row.lam}, {row.xi}": row.metrics for row in mti.sweep}))
        for one in mti.dialogue:
            bri = round(one.curves.bri, 4)
            console.print(markup(f"by turn, {one.user} ({one.note}); BRI {bri}"), highlight=False)
            console.print(_curves(one))
    if result.witness:
        one = result.witness.curves
        console.print(markup(f"by question, {one.user} ({one.note}); BRI {round(one.curves.bri, 4)}"), highlight=False)
        console.print(_curves(one))


def _measured(result: "Evaluation") -> "Table":
    """Each stage with its metrics, and below them how far they reach."""
    around = result.intervals
    among = f", among {result.captions:,} captions" if result.sample else ""
    rows = [("text to image", result.t2i, around.t2i), (f"image to text{among}", result.i2t, around.i2t)]
    rows += [("text to image, MTI", result.mti.t2i.metrics, around.mti or {})] if result.mti else []
    table = _table("", {})
    for label, metrics, ends in rows:
        _add(table, label, metrics)
        if ends:
            table.add_row("  95 % interval", *("-".join(f"{end:.1f}" for end in ends[name]) for name in _COLUMNS))
    return table


def _headline(result: "Evaluation") -> str:
    cut = f", {result.truncated_captions:,} of them cut" if result.truncated_captions else ""
    drawn = f" of {result.sample.of:,}" if result.sample else ""
    return (
        f"{result.data} {result.split}: {result.images:,} images, {result.captions:,}{drawn} captions"
        f" of {result.people:,} people ({result.context_length} tokens{cut}), {result.retriever}"
    )


def _told(mti: "MtiEvaluation") -> list[str]:
    row, calls = mti.t2i, mti.calls
    precise = "" if row.anchor_precision is None else f", anchors right {100 * row.anchor_precision:.1f} %"
    return [
        f"MTI ({mti.variant}): K {mti.k}, lambda {row.lam}, xi {row.xi}: refined "
        f"{100 * row.refined_rate:.1f} %, stopped early {100 * row.early_stop_rate:.1f} %{precise}, "
        f"{row.calls_per_query['all']:.2f} calls per query",
        f"{calls['made']:,} calls made now, {calls['reused']:,} reused, {len(mti.failed)} queries failed, "
        f"{len(mti.unverified)} candidates not verified; "
        f"{calls['tokens_in']:,} input and {calls['tokens_out']:,} output tokens",
    ]


def _table(name: str, rows: "Mapping[str, Metrics]") -> "Table":
    from rich.table import Table

    table = Table(name, *_COLUMNS, box=None)
    for label, metrics in rows.items():
        _add(table, label, metrics)
    return table


def _add(table: "Table", label: str, metrics: "Metrics") -> None:
    from ctgi.runs.evaluation import as_row

    row = as_row(metrics)
    table.add_row(label, *(f"{row[column]:.2f}" for column in _COLUMNS))


def _curves(one: "TurnCurves") -> "Table":
    from rich.table import Table

    from ctgi.runs.evaluation import as_row

    hits = one.curves.hits
    table = Table("turn", *_COLUMNS, *(f"Hits@{k}" for k in hits), box=None)
    for turn, metrics in enumerate(one.turns):
        row = as_row(metrics)
        values = [
            *(row[name] for name in _COLUMNS),
            *(round(values[turn], 3) for values in hits.values()),
        ]
        table.add_row(str(turn), *(f"{value:.2f}" for value in values))
    return table
