"""Runs and comparisons of runs as plain JSON."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.reading import Json
from ctgi.reports.trace_words import gave
from ctgi.text import plain
from ctgi.tools.traces.diff import CallChange, TraceDiff
from ctgi.tools.traces.format import Call, Node
from ctgi.tools.traces.reader import Trace, glance
from ctgi.tools.types import Tokens


@dataclass(frozen=True)
class RunSummary:
    """One run in numbers."""

    run: str
    command: str
    replay_of: str | None
    started: str
    status: str
    items: int
    items_failed: int
    calls: int
    calls_live: int
    calls_failed: int
    tokens: Tokens
    """Of the live calls."""
    seconds: float
    bindings: dict[str, str]
    problems: list[str]


@dataclass(frozen=True)
class Unreadable:
    """A trace that cannot be read."""

    run: str
    command: None
    status: str
    problems: list[str]
    """Why."""


def summaries(paths: Iterable[Path]) -> list[RunSummary | Unreadable]:
    """What there is to say about each trace; one that cannot be read says why."""
    return [_row(path) for path in paths]


def _row(path: Path) -> RunSummary | Unreadable:
    try:
        trace = glance(path)
    except CtgiError as error:
        return Unreadable(path.stem, None, "unreadable", [str(error)])
    return summary(trace)


def summary(trace: Trace) -> RunSummary:
    """What there is to say about a run."""
    header, counts = trace.header, trace.counts
    return RunSummary(
        run=header.run,
        command=header.command,
        replay_of=header.replay["of"] if header.replay else None,
        started=header.started,
        status=trace.status,
        items=max(len(trace.items), counts.items),
        items_failed=counts.failed,
        calls=counts.calls,
        calls_live=counts.live,
        calls_failed=counts.calls_failed,
        tokens=Tokens(*counts.tokens),
        seconds=trace.seconds,
        bindings=header.bindings,
        problems=[f"line {problem.line}: {problem.what}" for problem in trace.problems],
    )


def item_json(trace: Trace, number: int, calls: list[Call], nodes: list[Node]) -> Json:
    """One item of a run, with these of its calls and nodes."""
    done = trace.done(number)
    return {
        "item": number,
        "input": trace.items[number].item.input,
        "output": done.output if done else None,
        "error": asdict(done.error) if done and done.error else None,
        "finished": done is not None,
        "ms": done.ms if done else None,
        "nodes": [asdict(node) for node in nodes],
        "calls": [asdict(call) for call in calls],
    }


def diff_json(found: TraceDiff) -> Json:
    """The whole comparison as plain JSON."""
    return {
        "runs": found.runs,
        "settings": found.settings,
        "compared": found.compared,
        "tools": {tool: vars(count) for tool, count in found.tools.items()},
        "ranks": found.ranks,
        "items": [
            {
                "what": item.name,
                "a": item.a,
                "b": item.b,
                "first": _plain_change(item.first) if item.first else None,
                "changes": [_plain_change(change) for change in item.changes],
                "outputs": {name: {"a": before, "b": after} for name, (before, after) in item.outputs.items()},
                "ranks": item.ranks,
            }
            for item in found.items
        ],
    }


def _plain_change(change: CallChange) -> Json:
    return {
        "kind": change.kind,
        "tool": change.call.tool,
        "node": change.call.node,
        "a": _plain(change.a),
        "b": _plain(change.b),
    }


def _plain(call: Call | None) -> Json | None:
    if call is None:
        return None
    said = plain(gave(call.tool, call.out)) if call.error is None else None
    return {"seq": call.seq, "args": call.args, "out": call.out, "said": said, "error": call.error and vars(call.error)}
