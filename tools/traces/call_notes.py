"""What the parts behind a tool have to say about the call they are serving: retries, its source, the time it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypedDict, Unpack

from ctgi.tools.traces.format import Source


@dataclass
class CallMeta:
    """How one call was served, besides what came of it."""

    retries: int = 0
    """Tries after the first."""
    thoughts: int = 0
    """Characters that were cut off a reply."""
    src: Source = "live"
    """"cache" for a reply that was kept from an earlier call."""
    backend: str | None = None
    """Who served it, where that is not the one the tool is bound to; so `model`."""
    model: str | None = None
    ms: float | None = None
    """What it took when it was made, where it is only repeated now."""
    around: "CallMeta | None" = None
    """Of whoever else listens, further out."""


class _Facts(TypedDict, total=False):
    retries: int
    thoughts: int
    src: Source
    backend: str
    model: str
    ms: float


_CALL: ContextVar[CallMeta | None] = ContextVar("ctgi_call", default=None)


def note(**facts: Unpack[_Facts]) -> None:
    """Tell everybody who listens to the running call; outside of such a call nobody does."""
    call = _CALL.get()
    while call is not None:
        vars(call).update(facts)
        call = call.around


@contextmanager
def noting() -> Iterator[CallMeta]:
    """Listen to one call, and to the tasks it starts; whoever listens around it hears the same."""
    token = _CALL.set(call := CallMeta(around=_CALL.get()))
    try:
        yield call
    finally:
        _CALL.reset(token)


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
