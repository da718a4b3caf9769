"""Compares two traces of the same images or queries: where they diverge, what changed, and the cost of each."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ctgi.reading import Json
from ctgi.tools.traces.format import Call, Done, Item
from ctgi.tools.traces.reader import Trace

Right = Callable[[str, Item, str, str], bool | None]
"""(query, item, path, sha256) -> whether an image is of the right person; None if unknown."""


@dataclass(frozen=True)
class CallChange:
    """A call that differs between the runs."""

    kind: str
    """answer: the same call has another answer; context: the same question about the same image, with other further
    arguments, such as another dialogue before it; new: only in B; gone: only in A."""
    a: Call | None
    b: Call | None

    @property
    def call(self) -> Call:
        """The call of B, if B made it, else of A."""
        found = self.b or self.a
        assert found is not None
        return found


@dataclass
class ItemDiff:
    """One image or query in both runs."""

    name: str
    """The image's path, or the query."""
    a: int | None
    """Its number in A; None if it is not in A."""
    b: int | None
    changes: list[CallChange] = field(default_factory=list)
    """In order of the calls."""
    first: CallChange | None = None
    """The first difference."""
    outputs: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """Fields of the outcome that differ: caption, refined_query, results, error ..."""
    ranks: tuple[int | None, int | None] | None = None
    """Rank of the first right image in A and in B (None: not in the list); None if the right images are unknown."""

    @property
    def same(self) -> bool:
        """Whether nothing changed."""
        return not self.changes and not self.outputs and self.a is not None and self.b is not None


@dataclass
class ToolCount:
    """One tool in both runs."""

    calls: list[int] = field(default_factory=lambda: [0, 0])
    """Counts in A and B; likewise below."""
    live: list[int] = field(default_factory=lambda: [0, 0])
    ms: list[float] = field(default_factory=lambda: [0.0, 0.0])
    tokens: list[int] = field(default_factory=lambda: [0, 0])
    """Input and output together."""
    answers: int = 0
    """Calls of both runs with different answers."""
    verdicts: int = 0
    """Calls with a yes in one run and a no in the other."""
    context: int = 0
    """Calls with the same question about the same image, but other further arguments."""
    new: int = 0
    gone: int = 0

    def add(self, change: CallChange) -> None:
        """Count one changed call."""
        self.answers += change.kind == "answer"
        self.context += change.kind == "context"
        self.new += change.kind == "new"
        self.gone += change.kind == "gone"
        if change.a and change.b:
            self.verdicts += _match(change.a) != _match(change.b)


@dataclass
class TraceDiff:
    """Two runs compared."""

    runs: tuple[str, str]
    items: list[ItemDiff] = field(default_factory=list)
    """Items that differ."""
    compared: int = 0
    tools: dict[str, ToolCount] = field(default_factory=lambda: defaultdict(ToolCount))
    settings: list[str] = field(default_factory=list)
    """Differences between the headers: bindings, settings, prompts, code, gallery."""
    ranks: list[tuple[int | None, int | None]] = field(default_factory=list)
    """Ranks of the first right image in A and in B, for every query that has one."""


def diff_traces(
    a: Trace, b: Trace, *, wanted: Callable[[Item], bool] = lambda item: True, right: Right = lambda *_: None
) -> TraceDiff:
    """Compare two runs item by item. One item of each is in memory at a time; differences are kept.

    Args:
        a: before.
        b: after.
        wanted: selects items.
        right: tells which images show the right person, for ranks.
    """
    found = TraceDiff((a.header.run, b.header.run), settings=_heads(a, b))
    for one, other in _pairs(a, b, wanted):
        item = ItemDiff(a.name(one) if one else b.name(other or 0), one, other)
        calls = a.calls(one) if one else [], b.calls(other) if other else []
        _compare_calls(item, *calls, found.tools)
        done = a.done(one) if one else None, b.done(other) if other else None
        if one and other:
            found.compared += 1
            item.outputs = _outputs(a, b, *done)
            item.ranks = _ranks(a.items[one].item, a, b, done, calls, right)
            if item.ranks:
                found.ranks.append(item.ranks)
        if not item.same:
            found.items.append(item)
    return found


def _pairs(a: Trace, b: Trace, wanted: Callable[[Item], bool]) -> Iterator[tuple[int | None, int | None]]:
    """Pairs of items about the same image or query, in A's order; then items only in B."""
    waiting: dict[str, deque[int]] = defaultdict(deque)
    for number, index in b.items.items():
        if wanted(index.item):
            waiting[_identity(index.item)].append(number)
    for number, index in a.items.items():
        if wanted(index.item):
            same = waiting[_identity(index.item)]
            yield number, same.popleft() if same else None
    for rest in waiting.values():
        for number in rest:
            yield None, number


def _identity(item: Item) -> str:
    image = item.input.get("image")
    if isinstance(image, dict):
        return f"{image.get('$image')} {str(image.get('path')).rpartition('/')[2]} {item.input.get('query', '')}"
    return str([item.input.get(name) for name in ("query", "caption", "xi", "user")])


def _compare_calls(item: ItemDiff, a: list[Call], b: list[Call], tools: dict[str, ToolCount]) -> None:
    for side, calls in enumerate((a, b)):
        for call in calls:
            _count(tools[call.tool], side, call)
    before: dict[tuple[str, str], deque[Call]] = defaultdict(deque)
    for call in a:
        before[call.tool, call.key].append(call)
    new: list[Call] = []
    for call in b:
        lane = before[call.tool, call.key]
        if not lane:
            new.append(call)
        elif _said(old := lane.popleft()) != _said(call):
            item.changes.append(CallChange("answer", old, call))
    gone = sorted((call for lane in before.values() for call in lane), key=lambda call: call.seq)
    item.changes += _rearranged(gone, new)
    item.changes.sort(key=lambda change: change.call.seq)
    for change in item.changes:
        tools[change.call.tool].add(change)
    item.first = _first(item.changes, a, b)


