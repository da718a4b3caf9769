"""Traces: the recorded runs, one of them, or two side by side; the pages are those of `ctgi trace`."""

import base64
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from ctgi.errors import ImageError
from ctgi.reports.trace_json import summaries
from ctgi.reports.trace_page import Embed, diff_of, page_of
from ctgi.tools.traces.diff import diff_traces
from ctgi.tools.traces.reader import Trace, open_trace, trace_files
from ctgi.tools.traces.selection import Selection
from ctgi.ui.guard import REPORT
from ctgi.ui.searches import site_of

PER_PAGE = 60
router = APIRouter()
_ALONE = {REPORT.decode(): "1"}


@router.get("/traces")
def browse(request: Request, page: Annotated[int, Query(ge=1)] = 1) -> HTMLResponse:
    """The runs, the latest first."""
    files = trace_files(site_of(request).settings.traces)[::-1]
    last = max(1, -(-len(files) // PER_PAGE))
    page = min(page, last)
    runs = summaries(files[(page - 1) * PER_PAGE : page * PER_PAGE])
    return site_of(request).page(request, "traces.html.j2", runs=runs, number=page, last=last, total=len(files))


@router.get("/traces/diff")
def compare(request: Request, a: str = "", b: str = "") -> HTMLResponse:
    """Two runs side by side."""
    if not a or not b:
        raise HTTPException(400, "Choose two runs: one as A, one as B.")
    one, other = _open(request, a), _open(request, b)
    return HTMLResponse(diff_of(diff_traces(one, other), one, other, _embed(request)), headers=_ALONE)


@router.get("/traces/{run}")
def show(request: Request, run: str, item: str = "") -> HTMLResponse:
    """One run; with `item` only what has this number, or this text in its path or query."""
    selection = Selection(items=(item,) if item else ())
    return HTMLResponse(page_of(_open(request, run), selection, _embed(request)), headers=_ALONE)


def _open(request: Request, run: str) -> Trace:
    """The run of this name in the folder of traces; no path comes from outside."""
    found = next((path for path in trace_files(site_of(request).settings.traces) if path.stem == run), None)
    if found is None:
        raise HTTPException(404, "There is no such run in the folder of traces.")
    return open_trace(Path(found))


def _embed(request: Request) -> Embed:
    """Pictures for a page that stands alone: of the gallery's images only, whatever paths a trace holds."""
    pictures = site_of(request).pictures

    def embed(path: str, sha256: str) -> tuple[str | None, str]:
        if sha256 not in pictures:
            return None, "not in this gallery"
        try:
            return f"data:image/jpeg;base64,{base64.b64encode(pictures.thumbnail(sha256)).decode()}", ""
        except ImageError as error:
            return None, error.reason

    return embed
