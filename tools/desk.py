"""What the tools of one agent share: images by id, and failures in words that a model may read.

No path reaches the model, and none that it writes is opened: an image has an id once the program gave it one, or once
search_gallery found it.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ctgi.errors import ArgumentError, ImageError, ToolError
from ctgi.retrieval.images import ImageRef

Answer = tuple[Any, dict[str, Any]]
"""What the model reads, and the artifact that only the program sees."""

_ID_DIGITS = 12
_SHOWN_PIXELS = 200_704
"""Larger images are shrunk to this area, in px, before the model gets to see them."""


def text_block(text: str) -> dict[str, Any]:
    """A text as a content block."""
    return {"type": "text", "text": text}


class Desk:
    """The tools of one agent, and the images that its model may name."""

    def __init__(self, tools: Mapping[str, Any], images: Mapping[str, ImageRef], *, by_name: bool = False) -> None:
        """`by_name`: pictures are named by sha256, for a program that puts them in when it sends the conversation."""
        self.tools, self._by_name = tools, by_name
        self._images = dict(images)

    def find(self, image_id: str) -> ImageRef:
        """The image of this id. Raises ArgumentError where there is none."""
        if image_id not in self._images:
            raise ArgumentError(f"no image has the id {image_id!r}; ids come from search_gallery")
        return self._images[image_id]

    def id_of(self, image: ImageRef) -> str:
        """The id by which the model can name this image from now on: as much of its sha256 as tells it from others."""
        short = image.sha256[:_ID_DIGITS]
        image_id = short if self._images.setdefault(short, image).sha256 == image.sha256 else image.sha256
        self._images[image_id] = image
        return image_id

    async def call(self, tool: str, image_id: str | None = None, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        """What a tool says, and the artifact: its result with the image's id and path.

        Raises:
            ArgumentError: no image has this id.
            ToolError: the call failed; the message names the image by its id.
        """
        if image_id is None:
            result = await self.tools[tool](**arguments)
            return result, asdict(result)
        image = self.find(image_id)
        try:
            result = await self.tools[tool](**arguments | {"image": image})
        except ToolError as error:
            told = f"{image_id}: {error.reason}" if isinstance(error, ImageError) else str(error)
            raise ToolError(told.replace(image.path, image_id)) from None
        return result, {"image_id": image_id, "path": image.path, "sha256": image.sha256, **asdict(result)}

    async def shown(self, image_ids: Iterable[str]) -> list[dict[str, Any]]:
        """These images as content blocks, each after its id."""
        return [block for image_id in image_ids for block in await self._blocks(image_id)]

    async def _blocks(self, image_id: str) -> list[dict[str, Any]]:
        if self._by_name:
            return [text_block(f"{image_id}:"), {"type": "image", "file_id": self.find(image_id).sha256}]
        from ctgi.tools.images import data_url

        try:
            url = await asyncio.to_thread(data_url, self.find(image_id), 1, _SHOWN_PIXELS)
        except ImageError as error:
            return [text_block(f"{image_id}: cannot be shown: {error.reason}")]
        kind, _, data = url.removeprefix("data:").partition(";base64,")
        return [text_block(f"{image_id}:"), {"type": "image", "base64": data, "mime_type": kind}]
