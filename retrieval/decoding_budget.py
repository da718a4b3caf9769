"""Bounds the pixels of one image, and of all images that this process decodes at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

MAX_PIXELS = 100_000_000
"""Limit for one image, and for all images being decoded at once."""


class PixelBudget:
    """Pixels that may be decoded at once; a thread that needs more than is left waits."""

    def __init__(self, pixels: int) -> None:
        self._left = pixels
        self._changed = Condition()

    @contextmanager
    def share(self, pixels: int) -> Iterator[None]:
        """Hold `pixels`, which must not be more than the whole budget. One thread holds one share at a time."""
        with self._changed:
            self._changed.wait_for(lambda: pixels <= self._left)
            self._left -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._left += pixels
                self._changed.notify_all()
