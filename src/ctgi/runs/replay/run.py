"""A recorded run again: the same graph over the same items, its calls answered by the trace."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ctgi.config import Settings
from ctgi.errors import CtgiError, ToolError
from ctgi.reading import Json
from ctgi.retrieval.images import ImageRef
from ctgi.runs.batch import run_many
from ctgi.runs.beforehand import announce
from ctgi.runs.caption import in_flight
from ctgi.runs.events import Events, Update
from ctgi.runs.recording import Act, tracing
from ctgi.runs.replay.differences import differences
from ctgi.runs.replay.item import Replayed, replay_one
from ctgi.runs.replay.kind import Kind, Outcomes
from ctgi.runs.replay.kinds import kind_of
from ctgi.runs.replay.plan import Plan, changes, computed_tools, live_tools, may_go_live
from ctgi.runs.replay.workers import in_processes, worker_count
from ctgi.text import plain
from ctgi.tools.traces.format import Done
from ctgi.tools.traces.interceptor import Interceptor
from ctgi.tools.traces.player import Replay
from ctgi.tools.traces.reader import Trace
from ctgi.tools.traces.recorder import ITEMS_OWN

_TOLD = 5
"""Changes told by name."""


@dataclass(frozen=True)
class ChangedItem:
    """An item that came out differently."""

    item: int
    what: str
    """Its image's path, or its query."""
    fields: list[str]
    """Those that differ."""


