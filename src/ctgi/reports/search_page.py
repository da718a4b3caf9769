"""Searches as one self-contained HTML page: the rankings, what the dialogue said, and how it was made."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from ctgi.errors import ImageError
from ctgi.files import write_whole
from ctgi.footage.scenes import box_in_words, in_words, moment, source_name
from ctgi.records import SearchRecord
from ctgi.reports.pages import template
from ctgi.reports.pictures import thumbnail_url
from ctgi.reports.rankings import TOP, Relevant, added, after, anchor_paths, before, is_reranked, weak_paths
from ctgi.retrieval.gallery_names import encoder_name

_FILTERS: dict[str, Callable[..., object]] = {
    "encoder_name": encoder_name,
    "source_name": source_name,
    "moment": moment,
    "box_in_words": box_in_words,
    "in_words": in_words,
}
THUMBNAIL_PX = (240, 600)
"""Bounds of an embedded image (width, height): twice the largest size on the page."""


def write_html(
    results: Sequence[SearchRecord],
    out: Path,
    *,
    relevant: Relevant | Sequence[Relevant] | None = None,
    best_ranks: Sequence[int] | None = None,
) -> None:
    """Write the page of one or several searches to `out`: no script, images embedded as JPEG.

    `relevant` tells which paths show the right person, in all searches or in each; they get green frames and the
    others red ones. `best_ranks` are the ranks of the first right image of each search. An image that cannot be read
    any more becomes a placeholder that says why.

    Raises:
        CtgiError: `out` cannot be written.
    """
    write_whole(out, page_of(results, relevant=relevant, best_ranks=best_ranks).encode())


def page_of(
    results: Sequence[SearchRecord],
    *,
    relevant: Relevant | Sequence[Relevant] | None = None,
    best_ranks: Sequence[int] | None = None,
) -> str:
    """The page as a text; see `write_html`."""
    truths = relevant if isinstance(relevant, Sequence) else [relevant] * len(results)
    ranks = best_ranks if best_ranks is not None else [None] * len(results)
    searches = [_view(*one) for one in zip(results, truths, ranks, strict=True)]
    page: str = template("search.html.j2", _FILTERS, cache(_embed)).render(searches=searches)
    return page


def _view(result: SearchRecord, relevant: Relevant | None, best_rank: int | None) -> dict[str, object]:
    """The fields of a search and what the page says besides, by the names that its template uses."""
    ranked = after(result, relevant)
    refined = result.refined_query
    return dict(result) | {
        "pieces": added(result.query, refined) if refined is not None else [],
        "reranked": is_reranked(result),
        "before": before(result, relevant),
        "top": ranked[:TOP],
        "rest": ranked[TOP:],
        "anchor_paths": anchor_paths(result),
        "weak_paths": weak_paths(result),
        "judged": relevant is not None,
        "best_rank": best_rank,
        "weak_anchors": [anchor for anchor in result.anchors if anchor.weak],
        "call_count": sum(result.calls.values()),
        "kept_count": sum(turn.kept for turn in result.dialogue),
    }


def _embed(path: str) -> tuple[str | None, str]:
    """The image as a data URL, or None and the reason why there is none."""
    try:
        return thumbnail_url(path, THUMBNAIL_PX), ""
    except ImageError as error:
        return None, error.reason
