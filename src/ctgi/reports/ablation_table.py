"""The ablation's table as Markdown, CSV and a picture."""

import csv
import io
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from ctgi.config import Settings
from ctgi.errors import CtgiError
from ctgi.files import write_whole
from ctgi.graphs.mti import TOOLS
from ctgi.reading import Json
from ctgi.runs.ablate import Plan, rows, training_config

_COLUMNS = (
    "model",
    "MTG",
    "MTI",
    "context",
    "R@1",
    "R@5",
    "R@10",
    "mAP",
    "mINP",
    "calls per query",
    "failed",
    "unverified",
)


_CHOICES = ("MTG", "MTI", "context")
_NUMBERS = ("R@1", "R@5", "R@10", "mAP", "mINP")


def identical_rows(table: Sequence[Json]) -> list[tuple[int, int, list[str]]]:
    """Pairs of rows of one model with the same numbers, by their places from 1, and what differs between their runs."""
    return [
        (first + 1, second + 1, [name for name in _CHOICES if table[first][name] != table[second][name]])
        for first, second in combinations(range(len(table)), 2)
        if all(table[first][name] == table[second][name] for name in ("model", *_NUMBERS))
    ]


def write_table(table: Sequence[Json], plan: Plan, settings: Settings, out: Path) -> None:
    """Write table.md, table.csv and table.png into the folder `out`.

    Raises:
        CtgiError: one cannot be written, or matplotlib is not installed.
    """
    write_whole(out / "table.md", to_markdown(table, plan, settings).encode())
    write_whole(out / "table.csv", to_csv(table).encode())
    draw_table(table, out / "table.png")


def to_csv(table: Sequence[Json]) -> str:
    """The table with a header line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, restval=0, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def to_markdown(table: Sequence[Json], plan: Plan, settings: Settings) -> str:
    """The table, and what it takes to read it: data, captions, identities, seeds, models."""
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    lines += [f"| {' | '.join(_cell(row.get(column, 0)) for column in _COLUMNS)} |" for row in table]
    return "\n".join(["# Ablation", "", *_facts(plan, settings), "", *lines, ""])


def _facts(plan: Plan, settings: Settings) -> list[str]:
    config = training_config(rows(plan)[0].training, plan)
    mti = settings.mti
    bindings = ", ".join(f"{tool} {settings.binding(tool)}" for tool in TOOLS)
    return [
        f"- data: {plan.data}, {plan.split} split, its own captions as queries; "
        f"models selected on {config.run.select_on}",
        f"- training: {config.data.identity} as identities, {config.schedule.epochs} epochs, seed {config.run.seed}, "
        f"{config.model.clip}; MTG off means single-turn captions",
        f"- stretching: {plan.stretched} tokens with it, {plan.unstretched} without",
        f"- MTI: K {mti.k}, lambda {mti.lam}, xi {mti.xi}, at most {mti.max_anchors} anchors, "
        f"fusion {mti.fusion}; {bindings}",
    ]


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def draw_table(table: Sequence[Json], out: Path) -> None:
    """R@1 and mAP of each row as bars, one panel a model, into a PNG.

    Raises:
        CtgiError: matplotlib is not installed, or `out` cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise CtgiError("the plot needs matplotlib: pip install 'ctgi[train]', then run the same command") from None
    models = list(dict.fromkeys(row["model"] for row in table))
    figure = Figure(figsize=(5.5 * len(models), 4), layout="constrained")
    for axes, model in zip(figure.subplots(1, len(models), squeeze=False)[0], models, strict=True):
        ours = [row for row in table if row["model"] == model]
        for shift, metric in ((-0.2, "R@1"), (0.2, "mAP")):
            bars = axes.bar(
                [place + shift for place in range(len(ours))], [row[metric] for row in ours], 0.4, label=metric
            )
            axes.bar_label(bars, fmt="%.1f", fontsize=8)
        axes.set_xticks(range(len(ours)), [_label(row) for row in ours])
        axes.set_title(model.upper())
        axes.set_ylabel("per cent")
        axes.margins(y=0.1)
        handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2, frameon=False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    write_whole(out, content.getvalue())


def _label(row: Json) -> str:
    parts = [name for name in ("MTG", "MTI") if row[name]]
    return f"{' + '.join(parts) or 'neither'}\n{row['context']} tokens"