@dataclass
class ReplayReport:
    """What a replay found, counted as it goes."""

    of: str
    trace: str | None = None
    """The replay's own; None where it would repeat the recorded one."""
    out: str | None = None
    items: int = 0
    identical: int = 0
    """Items that came out as recorded, failures with the same message too."""
    changed: list[ChangedItem] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(item, reason) of items that could not be replayed."""
    unfinished: list[str] = field(default_factory=list)
    """Items that the recorded run had begun when it ended; left out."""
    served: int = 0
    live: int = 0
    unused: int = 0
    """Recorded calls that were not asked for any more."""
    changes: list[str] = field(default_factory=list)
    """Prompts, question pool and code that are not as they were."""


async def replay_run(
    trace: Trace,
    settings: Settings,
    plan: Plan,
    events: Events,
    *,
    out: Path | None = None,
) -> ReplayReport:
    """Run a trace's items again and compare them with what was recorded.

    A new trace tells of the replay, unless nothing could come out otherwise: no tool live, no prompt or code changed.
    Such a replay of many items is shared out to processes.

    Args:
        trace: what is replayed.
        settings: of `replay_settings`.
        plan: what is called anew.
        events: hears what leaves the machine before anything does, how far the replay is, and what is otherwise.
        out: a new file for the captions (as captions.jsonl) or the searches (one JSON object a line).

    Raises:
        CtgiError: a changed prompt, an unknown node, an `out` that is there, a server that is gone.
    """
    announce(settings, may_go_live(trace, plan), events)
    header, kind = trace.header, kind_of(trace.header)
    report = ReplayReport(header.run, out=str(out) if out else None, changes=changes(trace, settings))
    live = live_tools(trace, settings, plan, report.changes)
    from_node = _first_live_node(header.graph, kind, plan.from_node, events)
    replay = Replay(trace, live, plan.on_miss, from_node, computed_tools(settings))
    order = _order(trace, plan, report)
    certain = plan.pure and not report.changes
    how = {"of": header.run, "live": sorted(live), "on_miss": plan.on_miss, "from_node": from_node}
    act = Act(header.command, header.graph, [*header.bindings], trace.values.load(header.input), header.root)
    tracer = tracing(act, settings, replay=how, inner=replay, wanted=not certain)
    with (
        _outcomes(out, kind, trace, settings) as outcomes,
        tracer as interceptor,
        events.progress("replay", len(order)) as update,
    ):
        report.trace, run = interceptor.run, _Run(trace, report, outcomes, interceptor)
        if certain and (jobs := worker_count(len(order))) > 1:
            await run.all(order, in_processes(trace, settings, replay, order, jobs), update)
        else:
            async with kind.work(trace, settings, interceptor, plan.gallery) as work:
                at_once = 1 if plan.pure else in_flight(settings)
                items = run_many(order, partial(replay_one, trace, replay, work), in_flight=at_once)
                await run.all(order, items, update)
    _tell(report, events)
    return report


def _tell(report: ReplayReport, events: Events) -> None:
    """What is not as it was, and what failed."""
    if report.changes:
        shown = ", ".join(report.changes[:_TOLD]) + (" ..." if len(report.changes) > _TOLD else "")
        events.tell(f"changed since the recording: {shown}")
    if report.unfinished:
        events.warn(f"left out, because the recorded run ended before they were done: {', '.join(report.unfinished)}")
    for item, reason in report.failed:
        events.warn(f"not replayed: {item}: {reason}")


def _first_live_node(graph: str, kind: Kind, node: str | None, events: Events) -> str | None:
    if node is None or node in (nodes := kind.nodes()):
        return node
    if parts := kind.former_nodes().get(node):
        events.warn(f"the node {node} is {' and '.join(parts)} now: calls are made anew from {parts[0]} on")
        return parts[0]
    raise CtgiError(f"the graph {graph} has no node {node!r}: it has {', '.join(nodes)}")


@contextmanager
def _outcomes(out: Path | None, kind: Kind, trace: Trace, settings: Settings) -> Iterator[Outcomes | None]:
    if out is None:
        yield None
        return
    if out.exists():
        raise CtgiError(f"{plain(str(out))} exists already, and a replay writes a new file: give another --out")
    with kind.outcomes(out, trace, settings) as outcomes:
        yield outcomes


def _order(trace: Trace, plan: Plan, report: ReplayReport) -> list[int]:
    """Items in the order in which they were done, so that results are written in it; then those never finished."""
    wanted = [number for number, index in trace.items.items() if plan.wanted(index.item)]
    done, rest = list[tuple[int, int]](), list[int]()
    for number in wanted:
        offset = trace.items[number].done
        if offset is None or not _finished(trace.done(number)):
            rest.append(number)
        else:
            done.append((offset, number))
    if plan.on_miss == "error":
        report.unfinished += [trace.name(number) for number in rest]
        rest = []
    return [number for _, number in sorted(done)] + rest


def _finished(done: Done | None) -> bool:
    return done is not None and (done.error is None or done.error.type in ITEMS_OWN)


class _Run:
    def __init__(self, trace: Trace, report: ReplayReport, outcomes: Outcomes | None, interceptor: Interceptor) -> None:
        self._trace, self._report, self._outcomes, self._interceptor = trace, report, outcomes, interceptor
        self._waiting: dict[int, Replayed] = {}

    async def all(
        self,
        order: list[int],
        items: AsyncIterator[tuple[int, Replayed]] | AsyncIterator[tuple[int, Replayed | ToolError]],
        update: Update,
    ) -> None:
        """Every item; taken in the given order, whenever each was done."""
        place = 0
        async for number, result in items:
            if isinstance(result, ToolError):
                raise AssertionError(result)  # replay_one catches them
            self._waiting[number] = result
            while place < len(order) and order[place] in self._waiting:
                self._take(order[place], self._waiting.pop(order[place]))
                place += 1
            update(self._report.items, note=f"{self._report.served} recorded, {self._report.live} live")

    def _take(self, number: int, result: Replayed) -> None:
        report, recorded = self._report, self._trace.done(number)
        report.items += 1
        report.served += result.served
        report.live += result.live
        report.unused += result.unused
        if result.error is not None:
            self._take_failure(number, result.error, recorded)
            return
        then = self._trace.values.load(recorded.output) if recorded and recorded.output else None
        output = result.output or self._copy(number, then or {})
        if then is not None and result.live == 0:
            output = output | {name: then[name] for name in ("seconds", "trace") if name in then}
        if self._outcomes:
            self._outcomes.write(output, cached=result.cached)
        differs = differences(then or {}, output)
        if differs:
            report.changed.append(ChangedItem(number, self._trace.name(number), differs))
        else:
            report.identical += 1

    def _take_failure(self, number: int, error: str, recorded: Done | None) -> None:
        if recorded and recorded.error and recorded.error.message == error:
            self._report.identical += 1
        else:
            self._report.failed.append((self._trace.name(number), error))

    def _copy(self, number: int, recorded: Json) -> Json:
        """The record of an image with the content of another, of which the new caption is copied."""
        image = ImageRef(recorded["path"], recorded["sha256"])
        record = (self._outcomes and self._outcomes.copy_for(image)) or recorded
        with self._interceptor.item({"image": image}) as done:
            done(record)
        return record
