"""What `ctgi trace diff` has to say."""

import sys
from collections import Counter
from typing import Any

from ctgi.cli.terminal import markup, plain
from ctgi.cli.trace.words import answered, asked, duration, gave
from ctgi.tools.traces.diff import CallChange, ItemDiff, TraceDiff
from ctgi.tools.traces.format import Call

_TOLD = 20
_KS = (1, 5, 10)


def print_diff(found: TraceDiff, as_json: bool) -> None:
    """A table of the tools, what differs before the first call, and the items that changed; or one JSON object."""
    if as_json:
        from ctgi.cli.trace import write_json

        write_json(as_plain(found))
        return
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 160, soft_wrap=True)
    console.print(markup(f"A {found.runs[0]}, B {found.runs[1]}"), highlight=False)
    for line in found.settings:
        console.print(f"  {markup(line)}", highlight=False)
    console.print(_table(found), highlight=False)
    for line in totals(found):
        console.print(markup(line), highlight=False)
    for item in found.items[:_TOLD]:
        for line in _told(item):
            console.print(markup(line), highlight=False)
    if len(found.items) > _TOLD:
        console.print(f"and {len(found.items) - _TOLD} more items: --item TEXT, --json or --html FILE", highlight=False)


def _table(found: TraceDiff) -> Any:
    from rich.table import Table

    columns = "tool, calls A, calls B, live B, answers changed, verdicts, other context, new, gone"
    table = Table(*columns.split(", "), "tokens A", "tokens B", "time A", "time B", box=None)
    for tool, count in found.tools.items():
        numbers = (*count.calls, count.live[1], count.answers, count.verdicts, count.context, count.new, count.gone)
        tokens = (f"{number:,}" for number in count.tokens)
        table.add_row(markup(tool), *map(str, numbers), *tokens, *map(duration, count.ms))
    return table


def totals(found: TraceDiff) -> list[str]:
    """The comparison in a few lines."""
    fields = Counter(name for item in found.items for name in item.outputs)
    alone = [sum(item.b is None for item in found.items), sum(item.a is None for item in found.items)]
    changed = sum(not (item.a is None or item.b is None) for item in found.items)
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in fields.most_common()) or "no outcome"
    lines = [f"{found.compared} items compared, {changed} differ; changed: {told}"]
    if any(alone):
        lines.append(f"only in A: {alone[0]} items; only in B: {alone[1]}")
    if found.ranks:
        lines.append(rank_line(found))
    return lines


def rank_line(found: TraceDiff) -> str:
    """Where the right person stands, before and after."""
    parts = []
    for k in _KS:
        shares = [100 * sum(rank is not None and rank <= k for rank in side) / len(found.ranks)
                  for side in zip(*found.ranks, strict=True)]  # fmt: skip
        parts.append(f"R@{k} {shares[0]:.1f} -> {shares[1]:.1f}")
    better = sum(_depth(b) < _depth(a) for a, b in found.ranks)
    worse = sum(_depth(b) > _depth(a) for a, b in found.ranks)
    return f"right person, {len(found.ranks)} queries: {', '.join(parts)}; better {better}, worse {worse}"


def _depth(rank: int | None) -> float:
    return float("inf") if rank is None else rank


def _told(item: ItemDiff) -> list[str]:
    lines = ["", item.name]
    if item.a is None or item.b is None:
        return [*lines, f"  only in {'B' if item.a is None else 'A'}"]
    if item.first:
        lines.append(f"  first differs: {in_words(item.first)}")
    rest = [change for change in item.changes if change.kind == "answer" and change is not item.first]
    lines += [f"  {in_words(change)}" for change in rest]
    for name, (before, after) in item.outputs.items():
        lines += [f"  {name} A: {_shown(before)}", f"  {name} B: {_shown(after)}"]
    if item.ranks and item.ranks[0] != item.ranks[1]:
        lines.append(f"  right person: rank {rank_words(item.ranks[0])} -> {rank_words(item.ranks[1])}")
    return lines


def rank_words(rank: int | None) -> str:
    """A rank for a person."""
    return "below the list" if rank is None else str(rank)


def in_words(change: CallChange) -> str:
    """One changed call."""
    call = change.call
    where = f"{call.node}/{call.tool}" if call.node else call.tool
    if change.a and change.b:
        after = " (after another dialogue)" if change.kind == "context" and "turns" in call.args else ""
        return f"{where} {asked(call)}{after}: {answered(change.a)} -> {answered(change.b)}"
    return f"{where} {change.kind}: {asked(call)} -> {answered(call)}"


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def as_plain(found: TraceDiff) -> dict[str, Any]:
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


def _plain_change(change: CallChange) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "tool": change.call.tool,
        "node": change.call.node,
        "a": _plain(change.a),
        "b": _plain(change.b),
    }


def _plain(call: Call | None) -> dict[str, Any] | None:
    if call is None:
        return None
    said = plain(gave(call.tool, call.out)) if call.error is None else None
    return {"seq": call.seq, "args": call.args, "out": call.out, "said": said, "error": call.error and vars(call.error)}
