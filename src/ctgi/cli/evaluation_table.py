"""The result of `ctgi evaluate` as tables on the terminal."""

import sys
from typing import Any

from ctgi.cli.terminal import markup

_COLUMNS = ("R@1", "R@5", "R@10", "mAP", "mINP")


def print_result(result: dict[str, Any]) -> None:
    """Print metrics, what MTI took, sweeps and curves."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(markup(_headline(result)), highlight=False)
    rows = {"text to image": result["t2i"], "image to text": result["i2t"]}
    mti = result.get("mti")
    if mti:
        rows["text to image, MTI"] = mti["t2i"]
    console.print(_table("", rows))
    if mti:
        for line in _told(mti):
            console.print(markup(line), highlight=False)
        if "sweep" in mti:
            console.print(_table("lambda, xi", {f"{row['lam']}, {row['xi']}": row for row in mti["sweep"]}))
        for curves in mti["dialogue"]:
            console.print(markup(f"by turn, {curves['user']} ({curves['note']}); BRI {curves['BRI']}"), highlight=False)
            console.print(_curves(curves))


def _headline(result: dict[str, Any]) -> str:
    cut = f", {result['truncated_captions']:,} of them cut" if result["truncated_captions"] else ""
    return (
        f"{result['data']} {result['split']}: {result['images']:,} images, {result['captions']:,} captions"
        f" ({result['context_length']} tokens{cut}), {result['retriever']}"
    )


def _told(mti: dict[str, Any]) -> list[str]:
    row, calls = mti["t2i"], mti["calls"]
    precise = "" if row["anchor_precision"] is None else f", anchors right {100 * row['anchor_precision']:.1f} %"
    return [
        f"MTI ({mti['variant']}): K {mti['k']}, lambda {row['lam']}, xi {row['xi']}: refined "
        f"{100 * row['refined_rate']:.1f} %, stopped early {100 * row['early_stop_rate']:.1f} %{precise}, "
        f"{row['calls_per_query']['all']:.2f} calls per query",
        f"{calls['made']:,} calls made now, {calls['reused']:,} reused, {len(mti['failed'])} queries failed, "
        f"{len(mti['unverified'])} candidates not verified; "
        f"{calls['tokens_in']:,} input and {calls['tokens_out']:,} output tokens",
    ]


def _table(name: str, rows: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(name, *_COLUMNS, box=None)
    for label, row in rows.items():
        table.add_row(label, *(f"{row[column]:.2f}" for column in _COLUMNS))
    return table


def _curves(curves: dict[str, Any]) -> Any:
    from rich.table import Table

    names = [name for name in curves if name.startswith("Hits@")]
    table = Table("turn", "R@1", "R@5", "R@10", "mAP", *names, box=None)
    for place, row in enumerate(curves["turns"]):
        values = [row["R@1"], row["R@5"], row["R@10"], row["mAP"], *(curves[name][place] for name in names)]
        table.add_row(str(row["turn"]), *(f"{value:.2f}" for value in values))
    return table
