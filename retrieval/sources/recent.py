"""The bytes of images that were read a moment ago, so that what is read ahead is read once."""

import threading
import time
from collections import OrderedDict

from ctgi.errors import ImageError

_BYTES = 128 << 20
_SECONDS = 120.0


class _Recent:
    """The newest bytes by path, as far as they fit; after a while they are read anew."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, bytes | ImageError]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, path: str, content: bytes | ImageError) -> None:
        """Keep what was read at `path`, or why it could not be read."""
        with self._lock:
            self._drop(path)
            self._kept[path] = time.monotonic(), content
            self._bytes += _size(content)
            while self._bytes > _BYTES and len(self._kept) > 1:
                self._drop(next(iter(self._kept)))

    def __contains__(self, path: str) -> bool:
        with self._lock:
            return path in self._kept

    def get(self, path: str) -> bytes | None:
        """What was read at `path` a moment ago, if it is still here.

        Raises:
            ImageError: it could not be read.
        """
        with self._lock:
            when, content = self._kept.get(path, (0.0, None))
            if content is not None and time.monotonic() - when > _SECONDS:
                self._drop(path)
                content = None
        if isinstance(content, ImageError):
            raise content
        return content

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _drop(self, path: str) -> None:
        _, content = self._kept.pop(path, (0.0, b""))
        self._bytes -= _size(content)


def _size(content: bytes | ImageError) -> int:
    return len(content) if isinstance(content, bytes) else 0


recent = _Recent()
