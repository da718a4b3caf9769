"""The tools as LangChain tools, for any tool-calling agent."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ctgi.errors import ArgumentError, CtgiError, ToolError
from ctgi.faults import all_faults
from ctgi.retrieval.images import ImageRef
from ctgi.suggest import did_you_mean
from ctgi.tools.desk import Answer, Desk
from ctgi.tools.forms import arguments_of
from ctgi.tools.specs import TOOLS
from ctgi.tools.tool_spec import Form

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


def as_langchain_tools(
    tools: Mapping[str, Any], images: Mapping[str, ImageRef], *, pictures: bool = False
) -> "list[BaseTool]":
    """LangChain tools over the callables of `open_tools` (and a GallerySearch) by name, with and without `await`.

    A reply's `artifact` names the files: `{"image_id", "path", ...}`, and for search_gallery one such entry per
    result under "found". What is wrong with a call's arguments, or with one image, becomes the tool's reply.

    Args:
        tools: tool name -> callable, any of the tools of `ctgi tools list`.
        images: image id -> image; with those that search_gallery finds, the only images an agent can reach.
        pictures: whether the agent's model may ask to see images: they come as content blocks of type "image".

    Raises:
        CtgiError: there is no tool of that name. Calls raise it where the set-up is broken.
    """
    for name in tools:
        if name not in TOOLS:
            meant = did_you_mean(name, TOOLS) or f"; the tools are {', '.join(TOOLS)}"
            raise CtgiError(f"no tool is called {name!r}{meant}")
    return on_desk({name: TOOLS[name].form for name in tools}, Desk(tools, images), pictures=pictures)


def on_desk(forms: Mapping[str, Form], desk: Desk, *, pictures: bool = False) -> "list[BaseTool]":
    """LangChain tools of these forms by name, over the tools and images of one desk."""
    loop = _Loop()
    return [_exported(name, form, desk, loop, pictures=pictures) for name, form in forms.items()]


def _exported(name: str, form: Form, desk: Desk, loop: "_Loop", *, pictures: bool) -> "BaseTool":
    from langchain_core.tools import StructuredTool

    call = _replying(partial(form, desk))
    return StructuredTool(
        name=name,
        description=inspect.getdoc(form) or name,
        args_schema=arguments_of(form, name, without=() if pictures else ("show",)),
        func=loop.blocking(call),
        coroutine=call,
        response_format="content_and_artifact",
        handle_tool_error=True,
        handle_validation_error=_what_is_wrong,
    )


def _replying(form: Form) -> Form:
    """The tool, whose failures the agent reads as its reply, so that it can try something else."""
    from langchain_core.tools import ToolException

    async def call(**arguments: Any) -> Answer:
        try:
            return await form(**arguments)
        except (ToolError, ArgumentError) as error:
            raise ToolException(str(error)) from None

    return call


def _what_is_wrong(error: Any) -> str:
    """All that is wrong with the arguments of a call, each by name."""
    return all_faults(error) if isinstance(error, ValidationError) else str(error)


class _Loop:
    """An event loop in a thread of its own, for calls that do not await.

    Never the caller's: it may be the one that waits, as in a notebook whose cell calls `agent.invoke`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def blocking(self, function: Callable[..., Coroutine[Any, Any, Answer]]) -> Callable[..., Answer]:
        """The tool as a function that returns when its answer is there."""

        @wraps(function)
        def call(*args: Any, **options: Any) -> Answer:
            answer: Future[Answer] = asyncio.run_coroutine_threadsafe(function(*args, **options), self._started())
            try:
                return answer.result()
            except BaseException:
                answer.cancel()
                raise

        return call

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="ctgi-langchain", daemon=True).start()
            return self._loop
