"""What `ctgi trace diff` has to say."""

from typing import Any

from ctgi.cli.console import print_json, to_terminal
from ctgi.cli.terminal import markup
from ctgi.reports.trace_words import duration, in_words, rank_words, totals
from ctgi.tools.traces.diff import ItemDiff, TraceDiff

_TOLD = 20


def print_diff(found: TraceDiff, as_json: bool) -> None:
    """A table of the tools, what differs before the first call, and the items that changed; or one JSON object."""
    if as_json:
        from ctgi.reports.trace_json import diff_json

        print_json(diff_json(found))
        return
    console = to_terminal(160, soft_wrap=True)
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


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
