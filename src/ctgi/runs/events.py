"""Events of a run: the terminal shows them, a program may log them."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

logger = logging.getLogger(__name__)


class Update(Protocol):
    """Receives progress."""

    def __call__(self, done: int, total: int | None = None, note: str = "") -> None:
        """Units done, of `total` (None: as before), and a short note."""
        ...


class Events(Protocol):
    """Listens to a run."""

    def tell(self, text: str) -> None:
        """A notice that users may want to know."""
        ...

    def announce(self, text: str) -> None:
        """A notice before the run: which models answer, and what leaves the machine."""
        ...

    def warn(self, text: str) -> None:
        """A warning that users must see."""
        ...

    def progress(self, what: str, total: int | None) -> AbstractContextManager[Update]:
        """A context around a long operation."""
        ...


class Logged:
    """The listener of a program: everything goes to `logging`, under this module's name."""

    def __init__(self) -> None:
        self._announced: set[str] = set()

    def tell(self, text: str) -> None:
        """Log as information."""
        logger.info("%s", text)

    def announce(self, text: str) -> None:
        """Log as a warning, which Python shows by default; the same text once."""
        if text not in self._announced:
            self._announced.add(text)
            logger.warning("%s", text)

    def warn(self, text: str) -> None:
        """Log as a warning."""
        logger.warning("%s", text)

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Update]:
        """Nothing is logged."""
        yield lambda done, total=None, note="": None
