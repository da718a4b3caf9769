"""The images of a gallery as resources: by id, as JPEG, a page at a time."""

import asyncio
import io
from collections.abc import Iterable

from mcp import types

from ctgi.errors import ArgumentError
from ctgi.retrieval.images import ImageRef, read_image
from ctgi.runs.live_gallery import LiveGallery
from ctgi.tools.desk import Desk

SCHEME = "ctgi://image/"
_PAGE = 100
"""Images listed at once."""
_LONGEST_SIDE = 1024
"""Larger images are shrunk to it, in px."""
_QUALITY = 90


class Pictures:
    """The images of a gallery, under the ids that the tools know."""

    def __init__(self, live: LiveGallery, desk: Desk) -> None:
        self._live, self._desk = live, desk

    def page(self, cursor: str | None) -> types.ListResourcesResult:
        """Images from this place in the gallery on.

        Raises:
            ArgumentError: the cursor is none of ours.
        """
        start = int(cursor) if cursor and cursor.isascii() and cursor.isdecimal() else 0 if not cursor else -1
        if not 0 <= start <= len(self._live.now):
            raise ArgumentError(f"no page begins at {cursor!r}")
        rows = range(start, min(start + _PAGE, len(self._live.now)))
        after = str(rows.stop) if rows.stop < len(self._live.now) else None
        return types.ListResourcesResult(resources=list(self._resources(rows)), nextCursor=after)

    def _resources(self, rows: Iterable[int]) -> Iterable[types.Resource]:
        for row in rows:
            image_id = self._desk.id_of(self._live.now.ref(row))
            yield types.Resource.model_validate(
                {"uri": f"{SCHEME}{image_id}", "name": image_id, "mimeType": "image/jpeg"}
            )

    async def jpeg(self, uri: str) -> bytes:
        """The image of this address.

        Raises:
            ArgumentError: there is no such image.
            ImageError: it cannot be read.
        """
        if not uri.startswith(SCHEME):
            raise ArgumentError(f"{uri!r} is no image: expected {SCHEME}ID")
        return await asyncio.to_thread(_jpeg, self._find(uri.removeprefix(SCHEME)).path)

    def _find(self, image_id: str) -> ImageRef:
        """Also one that an earlier session of the client was told of."""
        try:
            return self._desk.find(image_id)
        except ArgumentError:
            for image in self._live.now.refs():
                self._desk.id_of(image)
            return self._desk.find(image_id)


def _jpeg(path: str) -> bytes:
    picture = read_image(path)
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    out = io.BytesIO()
    picture.convert("RGB").save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
