"""`ctgi trace show` in the terminal: item, node, call; and the same as JSON."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from ctgi.cli.console import to_terminal
from ctgi.cli.terminal import markup
from ctgi.reports.trace_json import item_json, summary
from ctgi.reports.trace_words import answered, asked, duration, failed
from ctgi.tools.traces.format import Call, Node
from ctgi.tools.traces.reader import Trace
from ctgi.tools.traces.selection import Selection, chosen

if TYPE_CHECKING:
    from rich.tree import Tree


def print_tree(trace: Trace, selection: Selection) -> None:
    """The run's head, then its items one after the other."""
    console = to_terminal(160, soft_wrap=True)
    for line in _head(trace):
        console.print(markup(line), highlight=False)
    for number, calls, nodes in chosen(trace, selection):
        console.print(_tree(trace, number, calls, nodes), highlight=False)
    for call in trace.loose_calls():
        if selection.keeps(call) and not selection.items:
            console.print(_call(call, ""), highlight=False)


def _head(trace: Trace) -> list[str]:
    header, row = trace.header, summary(trace)
    replayed = f", replay of {header.replay['of']}" if header.replay else ""
    lines = [
        f"{header.command} {header.run}{replayed}: {row.status}, {row.seconds:.1f} s, {row.items} items "
        f"({row.items_failed} failed), {row.calls} calls ({row.calls_live} live, {row.calls_failed} "
        f"failed), {row.tokens.input:,} input and {row.tokens.output:,} output tokens",
        f"started {header.started}, ctgi {header.versions.get('ctgi', '?')}, commit {header.commit or 'unknown'}",
    ]
    return [*lines, *(f"  {tool}: {backend}" for tool, backend in header.bindings.items())]


def _tree(trace: Trace, number: int, calls: list[Call], nodes: list[Node]) -> "Tree":
    from rich.tree import Tree

    done = trace.done(number)
    told = "unfinished" if done is None else failed(done.error) or duration(done.ms)
    tree = Tree(markup(f"{number}  {trace.name(number)}  [{told}]"))
    left = list(calls)
    for node in nodes:
        branch = tree.add(markup(f"{node.node}  {duration(node.ms)}{f'  {node.error}' if node.error else ''}"))
        for call in [one for one in left if one.step == node.step]:
            branch.add(_call(call, ""))
            left.remove(call)
    for call in left:
        tree.add(_call(call, f"{call.node}/" if call.node else ""))
    return tree


def _call(call: Call, where: str) -> str:
    source = "" if call.src == "live" else f", {call.src}"
    retried = f", {call.retries} retries" if call.retries else ""
    backend = f"{call.backend}:{call.model}" if call.model else call.backend
    return markup(
        f"{where}{call.tool}  {duration(call.ms)}  [{backend}{source}{retried}]  {asked(call)} -> {answered(call)}"
    )


def print_json(trace: Trace, selection: Selection) -> None:
    """One JSON object, written item by item."""
    head = {"summary": asdict(summary(trace)), "header": asdict(trace.header)}
    sys.stdout.write(json.dumps(head)[:-1] + ', "items": [')
    for place, (number, calls, nodes) in enumerate(chosen(trace, selection)):
        sys.stdout.write((", " if place else "") + json.dumps(item_json(trace, number, calls, nodes)))
    loose = [asdict(call) for call in trace.loose_calls() if selection.keeps(call)] if not selection.items else []
    sys.stdout.write(f'], "calls": {json.dumps(loose)}}}\n')
