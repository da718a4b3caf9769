"""A bound on one image, and on what all threads of this process decode at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

MAX_PIXELS = 100_000_000
"""Of one image, and of all that are in work at once."""


class PixelBudget:
    """Pixels that may be in work at once; who asks for more than is left waits."""

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
