"""Notes from backends and caches about the call that they serve: retries, source, duration."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypedDict, Unpack

from ctgi.tools.traces.format import Source


@dataclass
class CallMeta:
    """How one call was served, besides its result."""

    retries: int = 0
    """Tries after the first."""
    thoughts: int = 0
    """Characters of thought removed from the reply."""
    src: Source = "live"
    """"cache" for a reply that was kept from an earlier call."""
    backend: str | None = None
    """The backend that served it, if it is not the one bound to the tool; likewise `model`."""
    model: str | None = None
    ms: float | None = None
    """For replayed calls, the original duration in ms."""
    around: "CallMeta | None" = None
    """The notes of an outer listener."""


class _Facts(TypedDict, total=False):
    retries: int
    thoughts: int
    src: Source
    backend: str
    model: str
    ms: float


_CALL: ContextVar[CallMeta | None] = ContextVar("ctgi_call", default=None)


def note(**facts: Unpack[_Facts]) -> None:
    """Note facts for all listeners of the running call; outside of a call there are none."""
    call = _CALL.get()
    while call is not None:
        vars(call).update(facts)
        call = call.around


@contextmanager
def noting() -> Iterator[CallMeta]:
    """Listen to one call and the tasks that it starts; outer listeners get the same notes."""
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
    """A clock for the time spent on an item, including tasks that it starts."""
    token = _CLOCK.set(clock := Clock())
    try:
        yield clock
    finally:
        _CLOCK.reset(token)


def spend(seconds: float) -> None:
    """Add seconds to the running item's clock: a call's own time, without its wait for other items' calls."""
    clock = _CLOCK.get()
    if clock is not None:
        clock.seconds += seconds


@contextmanager
def spending() -> Iterator[None]:
    """Add the time of the `with` block to the running item's clock."""
    started = time.perf_counter()
    try:
        yield
    finally:
        spend(time.perf_counter() - started)
