"""The gallery: its images, some at a time, and each as a picture by the sha256 of its content."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from ctgi.errors import ImageError
from ctgi.footage.sources import origin_of
from ctgi.ui.captions import captions_of
from ctgi.ui.pictures import UnknownImageError
from ctgi.ui.searches import site_of

CHUNK = 120
"""Images that come at once."""
SPAN = 100_000
"""Images over which one list can be scrolled: browsers draw no page that is much higher."""
router = APIRouter()
_FOR_GOOD = {"cache-control": "private, max-age=31536000, immutable"}  # the name is the content
_GONE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 300" role="img">'
    '<text x="60" y="145" font-family="sans-serif" font-size="11" text-anchor="middle" fill="#888">gone or changed'
    '</text><text x="60" y="162" font-family="sans-serif" font-size="11" text-anchor="middle" fill="#888">'
    "since indexing</text></svg>"
)


@router.get("/gallery")
def browse(
    request: Request, start: Annotated[int, Query(ge=0)] = 0, name: Annotated[str, Query(max_length=500)] = ""
) -> HTMLResponse:
    """Some images, of all or of those whose path holds `name`; the script brings others as they are scrolled to."""
    gallery = site_of(request).gallery
    rows = gallery.rows_named(name.strip()) if name.strip() else range(len(gallery))
    start = min(start, max(0, len(rows) - 1))
    first = start // SPAN * SPAN
    last, end = min(first + SPAN, len(rows)), min(start + CHUNK, len(rows))
    address = f"/gallery?{urlencode({'name': name}, errors='replace')}&" if name else "/gallery?"
    return site_of(request).page(
        request, "gallery.html.j2", images=[gallery.ref(row) for row in rows[start:end]], start=start, end=end,
        first=first, last=last, total=len(rows), piece=CHUNK, name=name, address=address,
    )  # fmt: skip


@router.get("/gallery/{sha256}")
def image(request: Request, sha256: str) -> HTMLResponse:
    """One image, with what the captions files say of it."""
    gallery = site_of(request).gallery
    path = site_of(request).pictures.path(sha256)
    row = gallery.rows_of(sha256)[0]
    before, after = (gallery.ref(near).sha256 if 0 <= near < len(gallery) else None for near in (row - 1, row + 1))
    return site_of(request).page(
        request, "gallery_image.html.j2", here="/gallery", sha256=sha256, path=path, row=row, before=before,
        origin=origin_of(path),
        after=after, copies=len(gallery.rows_of(sha256)), captions=captions_of(request, path, sha256),
    )  # fmt: skip


@router.get("/images/{sha256}/small")
def small(request: Request, sha256: str) -> Response:
    """A thumbnail."""
    return _picture(request, sha256, "thumbnail")


@router.get("/images/{sha256}/full")
def full(request: Request, sha256: str) -> Response:
    """As large as a screen."""
    return _picture(request, sha256, "full")


@router.get("/images/{sha256}/scene")
def scene(request: Request, sha256: str) -> Response:
    """The photograph or frame that it was cut out of, with the person marked."""
    return _picture(request, sha256, "scene")


def _picture(request: Request, sha256: str, size: str) -> Response:
    try:
        content: bytes = getattr(site_of(request).pictures, size)(sha256)
    except UnknownImageError:
        return Response(_GONE, 404, media_type="image/svg+xml")
    except ImageError:
        return Response(_GONE, 410, media_type="image/svg+xml")
    return Response(content, media_type="image/jpeg", headers=_FOR_GOOD)
