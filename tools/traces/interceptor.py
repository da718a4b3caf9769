"""The layer between a graph and its tools: calls are recorded here, or answered from a recording."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from ctgi.bindings import Binding
from ctgi.reading import Json
from ctgi.tools.backends import Mllm

OpenTool = Callable[[], Any]
Outcome = Callable[[Json], None]
"""Takes the result of an item: its record of captions.jsonl, or its search."""
Wrote = Callable[[Iterable[str]], None]
"""Takes the names of the state fields that a node wrote."""


class Interceptor(Protocol):
    """The layer between a graph and its tools."""

    @property
    def run(self) -> str | None:
        """The name of the trace being written, for references in results."""
        ...

    def serve(self, tool: str, binding: Binding, open_tool: OpenTool) -> Any:
        """A callable to use as `tool`; the interceptor decides whether and when `open_tool` runs."""
        ...

    def model(self, binding: Binding, mllm: Mllm) -> Mllm:
        """The model behind a tool, perhaps wrapped."""
        ...

    def item(self, given: Mapping[str, Any]) -> AbstractContextManager[Outcome]:
        """A context around the work on one image or query."""
        ...

    def node(self, name: str, step: int) -> AbstractContextManager[Wrote]:
        """A context around a node of the graph; `step` is LangGraph's number."""
        ...


UNHEARD: AbstractContextManager[Callable[[object], None]] = nullcontext(lambda told: None)
"""A context around an item or node that is not recorded."""


class Direct:
    """No interception: the tools themselves; nothing is recorded."""

    run = None

    def serve(self, tool: str, binding: Binding, open_tool: OpenTool) -> Any:
        """The tool, opened at once."""
        return open_tool()

    def model(self, binding: Binding, mllm: Mllm) -> Mllm:
        """The model itself."""
        return mllm

    def item(self, given: Mapping[str, Any]) -> AbstractContextManager[Outcome]:
        """Nothing around it."""
        return UNHEARD

    def node(self, name: str, step: int) -> AbstractContextManager[Wrote]:
        """Nothing around it."""
        return UNHEARD


DIRECT = Direct()
