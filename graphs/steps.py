"""Nodes that are recorded in the trace."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from langgraph.config import get_config
from langgraph.runtime import Runtime
from langgraph.types import Command

from ctgi.tools.traces.interceptor import Interceptor

Update = Mapping[str, object] | Command[Any]
"""What a node changes in the state, and perhaps which node comes next."""
Node = Callable[..., Awaitable[Update]]


def step(node: Node) -> Node:
    """A node for `add_node` that stands in the trace with its time and the fields of the state it wrote.

    The context that it runs with has an `interceptor`.
    """

    @wraps(node)
    async def recorded(state: Any, runtime: Runtime[Any]) -> Update:
        place = get_config()["metadata"]
        interceptor: Interceptor = runtime.context.interceptor
        with interceptor.node(place["langgraph_node"], place["langgraph_step"]) as wrote:
            update = await node(state, runtime)
            wrote(_written(update))
        return update

    return recorded


def _written(update: Update) -> Iterable[str]:
    return dict(update.update or {}) if isinstance(update, Command) else update
