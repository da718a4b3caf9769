"""detect_people by the user's own code: `python:module:name`, a function (image) -> boxes."""

import asyncio
import inspect
from collections.abc import Iterable
from typing import Any

from ctgi.bindings import Binding
from ctgi.errors import CtgiError, ToolError
from ctgi.plugins import described, own_code
from ctgi.retrieval.images import ImageRef, picture_at
from ctgi.settings import Settings
from ctgi.text import plain
from ctgi.tools.types import Detection, Detections


def open_own_detector(binding: Binding, settings: Settings) -> "OwnDetector":
    """The detector behind `python:module:name`: a function, a coroutine function, or a class with `__call__`.

    It is called with a PIL image, RGB and upright, and returns boxes: (left, top, right, bottom) or (left, top, right,
    bottom, score), in px of that image.

    Raises:
        CtgiError: it cannot be imported, made or called.
    """
    found = own_code(binding.model)
    if not callable(found):
        raise CtgiError(f"python:{plain(binding.model)}: {type(found).__name__} cannot be called: expected a function")
    return OwnDetector(found, plain(binding.model), settings.endpoint(binding).concurrency)


class OwnDetector:
    """detect_people by a function; at most `concurrency` calls at once."""

    def __init__(self, function: Any, name: str, concurrency: int) -> None:
        self._function, self._name = function, name
        self._turns = asyncio.Semaphore(concurrency)

    async def __call__(self, image: ImageRef) -> Detections:
        """Picture -> people.

        Raises:
            ImageError: it cannot be read.
            ToolError: the function raised, or returned something else.
        """
        async with self._turns:
            try:
                said = await asyncio.to_thread(self._ask, image)
                said = await said if inspect.isawaitable(said) else said
            except (CtgiError, ToolError):
                raise
            except Exception as error:  # whatever the user's own code raises
                raise ToolError(f"{self._name} raised {described(error)}") from error
        return Detections(
            tuple(sorted(_people(said, self._name), key=lambda one: -(1 if one.score is None else one.score)))
        )

    async def aclose(self) -> None:
        """Close the object if it can be closed."""
        if hasattr(self._function, "aclose"):
            await self._function.aclose()

    def _ask(self, image: ImageRef) -> Any:
        with picture_at(image.path, image.sha256) as picture:
            return self._function(picture.image)


def _people(said: Any, name: str) -> Iterable[Detection]:
    try:
        rows = [tuple(map(float, row)) for row in said]
    except (TypeError, ValueError):
        rows = [()]
    for row in rows:
        if len(row) not in (4, 5):
            raise ToolError(
                f"{name} returned {said!r:.80}: expected rows of left, top, right, bottom and perhaps a score"
            )
        left, top, right, bottom, *score = row
        yield Detection((left, top, right, bottom), score[0] if score else None)
