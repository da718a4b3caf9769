"""Records every tool call, every node that ran, and every item with its result."""

import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from ctgi.bindings import Binding
from ctgi.errors import EXHAUSTED, ImageError, exhausted
from ctgi.reading import Json
from ctgi.tools.backends import Mllm
from ctgi.tools.traces.call_notes import CallMeta, noting
from ctgi.tools.traces.format import Call, Done, End, Failure, Header, Item, Node, Status
from ctgi.tools.traces.interceptor import DIRECT, Interceptor, OpenTool, Outcome, Wrote
from ctgi.tools.traces.values import Arguments, arguments, call_key
from ctgi.tools.traces.writer import TraceWriter


@dataclass(frozen=True, slots=True)
class _Place:
    """The position of the running task in the run; tasks that it starts inherit it."""

    item: int
    trail: list[Node]
    """Nodes of the item that have ended but are not yet written."""
    node: str | None = None
    step: int | None = None

    def take_trail(self) -> list[Node]:
        """The nodes to write now."""
        ended, self.trail[:] = self.trail[:], []
        return ended


_PLACE: ContextVar[_Place | None] = ContextVar("ctgi_trace_place", default=None)


class Recorder:
    """An interceptor that writes a trace. Made by `ctgi.runs.recording.tracing`."""

    def __init__(self, writer: TraceWriter, inner: Interceptor = DIRECT) -> None:
        """Record the calls through `inner`, which may be a replay."""
        self.run: str | None = writer.run
        self._writer = writer
        self._inner = inner
        self._began = time.perf_counter()
        self._told = False
        self._items = itertools.count(1)
        self._calls = itertools.count(1)

    def header(self, header: Header) -> None:
        """Write the header, before anything else is recorded."""
        self._writer.write(header)

    def serve(self, tool: str, binding: Binding, open_tool: OpenTool) -> Any:
        """The inner interceptor's tool, recorded."""
        served = self._inner.serve(tool, binding, open_tool)
        return _Recorded(self, tool, binding, served)

    def model(self, binding: Binding, mllm: Mllm) -> Mllm:
        """The inner interceptor's model; only calls of tools are recorded."""
        return self._inner.model(binding, mllm)

    @contextmanager
    def item(self, given: Mapping[str, Any]) -> Iterator[Outcome]:
        """Record the beginning of an item, and its outcome or the exception that ends it."""
        number, started = next(self._items), self.now()
        self._writer.write(Item(item=number, input=self._writer.values.store(dict(given)), at=started))
        token = _PLACE.set(place := _Place(number, []))
        output: Json | None = None

        def done(result: Json) -> None:
            nonlocal output
            output = self._writer.values.store(result)

        failure: Failure | None = None
        try:
            with self._inner.item(given):
                yield done
        except BaseException as error:
            failure = as_failure(error)
            raise
        finally:
            _PLACE.reset(token)
            if failure is None or failure.type not in _UNFINISHED:
                ms = _ms(self.now() - started)
                nodes = place.take_trail()
                self._writer.write(Done(item=number, at=started, ms=ms, output=output, error=failure, nodes=nodes))
                self._told |= failure is None or failure.type in ITEMS_OWN

    @contextmanager
    def node(self, name: str, step: int) -> Iterator[Wrote]:
        """Record that a node of the item ran; calls inside are attributed to it."""
        changed: list[str] = []
        with self._inner.node(name, step):
            item = _PLACE.get()
            if item is None:
                yield changed.extend
                return
            token = _PLACE.set(replace(item, node=name, step=step))
            started, failed = self.now(), None
            try:
                yield changed.extend
            except BaseException as error:
                failed = type(error).__name__
                raise
            finally:
                _PLACE.reset(token)
                item.trail.append(Node(name, step, started, _ms(self.now() - started), changed, failed))

    def end(self, error: BaseException | None) -> None:
        """Write the end record and close the file; a run that failed without any result leaves no file."""
        counts = self._writer.counts
        if error is not None and not self._told:
            self._writer.discard()
            return
        status: Status = "done" if counts.outcome == "done" else "done with failures"
        if error is not None:
            status = "failed"
        if type(error).__name__ in _UNFINISHED:
            status = "interrupted"
        told = None if error is None else f"{type(error).__name__}: {error}"
        try:
            self._writer.write(End(status=status, at=self.now(), error=told, **vars(counts)))
        finally:
            self._writer.close()

    def now(self) -> float:
        """Seconds since the run began."""
        return round(time.perf_counter() - self._began, 6)

    def write_call(self, call: Call) -> None:
        """Write one call."""
        self._writer.write(call)
        self._told |= call.error is None

    def next_call(self) -> int:
        """The number of the next call."""
        return next(self._calls)


ITEMS_OWN = frozenset({"ToolError", "ImageError"})
"""Failures of a call and its item; any other exception ended the run."""
_UNFINISHED = frozenset({"CancelledError", "KeyboardInterrupt", "SystemExit"})
"""Exceptions from outside: the item was neither finished nor at fault."""


@dataclass(frozen=True)
class _Recorded:
    """One tool, recorded."""

    recorder: Recorder
    tool: str
    binding: Binding
    served: Callable[..., Awaitable[Any]]

    async def __call__(self, *args: Any, **options: Any) -> Any:
        named = arguments(self.tool, args, options)
        seq, started = self.recorder.next_call(), self.recorder.now()
        with noting() as meta:
            try:
                out = await self.served(*args, **options)
            except BaseException as error:
                self._write(seq, started, named, meta, None, as_failure(error))
                raise
        self._write(seq, started, named, meta, out, None)
        return out

    def _write(
        self, seq: int, started: float, named: Arguments, meta: CallMeta, out: Any, error: Failure | None
    ) -> None:
        place = _PLACE.get()
        tokens = getattr(out, "tokens", None)
        self.recorder.write_call(
            Call(
                seq=seq,
                item=place.item if place else None,
                node=place.node if place else None,
                step=place.step if place else None,
                tool=self.tool,
                backend=self.binding.endpoint if meta.backend is None else meta.backend,
                model=self.binding.model if meta.model is None else meta.model,
                key=call_key(self.tool, named),
                args=named,
                out=out,
                error=error,
                at=started,
                ms=_ms(self.recorder.now() - started) if meta.ms is None else meta.ms,
                tokens=(tokens.input, tokens.output) if tokens else (0, 0),
                retries=meta.retries,
                thoughts=meta.thoughts,
                src=meta.src,
                nodes=place.take_trail() if place else [],
            )
        )


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)


def as_failure(error: BaseException) -> Failure:
    """An exception in the form of the trace."""
    if isinstance(error, EXHAUSTED):
        error = exhausted(error)
    if isinstance(error, ImageError):
        return Failure("ImageError", str(error), error.path, error.reason)
    return Failure(type(error).__name__, str(error))
