"""Searching: the first page, one page for each search, and everything by which a person steers it."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from ctgi.graphs.mti import STOP
from ctgi.graphs.mti_state import Filter, Steering, anchors, confirmed, dialogue, filter_of, ranked
from ctgi.runs.steered import Asks, Beginning, Moment
from ctgi.ui.parts import PARTS, Parts
from ctgi.ui.site import Site
from ctgi.ui.store import Begun
from ctgi.ui.views import SearchView, view

LENGTH = 48
"""Images of a ranking."""
_EARLIER = 12

router = APIRouter()
Text = Annotated[str, Form()]


@router.get("/")
async def home(request: Request) -> HTMLResponse:
    """Where a search begins."""
    site = site_of(request)
    return site.page(request, "home.html.j2", searches=site.store.latest(_EARLIER))


@router.post("/searches")
async def begin(
    request: Request, query: Text, asks: Annotated[Asks, Form()] = "model", where: Text = "", group: Text = ""
) -> RedirectResponse:
    """A new search: its page, once it has a ranking."""
    wanted = Filter(where=where.strip() or None, group=group or None)
    name = await site_of(request).desk.begin(asks, Beginning(query, LENGTH, filter=wanted))
    return _to(name)


@router.get("/searches/{name}")
async def show(request: Request, name: str) -> HTMLResponse:
    """A search as it stands."""
    site = site_of(request)
    shown = await view_of(site, begun_of(site, name))
    mark = Parts(site.macros(PARTS)).mark(shown) if shown.running else ""
    return site.page(request, "search.html.j2", here="/", view=shown, mark=mark)


@router.get("/searches/{name}/stream")
async def stream(request: Request, name: str, shown: str = "") -> StreamingResponse:
    """The parts of the page that change, as server-sent events, up to the next question or the end.

    `shown` is the mark of what the browser has already.
    """
    site = site_of(request)
    events = _events(site, begun_of(site, name), shown)
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})


@router.post("/searches/{name}/answer")
async def answer(
    request: Request, name: str, question: Text, answer: Text = "", skip: Text = "", stop: Text = ""
) -> RedirectResponse:
    """What the person says to the question; empty where they do not know."""
    site = site_of(request)
    said = STOP if stop else "" if skip else answer
    await site.desk.answer(begun_of(site, name), question, said)
    return _to(name)


@router.post("/searches/{name}/is")
async def mark(request: Request, name: str, image: Text) -> RedirectResponse:
    """This is the person: a new search that asks about this image."""
    site, (begun, moment) = await _stood(request, name)
    found = next(((rank, one) for rank, one in enumerate(ranked(moment.state), 1) if one.sha256 == image), None)
    if found is None:
        raise HTTPException(404, "This image is not in the ranking.")
    rank, one = found
    excluded = tuple(sha256 for sha256 in moment.state.get("excluded", ()) if sha256 != image)
    said = tuple(turn for turn in dialogue(moment.state) if turn.anchor in (None, one.path))
    steering = Steering(anchors=(confirmed(one, rank),), excluded=excluded, dialogue=said)
    return await _go_on(site, begun, moment, "model", steering)


@router.post("/searches/{name}/not")
async def set_aside(request: Request, name: str, image: Text) -> RedirectResponse:
    """Not this one: a new search without this image, and without what was learned from it."""
    site, (begun, moment) = await _stood(request, name)
    path = site.pictures.path(image)
    steering = Steering(
        anchors=tuple(one for one in anchors(moment.state) if one.by_person and one.sha256 != image),
        excluded=(*moment.state.get("excluded", ()), image),
        dialogue=tuple(turn for turn in dialogue(moment.state) if turn.anchor is None or turn.anchor != path),
    )
    return await _go_on(site, begun, moment, cast(Asks, begun.asks), steering)


@router.post("/searches/{name}/differently")
async def answer_differently(request: Request, name: str, turn: Annotated[int, Form(ge=0)]) -> RedirectResponse:
    """One question again, put to the person; the other answers stay."""
    site, (begun, moment) = await _stood(request, name)
    turns = dialogue(moment.state)
    if turn >= len(turns):
        raise HTTPException(404, "There is no such question.")
    asked = turns[turn]
    steering = Steering(
        anchors=tuple(anchors(moment.state)),
        excluded=tuple(moment.state.get("excluded", ())),
        dialogue=tuple(one for one in turns if one.attribute != asked.attribute),
        questions=((asked.attribute, asked.question),),
    )
    return await _go_on(site, begun, moment, "person", steering)


@router.post("/searches/{name}/again")
async def try_again(request: Request, name: str) -> RedirectResponse:
    """Go on from the last step that went well."""
    site = site_of(request)
    site.store.fail(begun_of(site, name).id, None)
    return _to(name)


def site_of(request: Request) -> Site:
    """What the pages are made of."""
    site: Site = request.app.state.site
    return site


def begun_of(site: Site, name: str) -> Begun:
    """The search of this id; 404 where there is none."""
    begun = site.store.search(name)
    if begun is None:
        raise HTTPException(404, "This search is not known here. It may have been begun in another gallery.")
    return begun


async def view_of(site: Site, begun: Begun) -> SearchView:
    """A search as its page shows it."""
    moment, running = await site.desk.moment(begun)
    return _view(site, begun, moment, running)


def _view(site: Site, begun: Begun, moment: Moment | None, running: bool) -> SearchView:
    return view(
        begun, moment, site.store.shortlist(begun.id), running=running, unknown=site.unknown(begun.query),
        old=site.desk.is_old(begun),
    )  # fmt: skip


async def _events(site: Site, begun: Begun, shown: str) -> AsyncIterator[str]:
    parts, moment = Parts(site.macros(PARTS), shown), None
    async for moment in site.desk.follow(begun):
        if told := parts.changed(_view(site, begun, moment, moment.question is None)):
            yield _event("parts", told)
    begun = begun_of(site, begun.id)
    last = _view(site, begun, moment, False) if moment and moment.rests else await view_of(site, begun)
    yield _event("parts", parts.changed(last))
    yield _event("end", {})


def _event(name: str, value: dict[str, str]) -> str:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"


async def _stood(request: Request, name: str) -> tuple[Site, tuple[Begun, Moment]]:
    site = site_of(request)
    begun = begun_of(site, name)
    moment, _ = await site.desk.moment(begun)
    if moment is None:
        raise HTTPException(409, "This search has no ranking yet. Search again.")
    return site, (begun, moment)


async def _go_on(site: Site, begun: Begun, moment: Moment, asks: Asks, steering: Steering) -> RedirectResponse:
    """A search of its own that goes on from another one, which stays as it is."""
    child = Beginning(moment.state["query"], moment.state["length"], steering, filter_of(moment.state))
    return _to(await site.desk.begin(asks, child, parent=begun.id))


def _to(name: str) -> RedirectResponse:
    return RedirectResponse(f"/searches/{name}", 303)
