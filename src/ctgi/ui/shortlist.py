"""The shortlist of a search: images with notes, and what can be taken along as a file."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from ctgi.footage.sources import origin_of
from ctgi.reading import dump
from ctgi.reports.spreadsheet import table
from ctgi.ui.captions import captions_of
from ctgi.ui.guard import REPORT
from ctgi.ui.searches import Text, begun_of, site_of, view_of
from ctgi.ui.views import SearchView

router = APIRouter()
_COLUMNS = ("path", "sha256", "rank", "score", "note", "query")


@router.get("/searches/{name}/images/{sha256}")
async def image(request: Request, name: str, sha256: str) -> HTMLResponse:
    """One image of a search, large, with its verdict and its note."""
    site = site_of(request)
    path = site.pictures.path(sha256)
    view = await view_of(site, begun_of(site, name))
    at = next((place for place, card in enumerate(view.cards) if card.sha256 == sha256), None)
    beside = (
        [] if at is None else [view.cards[near] if 0 <= near < len(view.cards) else None for near in (at - 1, at + 1)]
    )
    kept = next((one for one in view.shortlist if one.sha256 == sha256), None)
    captions = await asyncio.to_thread(captions_of, request, path, sha256)
    return site.page(
        request, "image.html.j2", view=view, card=None if at is None else view.cards[at], beside=beside, kept=kept,
        sha256=sha256, path=path, captions=captions, origin=await asyncio.to_thread(origin_of, path), here="/",
    )  # fmt: skip


@router.post("/searches/{name}/keep")
async def keep(request: Request, name: str, image: Text, note: Annotated[str, Form(max_length=2000)] = "") -> Response:
    """Put an image on the shortlist, or change its note."""
    site = site_of(request)
    site.store.keep(begun_of(site, name).id, image, site.pictures.path(image), note)
    return await _marked(request, name, image)


@router.post("/searches/{name}/drop")
async def drop(request: Request, name: str, image: Text) -> Response:
    """Take an image off the shortlist."""
    site = site_of(request)
    site.store.drop(begun_of(site, name).id, image)
    return await _marked(request, name, image)


@router.get("/searches/{name}/shortlist.csv")
async def as_csv(request: Request, name: str) -> Response:
    """The shortlist as a table."""
    view = await view_of(site_of(request), begun_of(site_of(request), name))
    content = b"".join(table(_COLUMNS, ([row[column] for column in _COLUMNS] for row in _rows(view))))
    return Response(content, media_type="text/csv; charset=utf-8", headers=_as_file("csv"))


@router.get("/searches/{name}/shortlist.json")
async def as_json(request: Request, name: str) -> Response:
    """The shortlist, exactly."""
    view = await view_of(site_of(request), begun_of(site_of(request), name))
    refined = view.found.refined_query if view.found else None
    value = {"query": view.begun.query, "refined_query": refined, "images": _rows(view)}
    return Response(dump(value), media_type="application/json", headers=_as_file("json"))


@router.get("/searches/{name}/report.html")
async def report(request: Request, name: str) -> HTMLResponse:
    """The search as a page that stands alone, with the images inside."""
    from ctgi.reports.search_page import page_of

    view = await view_of(site_of(request), begun_of(site_of(request), name))
    page = await asyncio.to_thread(page_of, [view.found] if view.found else [])
    return HTMLResponse(page, headers={REPORT.decode(): "1"})


def _rows(view: SearchView) -> list[dict[str, Any]]:
    places = {card.sha256: card for card in view.cards}
    return [
        {
            "path": one.path,
            "sha256": one.sha256,
            "rank": places[one.sha256].rank if one.sha256 in places else None,
            "score": places[one.sha256].score if one.sha256 in places else None,
            "note": one.note,
            "query": view.begun.query,
        }
        for one in view.shortlist
    ]


def _as_file(ending: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="shortlist.{ending}"'}


async def _marked(request: Request, name: str, image: str) -> Response:
    """The parts that change, for the page's script; else the page that the form was on."""
    site, place = site_of(request), f"/searches/{name}"
    if "x-part" in request.headers:
        view, macros = await view_of(site, begun_of(site, name)), site.macros("parts.html.j2")
        stars = {f"star-{card.id}": str(macros.star(view, card)) for card in view.cards if card.sha256 == image}
        return JSONResponse({"shortlist": str(macros.shortlist(view)).strip(), **stars})
    inside = request.headers.get("referer", "").partition(f"{place}/images/")[2]
    return RedirectResponse(f"{place}/images/{inside}" if inside.isalnum() else place, 303)
