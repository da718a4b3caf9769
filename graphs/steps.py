"""What a graph is made of: nodes that tell the trace when they ran, routes, and where its runs begin."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from langgraph.config import get_config
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from ctgi.tools.traces.interceptor import Interceptor

Update = Mapping[str, object] | Command[Any]
"""What a node changes in the state, and perhaps which node comes next."""
Node = Callable[..., Awaitable[Update]]
Route = Callable[..., Awaitable[str]]


@dataclass(frozen=True)
class Host:
    """What a server supplies to the runs of its clients, who send JSON alone."""

    context: Callable[[], Awaitable[Any]]
    """Opens what nodes and routes work with, when a run first needs it, so that a graph can be shown without it."""
    schema: type
    """Of a client's input."""
    read: Node
    """The first node: it checks the input and completes it."""


def begin(state: type, context: type, first: str, host: Host | None) -> "StateGraph[Any, Any, Any, Any]":
    """A graph without nodes that will begin with `first`, after its host has read the input."""
    graph: StateGraph[Any, Any, Any, Any]
    if host is None:
        graph = StateGraph(state, context_schema=context)
        graph.add_edge(START, first)
        return graph
    graph = StateGraph(state, input_schema=host.schema)
    graph.add_node("read", host.read)
    graph.add_edge(START, "read")
    graph.add_edge("read", first)
    return graph


def step(node: Node, host: Host | None = None) -> Node:
    """A node for `add_node` that stands in the trace with its time and the fields of the state it wrote.

    The context that it runs with, the host's or that of the run, has an `interceptor`.
    """

    @wraps(node)
    async def recorded(state: Any, runtime: Runtime[Any]) -> Update:
        place, runtime = get_config()["metadata"], await _in(host, runtime)
        interceptor: Interceptor = runtime.context.interceptor
        with interceptor.node(place["langgraph_node"], place["langgraph_step"]) as wrote:
            update = await node(state, runtime)
            wrote(_written(update))
        return update

    return recorded


def route(choose: Route, host: Host | None = None) -> Route:
    """A route for `add_conditional_edges` with the context of the host or of the run."""

    @wraps(choose)
    async def chosen(state: Any, runtime: Runtime[Any]) -> str:
        return await choose(state, await _in(host, runtime))

    return chosen


async def _in(host: Host | None, runtime: Runtime[Any]) -> Runtime[Any]:
    return runtime.override(context=await host.context()) if host else runtime


def _written(update: Update) -> Iterable[str]:
    return dict(update.update or {}) if isinstance(update, Command) else update
