"""The gallery: its images, some at a time, and each as a picture by the sha256 of its content."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from ctgi.errors import ImageError
from ctgi.ui.pictures import UnknownImageError
from ctgi.ui.searches import site_of

CHUNK = 120
"""Images that are added as the list is scrolled."""
router = APIRouter()
_FOR_GOOD = {"cache-control": "private, max-age=31536000, immutable"}  # the name is the content
_GONE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 300" role="img">'
    '<text x="60" y="145" font-family="sans-serif" font-size="11" text-anchor="middle" fill="#888">gone or changed'
    '</text><text x="60" y="162" font-family="sans-serif" font-size="11" text-anchor="middle" fill="#888">'
    "since indexing</text></svg>"
)


@router.get("/gallery")
async def browse(request: Request, start: Annotated[int, Query(ge=0)] = 0) -> HTMLResponse:
    """Some images, and where more are."""
    site = site_of(request)
    end = min(start + CHUNK, len(site.gallery))
    images = [site.gallery.ref(row) for row in range(start, end)]
    after = end if end < len(site.gallery) else None
    return site.page(request, "gallery.html.j2", images=images, start=start, after=after)


@router.get("/images/{sha256}/small")
def small(request: Request, sha256: str) -> Response:
    """A thumbnail."""
    return _picture(request, sha256, "thumbnail")


@router.get("/images/{sha256}/full")
def full(request: Request, sha256: str) -> Response:
    """As large as a screen."""
    return _picture(request, sha256, "full")


def _picture(request: Request, sha256: str, size: str) -> Response:
    try:
        content: bytes = getattr(site_of(request).pictures, size)(sha256)
    except UnknownImageError:
        return Response(_GONE, 404, media_type="image/svg+xml")
    except ImageError:
        return Response(_GONE, 410, media_type="image/svg+xml")
    return Response(content, media_type="image/jpeg", headers=_FOR_GOOD)
