"""Traces as self-contained HTML pages: one run, or two side by side."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ctgi.files import write_whole
from ctgi.reports.pages import template
from ctgi.reports.pictures import Pictures
from ctgi.reports.rankings import added
from ctgi.reports.trace_json import summary
from ctgi.reports.trace_words import answered, asked, duration, failed, in_words, rank_words, totals
from ctgi.tools.traces.diff import ItemDiff, TraceDiff
from ctgi.tools.traces.format import Call, Done, Node
from ctgi.tools.traces.reader import Trace
from ctgi.tools.traces.selection import Selection, chosen

MAX_ITEMS = 500
"""On one page; the rest can be chosen with --item."""
_TOP = 10
_TEXTS = ("initial_caption", "caption", "refined_query")


def write_page(trace: Trace, selection: Selection, out: Path, folder: Path | None) -> None:
    """Write one run to `out`: images, dialogue, rankings, and when each call ran.

    Args:
        trace: the run.
        selection: which items and calls.
        out: the page.
        folder: where the images lie now, if they were moved.

    Raises:
        CtgiError: `out` cannot be written.
    """
    views, left_out = list[dict[str, Any]](), 0
    for number, calls, nodes in chosen(trace, selection):
        if len(views) < MAX_ITEMS:
            views.append(_view(trace, number, calls, nodes))
        else:
            left_out += 1
    facts = summary(trace) | {"header": trace.header, "problem_list": trace.problems}
    page = _page("show", folder).render(run=facts, items=views, left_out=left_out)
    write_whole(out, page.encode())


def write_diff(found: TraceDiff, a: Trace, b: Trace, out: Path, folder: Path | None) -> None:
    """Write two runs side by side to `out`; raises as `write_page` does."""
    views = [_diff_view(item, a, b) for item in found.items[:MAX_ITEMS]]
    left_out = max(0, len(found.items) - MAX_ITEMS)
    page = _page("diff", folder).render(
        found=found, totals=totals(found), items=views, left_out=left_out, runs=(summary(a), summary(b))
    )
    write_whole(out, page.encode())


def _page(name: str, folder: Path | None) -> Any:
    return template(f"trace_{name}.html.j2", {"duration": duration}, Pictures(folder).embed)


# --- one run


def _view(trace: Trace, number: int, calls: list[Call], nodes: list[Node]) -> dict[str, Any]:
    done = trace.done(number)
    output = _output(trace, done)
    started, ended = _span(calls, nodes)
    return {
        "number": number,
        "name": trace.name(number),
        "ms": done.ms if done else None,
        "error": failed(done.error) if done else "",
        "finished": done is not None,
        "pictures": _pictures(trace, number, output),
        "output": output,
        "turns": _turns(output),
        "ranking": _ranking(output),
        "calls": [_bar(call, started, ended) for call in calls],
    }


def _span(calls: list[Call], nodes: list[Node]) -> tuple[float, float]:
    """When an item began and ended, in seconds of its run; recorded calls last as long as they lasted then."""
    both: list[Call | Node] = [*calls, *nodes]
    times = [(one.at, one.at + one.ms / 1000) for one in both]
    return min((start for start, _ in times), default=0.0), max((end for _, end in times), default=0.0)


def _bar(call: Call, started: float, ended: float) -> dict[str, Any]:
    whole = max(ended - started, 1e-6)
    return {
        "call": call,
        "asked": asked(call),
        "answered": answered(call),
        "left": 100 * (call.at - started) / whole,
        "width": min(100.0, max(0.4, 100 * call.ms / 1000 / whole)),
    }


def _output(trace: Trace, done: Done | None) -> dict[str, Any]:
    return trace.values.load(done.output) if done and done.output else {}


def _pictures(trace: Trace, number: int, output: dict[str, Any]) -> list[tuple[str, str]]:
    """(path, sha256) of what an item is about: its image, or the anchors of its query."""
    image = trace.items[number].item.input.get("image")
    if isinstance(image, dict):
        return [(trace.values.real(str(image.get("path", ""))), str(image.get("$image", "")))]
    return [(str(one.get("path")), str(one.get("sha256"))) for one in _dicts(output.get("anchors"))]


def _turns(output: dict[str, Any]) -> list[dict[str, Any]]:
    wanted = ("attribute", "question", "answer", "kept", "reason")
    return [{name: turn.get(name) for name in wanted} for turn in _dicts(output.get("turns") or output.get("dialogue"))]


def _ranking(output: dict[str, Any]) -> list[tuple[int, str, str, Any]]:
    """(rank, path, sha256, score) of the first results."""
    return [
        (place, str(found.get("path")), str(found.get("sha256")), found.get("score"))
        for place, found in enumerate(_dicts(output.get("results"))[:_TOP], 1)
    ]


def _dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list, out of a file that anybody may have edited."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


# --- two runs


def _diff_view(item: ItemDiff, a: Trace, b: Trace) -> dict[str, Any]:
    outputs = [_output(trace, trace.done(number)) if number else {} for trace, number in ((a, item.a), (b, item.b))]
    trace, number = (a, item.a) if item.a else (b, item.b)
    return {
        "item": item,
        "name": item.name,
        "pictures": _pictures(trace, number or 0, outputs[0] or outputs[1])[:1],
        "first": in_words(item.first) if item.first else "",
        "changes": [
            (change, asked(change.call), *(answered(call) if call else None for call in (change.a, change.b)))
            for change in item.changes
        ],
        "texts": [_marked(outputs, name) for name in _TEXTS if name in item.outputs],
        "errors": item.outputs.get("error"),
        "rankings": [_ranking(output) for output in outputs] if "results" in item.outputs else [],
        "ranks": [rank_words(rank) for rank in item.ranks] if item.ranks else [],
    }


def _marked(outputs: list[dict[str, Any]], name: str) -> tuple[str, list[Iterable[tuple[str, bool]]]]:
    """A text of both runs in pieces, each with whether the other run lacks it."""
    before, after = (str(output.get(name) or "") for output in outputs)
    return name.replace("_", " "), [added(after, before), added(before, after)]
