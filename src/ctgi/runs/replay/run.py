"""A recorded run again: the same graph over the same items, its calls answered by the trace."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ctgi.config import Settings
from ctgi.errors import CtgiError, ToolError
from ctgi.graphs.mtg import SPLIT_NODES
from ctgi.reading import Json
from ctgi.retrieval.images import ImageRef
from ctgi.runs.batch import run_many
from ctgi.runs.beforehand import announce
from ctgi.runs.caption import copied, in_flight
from ctgi.runs.captions_file import CaptionsFile, dump, open_captions
from ctgi.runs.events import Events, Update
from ctgi.runs.recording import Act, tracing
from ctgi.runs.replay.item import Replayed, graph_nodes, open_work, replay_one
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
OWN = frozenset({"seconds", "trace", "bindings", "tokens"})
"""Fields that tell how an outcome was made, not what it is."""

logger = logging.getLogger(__name__)


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
    changed: list[Json] = field(default_factory=list)
    """item, what it is, and the fields that differ."""
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
    header = trace.header
    report = ReplayReport(header.run, out=str(out) if out else None, changes=changes(trace, settings))
    live = live_tools(trace, settings, plan, report.changes)
    from_node = _first_live_node(header.graph, plan.from_node)
    replay = Replay(trace, live, plan.on_miss, from_node, computed_tools(settings))
    order = _order(trace, plan, report)
    certain = plan.pure and not report.changes
    how = {"of": header.run, "live": sorted(live), "on_miss": plan.on_miss, "from_node": from_node}
    act = Act(header.command, header.graph, [*header.bindings], trace.values.load(header.input), header.root)
    tracer = tracing(act, settings, replay=how, inner=replay, wanted=not certain)
    with (
        _results(out, trace, settings) as results,
        tracer as interceptor,
        events.progress("replay", len(order)) as update,
    ):
        report.trace = interceptor.run
        items: AsyncIterator[tuple[int, Replayed | ToolError]]
        if certain and (jobs := worker_count(len(order))) > 1:
            items = in_processes(trace, settings, replay, order, jobs)
            await _Run(trace, report, results, interceptor).all(order, items, update)
        else:
            async with open_work(trace, settings, interceptor, plan.gallery) as work:
                one = partial(replay_one, trace, replay, work)
                items = run_many(order, one, in_flight=1 if plan.pure else in_flight(settings))
                await _Run(trace, report, results, interceptor).all(order, items, update)
    _tell(report, events)
    return report


def _tell(report: ReplayReport, events: Events) -> None:
    """What is not as it was, and what failed."""
    if report.changes:
        shown = ", ".join(report.changes[:_TOLD]) + (" ..." if len(report.changes) > _TOLD else "")
        events.tell(f"changed since the recording: {shown}")
    if report.unfinished:
        events.warn(f"left out, as the recorded run ended before they were done: {', '.join(report.unfinished)}")
    for item, reason in report.failed:
        events.warn(f"not replayed: {item}: {reason}")


def _first_live_node(graph: str, node: str | None) -> str | None:
    nodes = graph_nodes(graph)
    if node is None or node in nodes:
        return node
    if graph == "mtg" and node in SPLIT_NODES:
        parts = SPLIT_NODES[node]
        logger.warning("the node %s is %s now: calls are made anew from %s on", node, " and ".join(parts), parts[0])
        return parts[0]
    raise CtgiError(f"the graph {graph} has no node {node!r}: it has {', '.join(nodes)}")


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
    def __init__(
        self, trace: Trace, report: ReplayReport, results: "_Results | None", interceptor: Interceptor
    ) -> None:
        self._trace, self._report, self._results, self._interceptor = trace, report, results, interceptor
        self._waiting: dict[int, Replayed] = {}

    async def all(
        self,
        order: list[int],
        items: AsyncIterator[tuple[int, Replayed | ToolError]],
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
        if self._results:
            self._results.write(output, cached=result.cached)
        differs = differences(then or {}, output)
        if differs:
            report.changed.append({"item": number, "what": self._trace.name(number), "fields": differs})
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
        original = self._results.find(image.sha256) if self._results else None
        record = copied(original, image) if original else recorded
        with self._interceptor.item({"image": image}) as done:
            done(record)
        return record


def differences(then: Json, now: Json) -> list[str]:
    """The fields of two outcomes that differ, but for those that tell how they were made.

    What an older ctgi did not write down, of an outcome or of a turn, a verdict or a result in it, cannot differ.
    """
    plain_now = json.loads(json.dumps(now))
    told = (then or plain_now).keys() - OWN
    return [name for name in plain_now if name in told and not _same(then.get(name), plain_now[name])]


def _same(then: Any, now: Any) -> bool:
    if not (isinstance(then, list) and isinstance(now, list)):
        return bool(then == now)
    return len(then) == len(now) and all(_same_entry(*pair) for pair in zip(then, now, strict=True))


def _same_entry(then: Any, now: Any) -> bool:
    if isinstance(then, dict) and isinstance(now, dict):
        return all(name in now and now[name] == value for name, value in then.items())
    return bool(then == now)


# --- results


class _Results:
    """The file that a replay writes."""

    def __init__(self, captions: CaptionsFile | None, lines: Any, made_by: Json) -> None:
        self._captions, self._lines, self._made_by = captions, lines, made_by

    def write(self, output: Json, *, cached: int) -> None:
        """Append a record of captions.jsonl, or a search as `ctgi search --json` prints it."""
        if self._captions:
            self._captions.append(output)
        else:
            self._lines.write(dump(output | {"cached": cached} | self._made_by) + b"\n")

    def find(self, sha256: str) -> Json | None:
        """The caption written for this content."""
        return self._captions.find(sha256) if self._captions else None


@contextmanager
def _results(out: Path | None, trace: Trace, settings: Settings) -> Iterator[_Results | None]:
    if out is None:
        yield None
        return
    if out.exists():
        raise CtgiError(f"{plain(str(out))} is there already: a replay writes a new file, give another --out")
    if trace.header.graph == "mtg":
        with open_captions(out, settings.without_locks) as captions:
            yield _Results(captions, None, {})
        return
    given = trace.values.load(trace.header.input)
    made_by = {name: given[name] for name in ("gallery", "encoder") if name in given}
    made_by["bindings"] = {tool: str(settings.binding(tool)) for tool in trace.header.bindings}
    if trace.header.command == "search":
        made_by |= {"passed_over": {}, "not_indexed": []}  # a replay indexes nothing
    try:
        with out.open("xb") as lines:
            try:
                yield _Results(None, lines, made_by)
            finally:
                if lines.tell() == 0:
                    out.unlink()
    except OSError as error:
        raise CtgiError(f"{plain(str(out))}: cannot write here: {error.strerror}") from None
