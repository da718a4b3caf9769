"""Searches as one self-contained HTML page: the rankings, what the dialogue said, and how it was made."""

import base64
import io
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

from ctgi.errors import ImageError
from ctgi.files import write_whole
from ctgi.reports.rankings import TOP, Relevant, added, after, anchor_paths, before
from ctgi.retrieval.gallery_files import encoder_name
from ctgi.retrieval.images import read_image
from ctgi.text import plain

THUMBNAIL_PX = (240, 600)
"""Bounds of an embedded image (width, height): twice the largest size on the page."""


def write_html(
    results: list[dict[str, Any]], out: Path, *, relevant: Relevant | Sequence[Relevant] | None = None
) -> None:
    """Write the page of one or several searches to `out`: no script, images embedded as JPEG.

    `relevant` tells which paths show the right person, in all searches or in each; they get green frames and the
    others red ones. An image that cannot be read any more becomes a placeholder that says why.

    Raises:
        CtgiError: `out` cannot be written.
    """
    write_whole(out, page_of(results, relevant=relevant).encode())


def page_of(results: list[dict[str, Any]], *, relevant: Relevant | Sequence[Relevant] | None = None) -> str:
    """The page as a text; see `write_html`."""
    truths = relevant if isinstance(relevant, Sequence) else [relevant] * len(results)
    searches = [_view(result, truth) for result, truth in zip(results, truths, strict=True)]
    page: str = _template().render(searches=searches, picture=cache(_embed))
    return page


def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, finalize=_show, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["encoder_name"] = encoder_name
    environment.filters["file_name"] = lambda path: PurePath(path).name or path
    return environment.from_string(files("ctgi.reports").joinpath("search.html.j2").read_text(encoding="utf-8"))


def _show(value: object) -> object:
    """What the page prints of a value; jinja escapes it for HTML afterwards."""
    return plain(value) if type(value) is str else value


def _view(result: dict[str, Any], relevant: Relevant | None) -> dict[str, Any]:
    ranked = after(result, relevant)
    refined = result["refined_query"]
    return result | {
        "pieces": added(result["query"], refined) if refined is not None else [],
        "before": before(result, relevant),
        "top": ranked[:TOP],
        "rest": ranked[TOP:],
        "anchor_paths": anchor_paths(result),
        "judged": relevant is not None,
        "best_rank": result.get("best_rank"),
        "weak_anchors": [anchor for anchor in result["anchors"] if anchor.get("weak")],
        "overruled": result.get("overruled"),
        "unknown_words": result.get("unknown_words", []),
        "call_count": sum(result["calls"].values()),
        "kept_count": sum(turn["kept"] for turn in result["dialogue"]),
    }


def _embed(path: str) -> tuple[str | None, str]:
    """The image as a data URL, or None and the reason why there is none."""
    try:
        image = read_image(path)
    except ImageError as error:
        return None, error.reason
    image.thumbnail(THUMBNAIL_PX)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}", ""
