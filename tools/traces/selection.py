"""Selects items and calls of a trace to show."""

from collections.abc import Iterator
from dataclasses import dataclass

from ctgi.tools.traces.format import Call, Item, Node
from ctgi.tools.traces.reader import Trace
from ctgi.tools.traces.values import Values

_HASH_DIGITS = 6


@dataclass(frozen=True)
class Selection:
    """The conditions; all that are given must hold."""

    tool: str | None = None
    node: str | None = None
    items: tuple[str, ...] = ()
    slow_ms: float | None = None
    failed: bool = False

    @property
    def of_calls(self) -> bool:
        """Whether it selects calls, so that items without a match are left out."""
        return bool(self.tool or self.node or self.slow_ms is not None or self.failed)

    def wants(self, item: Item, values: Values) -> bool:
        """Whether an item is selected: by number, part of its path or query, or hash."""
        return not self.items or any(_is(wanted, item, values) for wanted in self.items)

    def keeps(self, call: Call) -> bool:
        """Whether a call is selected."""
        return (
            self.tool in (None, call.tool)
            and self.node in (None, call.node)
            and (self.slow_ms is None or call.ms > self.slow_ms)
            and (not self.failed or call.error is not None)
        )


def _is(wanted: str, item: Item, values: Values) -> bool:
    if wanted.isdecimal() and not wanted.startswith("0"):
        return wanted == str(item.item)
    image = item.input.get("image")
    path, sha256 = (str(image.get("path")), str(image.get("$image"))) if isinstance(image, dict) else ("", "")
    names = f"{values.real(path)}\n{item.input.get('query', '')}".lower()
    return wanted.lower() in names or (len(wanted) >= _HASH_DIGITS and sha256.startswith(wanted.lower()))


def chosen(trace: Trace, selection: Selection) -> Iterator[tuple[int, list[Call], list[Node]]]:
    """The selected items with their calls; with their nodes only if calls are not filtered."""
    for number, index in trace.items.items():
        if not selection.wants(index.item, trace.values):
            continue
        calls = [call for call in trace.calls(number) if selection.keeps(call)]
        done = trace.done(number)
        item_failed = selection.failed and done is not None and done.error is not None
        if calls or item_failed or not selection.of_calls:
            yield number, calls, [] if selection.of_calls else trace.nodes(number)
