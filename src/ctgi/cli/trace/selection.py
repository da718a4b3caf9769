"""Which items and calls of a trace a person wants to see."""

import json
from dataclasses import dataclass

from ctgi.tools.trace_format import Call, Item
from ctgi.tools.trace_values import Values


@dataclass(frozen=True)
class Selection:
    """All that is given has to fit."""

    tool: str | None = None
    node: str | None = None
    items: tuple[str, ...] = ()
    slow_ms: float | None = None
    failed: bool = False

    @property
    def of_calls(self) -> bool:
        """Whether it chooses among calls, so that items without one that fits are left out."""
        return bool(self.tool or self.node or self.slow_ms is not None or self.failed)

    def wants(self, item: Item, values: Values) -> bool:
        """Whether an item is one of those named: by number, or by a part of its path, hash or query."""
        if not self.items:
            return True
        text = json.dumps(values.load(item.input), ensure_ascii=False).lower()
        return any(
            wanted == str(item.item) or (not wanted.isdecimal() and wanted.lower() in text) for wanted in self.items
        )

    def keeps(self, call: Call) -> bool:
        """Whether a call is one of those wanted."""
        return (
            self.tool in (None, call.tool)
            and self.node in (None, call.node)
            and (self.slow_ms is None or call.ms > self.slow_ms)
            and (not self.failed or call.error is not None)
        )
