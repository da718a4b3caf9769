"""Answers from a trace in place of tools: the n-th call with the same arguments in an item gets the n-th answer."""

import difflib
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from ctgi.bindings import Binding
from ctgi.errors import CtgiError, ImageError, ToolError
from ctgi.retrieval.images import ImageRef, digest
from ctgi.text import plain
from ctgi.tools.backends import Mllm
from ctgi.tools.traces.call_notes import note
from ctgi.tools.traces.format import Call
from ctgi.tools.traces.interceptor import UNHEARD, OpenTool, Outcome, Wrote
from ctgi.tools.traces.reader import Trace
from ctgi.tools.traces.recorder import ITEMS_OWN
from ctgi.tools.traces.values import Values, arguments, call_key

OnMiss = Literal["error", "live"]
_COMPARED = 50
_SHOWN = 160


class MissError(CtgiError):
    """A call that was never recorded; its item cannot be replayed."""


@dataclass
class PendingCalls:
    """The recorded calls of one item that are not yet used."""

    item: int
    calls: list[Call]
    pending: dict[tuple[str, str], deque[Call]] = field(default_factory=lambda: defaultdict(deque))
    live_from_here: bool = False
    """Whether the node was reached from which on all calls are made anew."""
    served: int = 0
    live: int = 0

    def __post_init__(self) -> None:
        for call in self.calls:
            if call.error is None or call.error.type in ITEMS_OWN:
                self.pending[call.tool, call.key].append(call)

    def take(self, tool: str, key: str) -> Call | None:
        """The next recorded call like this."""
        queue = self.pending.get((tool, key))
        return queue.popleft() if queue else None

    @property
    def unused(self) -> list[Call]:
        """The recorded calls that were not used."""
        return [call for queue in self.pending.values() for call in queue]


_PENDING: ContextVar[PendingCalls | None] = ContextVar("ctgi_replayed_item", default=None)


@dataclass(frozen=True)
class Replay:
    """An interceptor that returns recorded results. Enter `at(item)` around the work on a recorded item."""

    trace: Trace
    live: Collection[str] = ()
    """Tools that are called anew."""
    on_miss: OnMiss = "error"
    from_node: str | None = None
    """From the first visit of this node on, all calls of an item are made anew."""
    computed: Collection[str] = ()
    """Tools that need no model: a miss is computed."""
    run: str | None = None

    @contextmanager
    def at(self, item: int) -> Iterator[PendingCalls]:
        """Answer from the calls of this item."""
        pending = PendingCalls(item, self.trace.calls(item))
        token = _PENDING.set(pending)
        try:
            yield pending
        finally:
            _PENDING.reset(token)

    def serve(self, tool: str, binding: Binding, open_tool: OpenTool) -> Any:
        """A callable that answers from the recording; the tool itself is opened on first need."""
        if tool in self.live:
            ready = open_tool()  # errors in a binding show before anything runs
            return _Replayed(self, tool, lambda: ready)
        return _Replayed(self, tool, open_tool)

    def model(self, binding: Binding, mllm: Mllm) -> Mllm:
        """The model itself, for live calls."""
        return mllm

    def item(self, given: Mapping[str, Any]) -> AbstractContextManager[Outcome]:
        """No context: the pending calls are those of `at`."""
        return UNHEARD

    def node(self, name: str, step: int) -> AbstractContextManager[Wrote]:
        """No context, but from `from_node` on, an item's calls go live."""
        pending = _PENDING.get()
        if pending is not None and name == self.from_node:
            pending.live_from_here = True
        return UNHEARD

    def goes_live(self, tool: str, pending: PendingCalls) -> bool:
        """Whether a call is made anew regardless of the recording."""
        return tool in self.live or pending.live_from_here


@dataclass
class _Replayed:
    replay: Replay
    tool: str
    open_tool: OpenTool
    opened: Callable[..., Awaitable[Any]] | None = None

    async def __call__(self, *args: Any, **options: Any) -> Any:
        pending = _PENDING.get()
        if pending is None:
            raise CtgiError(f"{self.tool} was called outside of a recorded item: this part of a run cannot be replayed")
        named = arguments(self.tool, args, options)
        if not self.replay.goes_live(self.tool, pending):
            call = pending.take(self.tool, call_key(self.tool, named))
            if call:
                pending.served += 1
                return _answer(call, self.replay.trace)
            if self.replay.on_miss == "error" and self.tool not in self.replay.computed:
                raise MissError(_missed(self.tool, named, pending, self.replay.trace))
        pending.live += 1
        _check_images(named.values())
        if self.opened is None:
            self.opened = self.open_tool()
        return await self.opened(*args, **options)


def _check_images(values: Iterable[Any]) -> None:
    """Check that a live call is about the recorded image.

    Raises:
        ImageError: the path holds another image now.
    """
    for value in values:
        if isinstance(value, ImageRef) and digest(value.path) != value.sha256:
            raise ImageError(value.path, "the path holds another image than when the run was recorded")


def _answer(call: Call, trace: Trace) -> Any:
    """The recorded result, or the recorded failure raised again."""
    note(src="recorded", ms=call.ms, retries=call.retries, backend=call.backend, model=call.model)
    if call.error and call.error.type == "ImageError":
        raise ImageError(trace.values.real(call.error.path), call.error.reason)
    if call.error:
        raise ToolError(call.error.message)
    try:
        return trace.values.result(call.tool, call.out)
    except ValueError as error:
        raise MissError(
            f"{plain(str(trace.path))}: call {call.seq} of {plain(call.tool)} in item {call.item} holds no result of "
            f"this tool ({plain(str(error))}): the line was edited"
        ) from None


def _missed(tool: str, named: Mapping[str, Any], pending: PendingCalls, trace: Trace) -> str:
    """The message of a miss: the call, and the nearest recorded one."""
    asked = json.loads(trace.values.dumps(named))
    told = f"item {pending.item}: {tool} was never recorded with these arguments"
    nearest = _nearest(asked, [call for call in pending.calls if call.tool == tool][:_COMPARED], trace.values)
    if nearest is None:
        return f"{told}, nor with any: {_short(asked)}. Make it now with --on-miss live"
    changed = [name for name in asked if asked[name] != nearest.args.get(name)]
    if not changed:
        used = f"item {pending.item}: {tool} was called more often with these arguments than recorded"
        return f"{used} (recorded: {_uses(pending, nearest)}). Make it now with --on-miss live"
    differences = "; ".join(
        f"{name} is {_short(asked[name])}, recorded was {_short(nearest.args.get(name))}" for name in changed
    )
    return f"{told}; the nearest recording, call {nearest.seq}, differs: {differences}. Make it now with --on-miss live"


def _nearest(asked: Any, calls: list[Call], values: Values) -> Call | None:
    text = values.dumps(asked).decode(errors="replace")
    return max(
        calls,
        key=lambda call: difflib.SequenceMatcher(
            None, text, values.dumps(call.args).decode(errors="replace"), autojunk=False
        ).quick_ratio(),
        default=None,
    )


def _uses(pending: PendingCalls, call: Call) -> int:
    return sum(one.key == call.key and one.tool == call.tool for one in pending.calls)


def _short(value: Any) -> str:
    text = plain(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
