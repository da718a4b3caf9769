"""Traces as self-contained HTML pages: one run, or two side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctgi.files import write_whole
from ctgi.reading import Json
from ctgi.reports.pages import template
from ctgi.reports.pictures import Pictures
from ctgi.reports.rankings import added
from ctgi.reports.trace_json import summary
from ctgi.reports.trace_words import answered, asked, duration, failed, in_words, rank_words, totals
from ctgi.tools.traces.diff import CallChange, ItemDiff, TraceDiff
from ctgi.tools.traces.format import Call, Done, Node
from ctgi.tools.traces.reader import Trace
from ctgi.tools.traces.selection import Selection, chosen

MAX_ITEMS = 500
"""On one page; the rest can be chosen with --item."""
Embed = Callable[[str, str], tuple[str | None, str]]
"""By path and sha256 of an image: its data URL, or None and why there is none."""
_TOP = 10
_TEXTS = ("initial_caption", "caption", "refined_query")


@dataclass(frozen=True)
class _Bar:
    """One call: what was asked and answered, and where its time lies in the item's, in per cent."""

    call: Call
    asked: str
    answered: str
    left: float
    width: float


@dataclass(frozen=True)
class _ItemView:
    """One image or query, as its template shows it."""

    number: int
    name: str
    ms: float | None
    error: str
    finished: bool
    pictures: list[tuple[str, str]]
    output: Json
    turns: list[Json]
    ranking: list[tuple[int, str, str, Any]]
    calls: list[_Bar]


@dataclass(frozen=True)
class _DiffView:
    """One image or query in both runs, as its template shows it."""

    item: ItemDiff
    name: str
    pictures: list[tuple[str, str]]
    first: str
    changes: list[tuple[CallChange, str, str | None, str | None]]
    texts: list[tuple[str, list[list[tuple[str, bool]]]]]
    errors: tuple[Any, Any] | None
    rankings: list[list[tuple[int, str, str, Any]]]
    ranks: list[str]


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
    write_whole(out, page_of(trace, selection, Pictures(folder).embed).encode())


def write_diff(found: TraceDiff, a: Trace, b: Trace, out: Path, folder: Path | None) -> None:
    """Write two runs side by side to `out`; raises as `write_page` does."""
    write_whole(out, diff_of(found, a, b, Pictures(folder).embed).encode())


def page_of(trace: Trace, selection: Selection, embed: Embed) -> str:
    """The page of one run; `embed` gives its images."""
    views, left_out = list[_ItemView](), 0
    for number, calls, nodes in chosen(trace, selection):
        if len(views) < MAX_ITEMS:
            views.append(_view(trace, number, calls, nodes))
        else:
            left_out += 1
    facts = {"run": summary(trace), "header": trace.header, "problems": trace.problems}
    page: str = _page("show", embed).render(facts, items=views, left_out=left_out)
    return page


def diff_of(found: TraceDiff, a: Trace, b: Trace, embed: Embed) -> str:
    """The page of two runs side by side; `embed` gives their images."""
    views = [_diff_view(item, a, b) for item in found.items[:MAX_ITEMS]]
    left_out = max(0, len(found.items) - MAX_ITEMS)
    page: str = _page("diff", embed).render(
        found=found, totals=totals(found), items=views, left_out=left_out, runs=(summary(a), summary(b))
    )
    return page


def _page(name: str, embed: Embed) -> Any:
    return template(f"trace_{name}.html.j2", {"duration": duration}, embed)


# --- one run


def _view(trace: Trace, number: int, calls: list[Call], nodes: list[Node]) -> _ItemView:
    done = trace.done(number)
    output = _output(trace, done)
    started, ended = _span(calls, nodes)
    return _ItemView(
        number=number,
        name=trace.name(number),
        ms=done.ms if done else None,
        error=failed(done.error) if done else "",
        finished=done is not None,
        pictures=_pictures(trace, number, output),
        output=output,
        turns=_turns(output),
        ranking=_ranking(output),
        calls=[_bar(call, started, ended) for call in calls],
    )


def _span(calls: list[Call], nodes: list[Node]) -> tuple[float, float]:
    """When an item began and ended, in seconds of its run; recorded calls last as long as they lasted then."""
    both: list[Call | Node] = [*calls, *nodes]
    times = [(one.at, one.at + one.ms / 1000) for one in both]
    return min((start for start, _ in times), default=0.0), max((end for _, end in times), default=0.0)


def _bar(call: Call, started: float, ended: float) -> _Bar:
    whole = max(ended - started, 1e-6)
    left, width = 100 * (call.at - started) / whole, 100 * call.ms / 1000 / whole
    return _Bar(call, asked(call), answered(call), left, min(100.0, max(0.4, width)))


def _output(trace: Trace, done: Done | None) -> Json:
    return trace.values.load(done.output) if done and done.output else {}


def _pictures(trace: Trace, number: int, output: Json) -> list[tuple[str, str]]:
    """(path, sha256) of what an item is about: its image, or the anchors of its query."""
    image = trace.items[number].item.input.get("image")
    if isinstance(image, dict):
        return [(trace.values.real(str(image.get("path", ""))), str(image.get("$image", "")))]
    return [(str(one.get("path")), str(one.get("sha256"))) for one in _dicts(output.get("anchors"))]


def _turns(output: Json) -> list[Json]:
    wanted = ("attribute", "question", "answer", "kept", "reason")
    return [{name: turn.get(name) for name in wanted} for turn in _dicts(output.get("turns") or output.get("dialogue"))]


def _ranking(output: Json) -> list[tuple[int, str, str, Any]]:
    """(rank, path, sha256, score) of the first results."""
    return [
        (place, str(found.get("path")), str(found.get("sha256")), found.get("score"))
        for place, found in enumerate(_dicts(output.get("results"))[:_TOP], 1)
    ]


def _dicts(value: Any) -> list[Json]:
    """The objects of a list, out of a file that anybody may have edited."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


# --- two runs


def _diff_view(item: ItemDiff, a: Trace, b: Trace) -> _DiffView:
    outputs = [_output(trace, trace.done(number)) if number else {} for trace, number in ((a, item.a), (b, item.b))]
    trace, number = (a, item.a) if item.a else (b, item.b)
    return _DiffView(
        item=item,
        name=item.name,
        pictures=_pictures(trace, number or 0, outputs[0] or outputs[1])[:1],
        first=in_words(item.first) if item.first else "",
        changes=[
            (one, asked(one.call), answered(one.a) if one.a else None, answered(one.b) if one.b else None)
            for one in item.changes
        ],
        texts=[_marked(outputs, name) for name in _TEXTS if name in item.outputs],
        errors=item.outputs.get("error"),
        rankings=[_ranking(output) for output in outputs] if "results" in item.outputs else [],
        ranks=[rank_words(rank) for rank in item.ranks] if item.ranks else [],
    )


def _marked(outputs: list[Json], name: str) -> tuple[str, list[list[tuple[str, bool]]]]:
    """A text of both runs in pieces, each with whether the other run lacks it."""
    before, after = (str(output.get(name) or "") for output in outputs)
    return name.replace("_", " "), [added(after, before), added(before, after)]
