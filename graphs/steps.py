"""What both graphs are made of: nodes that tell the trace when they ran, and the turn of a dialogue."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from langgraph.config import get_config
from langgraph.runtime import Runtime
from langgraph.types import Command
from typing_extensions import TypedDict

from ctgi.tools.traces.interceptor import Interceptor

Node = Callable[..., Awaitable[dict[str, Any] | Command[Any]]]


def step(node: Node) -> Node:
    """A node for `add_node` that stands in the trace with its time and the fields of the state it wrote.

    The context that it runs with has an `interceptor`.
    """

    @wraps(node)
    async def recorded(state: Any, runtime: Runtime[Any]) -> dict[str, Any] | Command[Any]:
        place = get_config()["metadata"]
        interceptor: Interceptor = runtime.context.interceptor
        with interceptor.node(place["langgraph_node"], place["langgraph_step"]) as wrote:
            update = await node(state, runtime)
            wrote(_written(update))
        return update

    return recorded


def _written(update: dict[str, Any] | Command[Any]) -> dict[str, Any]:
    return dict(update.update or {}) if isinstance(update, Command) else update


class Turn(TypedDict):
    """One question and its answer, and why the answer was kept or dropped; in the state and in what is written."""

    attribute: str
    question: str
    answer: str
    confidence: float | None
    statement: str
    kept: bool
    reason: str | None