def _rearranged(gone: list[Call], new: list[Call]) -> Iterator[CallChange]:
    """Calls of only one run; two that ask the same question become one change."""
    waiting: dict[object, deque[Call]] = defaultdict(deque)
    for call in gone:
        waiting[_question(call)].append(call)
    for call in new:
        lane = waiting[_question(call)]
        yield CallChange("context", lane.popleft(), call) if lane else CallChange("new", None, call)
    for call in (call for lane in waiting.values() for call in lane):
        yield CallChange("gone", call, None)


def _question(call: Call) -> object:
    image = call.args.get("image")
    return call.tool, image.get("$image") if isinstance(image, dict) else None, str(call.args.get("question"))


def _first(changes: list[CallChange], a: list[Call], b: list[Call]) -> CallChange | None:
    """The first change in order of the calls; a gone call counts by its position in A."""
    place = {id(call): number for calls in (a, b) for number, call in enumerate(calls)}
    return min(changes, key=lambda change: place[id(change.call)], default=None)


def _count(count: ToolCount, side: int, call: Call) -> None:
    count.calls[side] += 1
    count.live[side] += call.src == "live"
    count.ms[side] += call.ms
    count.tokens[side] += sum(call.tokens)


def _said(call: Call) -> Any:
    """A call's answer without its cost, and with rounded confidence."""
    if call.error:
        return call.error.message
    if not isinstance(call.out, dict):
        return call.out
    return {name: value for name, value in call.out.items() if name not in ("tokens", "confidence", "probability")}


def _match(call: Call) -> Any:
    return call.out.get("match") if isinstance(call.out, dict) else None


_OUTCOMES = ("initial_caption", "caption", "refined_query", "anchors", "results")


def _outputs(a: Trace, b: Trace, one: Done | None, other: Done | None) -> dict[str, tuple[Any, Any]]:
    if one is None or other is None:
        return {} if one is other else {"finished": (one is not None, other is not None)}
    errors = tuple(done.error.message if done.error else None for done in (one, other))
    before, after = a.values.load(one.output or {}), b.values.load(other.output or {})
    pairs = {name: (before.get(name), after.get(name)) for name in _OUTCOMES}
    pairs["results"] = tuple(_order(output) for output in (before, after))  # type: ignore[assignment]
    pairs["anchors"] = tuple(_names(output.get("anchors")) for output in (before, after))  # type: ignore[assignment]
    return {name: pair for name, pair in {"error": errors, **pairs}.items() if pair[0] != pair[1]}


def _order(output: Json) -> list[str]:
    return _names(output.get("results"))


def _names(found: Any) -> list[str]:
    return [str(one.get("path")) for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _ranks(
    item: Item,
    a: Trace,
    b: Trace,
    done: tuple[Done | None, Done | None],
    calls: tuple[list[Call], list[Call]],
    right: Right,
) -> tuple[int | None, int | None] | None:
    query = item.input.get("query")
    if not isinstance(query, str):
        return None
    found = []
    for trace, outcome, made in zip((a, b), done, calls, strict=True):
        known, rank = False, None
        for place, (path, sha256) in enumerate(_ranking(trace, outcome, made), 1):
            verdict = right(query, item, path, sha256)
            known = known or verdict is not None
            if verdict and rank is None:
                rank = place
        if not known:
            return None
        found.append(rank)
    return found[0], found[1]


def _ranking(trace: Trace, done: Done | None, calls: list[Call]) -> Iterator[tuple[str, str]]:
    """The final ranking as (path, sha256), to the depth of the last search."""
    searches = [call for call in calls if call.tool == "search_gallery" and isinstance(call.out, dict)]
    if searches:
        for candidate in searches[-1].out.get("candidates", ()):
            image = candidate.get("image", {}) if isinstance(candidate, dict) else {}
            yield trace.values.real(str(image.get("path"))), str(image.get("$image"))
    elif done and done.output:
        for found in done.output.get("results", ()):
            yield trace.values.real(str(found.get("path"))), str(found.get("sha256"))


def _heads(a: Trace, b: Trace) -> list[str]:
    """Differences between two runs before their first call, in words."""
    one, other = a.header, b.header
    told = [
        f"{tool}: {one.bindings.get(tool, 'none')} -> {other.bindings.get(tool, 'none')}"
        for tool in sorted(one.bindings.keys() | other.bindings.keys())
        if one.bindings.get(tool) != other.bindings.get(tool)
    ]
    for table in ("mtg", "mti", "agent", "prompts", "retriever"):
        before, after = one.settings.get(table) or {}, other.settings.get(table) or {}
        told += [
            f"{table}.{name}: {before.get(name)} -> {after.get(name)}"
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        ]
    changed = sorted(name for name in one.digests.keys() | other.digests.keys()
                     if one.digests.get(name) != other.digests.get(name))  # fmt: skip
    told += [f"changed between the runs: {name}" for name in changed]
    if one.graph != other.graph:
        told.append(f"graph: {one.graph} -> {other.graph}")
    if one.input.get("images") != other.input.get("images"):
        told.append("the runs searched different galleries: ranks cannot be compared")
    return told
