"""What the parts behind a tool have to say about the call they are serving: retries, its source, the time it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

_NOTES: ContextVar[dict[str, Any] | None] = ContextVar("ctgi_call_notes", default=None)


def note(**facts: Any) -> None:
    """Tell whoever records the running call; outside of a recorded call nobody listens.

    `retries` are tries after the first; `thoughts` are characters that were cut off a reply; `src` is "cache" for a
    reply that was kept from an earlier call.
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


@dataclass
class Clock:
    """Time that was spent on one item."""

    seconds: float = 0.0


_CLOCK: ContextVar[Clock | None] = ContextVar("ctgi_clock", default=None)


@contextmanager
def timing() -> Iterator[Clock]:
    """A clock of what is spent on an item, also by the tasks it starts."""
    token = _CLOCK.set(clock := Clock())
    try:
        yield clock
    finally:
        _CLOCK.reset(token)


def spend(seconds: float) -> None:
    """Put time on the running item's clock: a call's own, not its wait for a turn behind other items' calls."""
    clock = _CLOCK.get()
    if clock is not None:
        clock.seconds += seconds


@contextmanager
def spending() -> Iterator[None]:
    """Put the time in here on the running item's clock."""
    started = time.perf_counter()
    try:
        yield
    finally:
        spend(time.perf_counter() - started)
