"""Captions as one self-contained HTML page, and as a table for a spreadsheet."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ctgi.caption_table import CORRECTED, Wanted
from ctgi.captions_index import CaptionsIndex
from ctgi.files import write_whole
from ctgi.reports.caption_views import CaptionView, TurnView, caption_view
from ctgi.reports.pages import template
from ctgi.reports.pictures import Pictures
from ctgi.reports.spreadsheet import table

MAX_IMAGES = 500
"""On one page."""
COLUMNS = (
    "path", "sha256", "caption", "corrected", "model_caption", "initial_caption", "confidence_percent", "kept",
    "dropped", "answers", "dropped_answers",
)  # fmt: skip


def write_captions_page(captions: CaptionsIndex, out: Path, folder: Path | None) -> int:
    """Write the page to `out`: each image with its caption and the dialogue, no script, images embedded as JPEG.

    Returns how many images are not on it.

    Args:
        captions: what is shown, up to `MAX_IMAGES`; the page says how many are not on it.
        out: the page.
        folder: where the images lie now, if they were moved.

    Raises:
        CtgiError: `out` cannot be written.
    """
    total = len(captions.entries)
    left_out = max(0, total - MAX_IMAGES)
    corrected = len(captions.wanted(Wanted(only=CORRECTED)))
    page = template("captions.html.j2", {}, Pictures(folder).embed).render(
        name=captions.path.name, total=total, corrected=corrected, left_out=left_out,
        views=list(islice(_views(captions), MAX_IMAGES)),
    )  # fmt: skip
    write_whole(out, page.encode())
    return left_out


def write_captions_table(captions: CaptionsIndex, out: Path) -> None:
    """Write a CSV file in UTF-8 with a row for each image; see `COLUMNS` and `ctgi.reports.spreadsheet`.

    Raises:
        CtgiError: `out` cannot be written.
    """
    write_whole(out, table(COLUMNS, map(_row, _views(captions))))


def _views(captions: CaptionsIndex) -> Iterator[CaptionView]:
    return (caption_view(line, captions.corrections) for line in captions)


def _row(view: CaptionView) -> tuple[object, ...]:
    return (
        view.path, view.sha256, view.caption, "no" if view.own is None else "yes",
        view.caption if view.own is None else view.own, view.initial_caption, view.percent, len(view.kept),
        len(view.dropped), "\n".join(map(_line, view.kept)), "\n".join(map(_line, view.dropped)),
    )  # fmt: skip


def _line(turn: TurnView) -> str:
    return f"{turn.question} {turn.answer or '(no answer)'}" + ("" if turn.kept else f" ({turn.fate})")
