"""Arguments and results of tools as JSON: images by hash, paths from a root, and a key for each call."""

import hashlib
import inspect
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from ctgi.faults import first_fault
from ctgi.retrieval.images import ImageRef
from ctgi.tools.specs import TOOLS
from ctgi.tools.tool_calls import AGENT, Decide, Decision
from ctgi.tools.tool_spec import signature_of

_PATHS = frozenset({"path", "same_as", "anchor", "gallery"})
"""Fields of results that contain a path."""


Arguments = dict[str, Any]
"""Arguments of a call by name: plain values, images and facts."""


class _CompareImage(Protocol):
    async def __call__(self, text: str, image: ImageRef) -> float: ...


class _CompareTexts(Protocol):
    async def __call__(self, text: str, others: Sequence[str]) -> list[float]: ...


_OTHERS: dict[str, tuple[type, Any]] = {
    "compare_image": (_CompareImage, float),
    "compare_texts": (_CompareTexts, list[float]),
    AGENT: (Decide, Decision),
}
"""Calls of the judge that compares embeddings, and of an agent's model: no tools, but recorded like tools."""


@cache
def _signature(tool: str) -> inspect.Signature:
    return signature_of(TOOLS[tool].protocol if tool in TOOLS else _OTHERS[tool][0])


@cache
def _result(tool: str) -> TypeAdapter[Any]:
    return TypeAdapter(TOOLS[tool].result if tool in TOOLS else _OTHERS[tool][1])


def arguments(tool: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> Arguments:
    """The arguments of a call by name, with defaults, so that equal calls look equal however they are written."""
    bound = _signature(tool).bind(*args, **options)
    bound.apply_defaults()
    return dict(bound.arguments)


def call_key(tool: str, named: Mapping[str, Any]) -> str:
    """A call's key, 32 hexadecimal digits: equal for equal arguments, for any backend and image path."""
    text = json.dumps([tool, named], sort_keys=True, separators=(",", ":"), default=_by_content)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _by_content(value: Any) -> Any:
    return {"$image": value.sha256} if isinstance(value, ImageRef) else _fields(value)


def _fields(value: Any) -> Any:
    if is_dataclass(value):
        return vars(value)
    raise TypeError(f"{type(value).__name__} cannot be stored in a trace")


class Values:
    """Writes and reads values of one trace, with paths relative to `root` ("" leaves them unchanged)."""

    def __init__(self, root: str = "") -> None:
        self.root = root
        self._prefix = root.rstrip(os.sep) + os.sep if root else ""
        self._encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=self._plain)

    def dumps(self, value: Any) -> bytes:
        """A value as one line of JSON in UTF-8; a path that is not UTF-8 keeps its bytes as surrogate escapes."""
        try:
            return self._encoder.encode(value).encode()
        except UnicodeEncodeError:
            return json.dumps(value, separators=(",", ":"), default=self._plain).encode()

    def _plain(self, value: Any) -> Any:
        if isinstance(value, ImageRef):
            return {"$image": value.sha256, "path": self.stored(value.path)}
        return _fields(value)

    def stored(self, path: str) -> str:
        """A path in the form of the trace."""
        if path == self.root and path:
            return "."
        return path[len(self._prefix) :] if self._prefix and path.startswith(self._prefix) else path

    def real(self, path: str) -> str:
        """The original path for a path of the trace."""
        if not self._prefix or path.startswith(os.sep) or not path:
            return path
        return self.root if path == "." else self._prefix + path

    def store(self, value: Any) -> Any:
        """Plain JSON with paths in the form of the trace."""
        return _with_paths(value, self.stored)

    def load(self, value: Any) -> Any:
        """The same with the original paths."""
        return _with_paths(value, self.real)

    def images(self, value: Any) -> Any:
        """JSON of the trace with its images as ImageRef.

        Raises:
            ValueError: an image has no hash or path.
        """
        if isinstance(value, list):
            return [self.images(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "$image" not in value:
            return {name: self.images(one) for name, one in value.items()}
        sha256, path = value["$image"], value.get("path", "")
        if not (isinstance(sha256, str) and isinstance(path, str)):
            raise ValueError("an image in it has no hash or path")
        return ImageRef(self.real(path), sha256)

    def result(self, tool: str, value: Any) -> Any:
        """A tool's result from the JSON of the trace.

        Raises:
            ValueError: it is not a result of this tool; the message says where.
        """
        if tool not in TOOLS and tool not in _OTHERS:
            raise ValueError(f"no tool is called {tool!r}")
        try:
            return _result(tool).validate_python(self.images(value))
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None


def _with_paths(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: change(one) if name in _PATHS and isinstance(one, str) else _with_paths(one, change)
            for name, one in value.items()
        }
    return [_with_paths(one, change) for one in value] if isinstance(value, list | tuple) else value
