"""Nodes that tell the trace when they ran."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from langgraph.config import get_config
from langgraph.types import Command

from ctgi.tools.traces.recorder import NodeRun

Node = Callable[..., Awaitable[dict[str, Any] | Command[Any]]]


def step(node: Node) -> Node:
    """A node for `add_node` that stands in the trace with its time and the fields of the state it wrote."""

    @wraps(node)
    async def recorded(*args: Any, **options: Any) -> dict[str, Any] | Command[Any]:
        place = get_config()["metadata"]
        with NodeRun(place["langgraph_node"], place["langgraph_step"]) as run:
            update = await node(*args, **options)
            run.changed = [*_written(update)]
        return update

    return recorded


def _written(update: dict[str, Any] | Command[Any]) -> dict[str, Any]:
    return dict(update.update or {}) if isinstance(update, Command) else update
