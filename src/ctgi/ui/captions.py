"""Captions: browse a captions file beside its images, correct what is wrong, compare two files."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlencode

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from ctgi.caption_table import CORRECTED, REASONS, WITHOUT, Entry, Wanted
from ctgi.captions import image_name
from ctgi.captions_index import CaptionsIndex, Entries
from ctgi.corrections import Change, Correction, correct
from ctgi.reports.caption_views import CaptionView, caption_view
from ctgi.reports.rankings import added
from ctgi.ui.searches import site_of

PER_PAGE = 60
NAME = "ctgi_name"
"""Cookie with the name under which a person corrects."""
_KINDS = ((CORRECTED, "corrected by people"), *((reason, f"with an answer dropped as {reason}") for reason in REASONS))
"""What can be asked for besides words, attribute and confidence, and its name on the page."""
_YEAR_S = 365 * 24 * 3600

router = APIRouter()


@dataclass(frozen=True)
class Part:
    """One page of a list."""

    entries: Entries
    total: int
    number: int
    """From 1."""

    @property
    def pages(self) -> int:
        """How many there are, one at least."""
        return max(1, -(-self.total // PER_PAGE))


@dataclass(frozen=True)
class Pair:
    """One image in two files."""

    view: CaptionView
    other: CaptionView | None
    """None where the second file has no record of it."""
    sides: tuple[list[tuple[str, bool]], list[tuple[str, bool]]]
    """Both captions in pieces, each with whether the other lacks it."""

    @property
    def answers(self) -> list[tuple[str, str, str]]:
        """Questions whose answers differ, with both."""
        if self.other is None:
            return []
        others = {turn.question: turn.answer for turn in self.other.turns}
        return [
            (turn.question, turn.answer, others[turn.question])
            for turn in self.view.turns
            if others.get(turn.question, turn.answer) != turn.answer
        ]


def _filters(
    text: Annotated[str, Query(max_length=500)] = "",
    attribute: Annotated[str, Query(max_length=200)] = "",
    below: Annotated[str, Query(max_length=20)] = "",
    only: Annotated[str, Query(max_length=20)] = "",
) -> Wanted:
    """What is wanted, as the form says it: confidence in per cent."""
    limit = None
    with contextlib.suppress(ValueError):
        limit = float(below) / 100
    return Wanted(text.strip(), attribute, limit, only)


Filters = Annotated[Wanted, Depends(_filters)]
Number = Annotated[int, Query(ge=1)]


@router.get("/captions")
def first(request: Request) -> HTMLResponse:
    """The first captions file, or how to open one."""
    if not site_of(request).indexes:
        return _page(request, "captions_none.html.j2")
    return browse(request, 0, Wanted())


@router.get("/captions/compare")
def compare(
    request: Request, filters: Filters, a: int = 0, b: int = 1, every: bool = False, page: Number = 1
) -> HTMLResponse:
    """Two captions files side by side: the images whose captions differ, or every one."""
    one, other = _index(request, a), _index(request, b)
    wanted, (differing, missing) = one.wanted(filters), one.differing(other)
    part = _part(wanted if every else wanted.those_at(differing), page)
    return _page(
        request, "captions_compare.html.j2", a=a, b=b, every=every, part=part,
        wanted=filters, missing=missing, total=len(one.entries), address=_address(filters),
        pairs=[_pair(entry, one, other) for entry in part.entries],
    )  # fmt: skip


@router.get("/captions/{file}")
def browse(request: Request, file: int, filters: Filters, page: Number = 1) -> HTMLResponse:
    """Some of the records that are wanted."""
    index = _index(request, file)
    part = _part(index.wanted(filters), page)
    return _page(
        request, "captions.html.j2", file=file, part=part, wanted=filters,
        attributes=index.attributes, kinds=(*_KINDS, (WITHOUT, "without a caption")), total=len(index.entries),
        corrected=len(index.wanted(Wanted(only=CORRECTED))), address=_address(filters),
        views=[caption_view(index.read(entry), index.corrections) for entry in part.entries],
    )  # fmt: skip


@router.get("/captions/{file}/{image}")
def show(request: Request, file: int, image: str, filters: Filters, saved: int | None = None) -> HTMLResponse:
    """One record and the form to correct it; `saved`: how many corrections were just made."""
    index = _index(request, file)
    view = caption_view(index.read(_entry(index, image)), index.corrections)
    beside = [one and index.read(one).image for one in index.wanted(filters).beside(image)]
    new = view.corrections[-saved:] if saved else []
    return _page(
        request, "captions_record.html.j2", file=file, record=view,
        by=unquote(request.cookies.get(NAME, "")), address=_address(filters), saved=saved, new=new,
        surprises=[_before(view, one) for one in new if one.unseen], caption_stays=_caption_stays(new),
        beside=beside,
    )  # fmt: skip


@router.post("/captions/{file}/{image}")
def save(
    request: Request,
    file: int,
    image: str,
    filters: Filters,
    caption: Annotated[str, Form(max_length=20_000)] = "",
    caption_seen: Annotated[str, Form()] = "",
    question: Annotated[list[str] | None, Form()] = None,
    answer: Annotated[list[str] | None, Form()] = None,
    seen: Annotated[list[str] | None, Form()] = None,
    by: Annotated[str, Form(max_length=100)] = "",
) -> RedirectResponse:
    """Keep what a person corrected. What was not touched is no correction, whoever changed it meanwhile."""
    index = _index(request, file)
    turns = [Change(*three) for three in zip(question or [], seen or [], answer or [], strict=False)]
    changes = [one for one in [Change(None, caption_seen, caption), *turns] if one.now.split() != one.seen.split()]
    kept = correct(index.path, index.read(_entry(index, image)), changes, by)
    back = RedirectResponse(f"/captions/{file}/{image}?{_address(filters, saved=len(kept))}", 303)
    back.set_cookie(NAME, quote(" ".join(by.split())), max_age=_YEAR_S, httponly=True, samesite="strict")
    return back


def captions_of(request: Request, path: str, sha256: str) -> list[tuple[int, str, CaptionView]]:
    """What the open files say of an image: number and name of the file, and its record."""
    found = []
    for file, name in enumerate(_names(request)):
        index = _index(request, file)
        if entry := index.find(image_name(path, sha256)):
            found.append((file, name, caption_view(index.read(entry), index.corrections)))
    return found


def _page(request: Request, template: str, **values: Any) -> HTMLResponse:
    site = site_of(request)
    common: dict[str, Any] = {
        "here": "/captions",
        "files": _names(request),
        "pictures": site.pictures,
        "per_page": PER_PAGE,
    }
    return site.page(request, template, **common, **values)


def _index(request: Request, file: int) -> CaptionsIndex:
    indexes = site_of(request).indexes
    if not 0 <= file < len(indexes):
        raise HTTPException(404, "There is no such captions file here: name it with ctgi ui --captions FILE.")
    indexes[file].refresh()
    return indexes[file]


def _names(request: Request) -> list[str]:
    """The files; those of the same name with their folders."""
    paths = [index.path for index in site_of(request).indexes]
    names = [path.name for path in paths]
    return [path.name if names.count(path.name) == 1 else str(path) for path in paths]


def _entry(index: CaptionsIndex, image: str) -> Entry:
    entry = index.find(image)
    if entry is None:
        raise HTTPException(404, "This image has no record in the captions file.")
    return entry


def _part(entries: Entries, page: int) -> Part:
    number = min(page, max(1, -(-len(entries) // PER_PAGE)))
    return Part(entries[(number - 1) * PER_PAGE : number * PER_PAGE], len(entries), number)


def _address(wanted: Wanted, **more: Any) -> str:
    """The filters as a query string."""
    below = "" if wanted.below is None else f"{wanted.below * 100:g}"
    given = {"text": wanted.text, "attribute": wanted.attribute, "below": below, "only": wanted.only, **more}
    return urlencode({name: value for name, value in given.items() if value not in ("", None)}, errors="replace")


def _pair(entry: Entry, index: CaptionsIndex, others: CaptionsIndex) -> Pair:
    line = index.read(entry)
    view, found = caption_view(line, index.corrections), others.find(line.image)
    other = caption_view(others.read(found), others.corrections) if found else None
    theirs = other.caption if other else ""
    return Pair(view, other, (added(theirs, view.caption), added(view.caption, theirs)))


def _before(view: CaptionView, correction: Correction) -> Correction:
    """What another person had written where this correction stands now."""
    same = [one for one in view.corrections if one.question == correction.question]
    at = same.index(correction)
    return same[at - 1] if at else correction


def _caption_stays(new: Sequence[Correction]) -> bool:
    """Whether answers were corrected and the caption was not."""
    return bool(new) and all(one.question is not None for one in new)
