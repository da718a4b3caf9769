"""What the parts behind a tool have to say about the call they are serving: retries, and where the answer came from."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_NOTES: ContextVar[dict[str, Any] | None] = ContextVar("ctgi_call_notes", default=None)


def note(**facts: Any) -> None:
    """Tell whoever records the running call; outside of a recorded call nobody listens.

    `retries` are tries after the first; `src` is "cache" for a reply that was kept from an earlier call.
    """
    notes = _NOTES.get()
    if notes is not None:
        notes.update(facts)


@contextmanager
def noting() -> Iterator[dict[str, Any]]:
    """Collect the notes of one call, also from the tasks it starts; whoever collects around it gets them too."""
    notes: dict[str, Any] = {}
    token = _NOTES.set(notes)
    try:
        yield notes
    finally:
        _NOTES.reset(token)
        note(**notes)
