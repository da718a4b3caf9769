"""Models by data sets as a table: Markdown, and CSV with a row for each pair."""

from collections.abc import Sequence
from pathlib import Path

from ctgi.files import write_whole
from ctgi.reports.spreadsheet import table
from ctgi.runs.cross import Cell
from ctgi.runs.evaluation import as_row

METRICS = ("R@1", "R@5", "R@10", "mAP", "mINP")
COLUMNS = ("model", "data", "retriever", "images", "captions", "people", *METRICS, "R@1 from", "R@1 to")


def write_cross(cells: Sequence[Cell], out: Path) -> None:
    """Write table.md and table.csv into the folder `out`.

    Raises:
        CtgiError: one cannot be written.
    """
    write_whole(out / "table.md", to_markdown(cells).encode())
    write_whole(out / "table.csv", table(COLUMNS, map(_row, cells)))


def to_markdown(cells: Sequence[Cell]) -> str:
    """R@1 with its interval and mAP: a row for each model, a column for each data set."""
    models, data = (list(dict.fromkeys(names)) for names in zip(*((one.model, one.data) for one in cells), strict=True))
    found = {(one.model, one.data): one for one in cells}
    lines = [f"| model | {' | '.join(data)} |", f"|---|{'---|' * len(data)}"]
    lines += [f"| {name} | {' | '.join(_cell(found[name, one]) for one in data)} |" for name in models]
    sizes = [f"- {one}: {_size(found[models[0], one])}" for one in data]
    note = "R@1 (95 % interval over people) / mAP, text to image, in per cent."
    return "\n".join(["# Models across data sets", "", note, "", *lines, "", *sizes, ""])


def _cell(cell: Cell) -> str:
    row, ends = as_row(cell.result.t2i), cell.result.intervals.t2i.get("R@1")
    around = f" ({ends[0]:.1f}-{ends[1]:.1f})" if ends else ""
    return f"{row['R@1']:.2f}{around} / {row['mAP']:.2f}"


def _size(cell: Cell) -> str:
    result = cell.result
    return f"{result.split}, {result.images:,} images, {result.captions:,} captions of {result.people:,} people"


def _row(cell: Cell) -> tuple[object, ...]:
    result, row = cell.result, as_row(cell.result.t2i)
    ends = result.intervals.t2i.get("R@1", ("", ""))
    return (
        cell.model, cell.data, result.retriever, result.images, result.captions, result.people,
        *(row[name] for name in METRICS), *ends,
    )  # fmt: skip
