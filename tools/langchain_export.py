"""The tools as LangChain tools, for any tool-calling agent; it names images by id, never by a path.

What the agent's model reads are texts, scores and ids; which files they are about stands in each reply's artifact,
which only the program sees.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from ctgi.errors import ArgumentError, CtgiError, ImageError, ToolError
from ctgi.retrieval.images import ImageRef

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

Arguments = ParamSpec("Arguments")
Answer = tuple[Any, dict[str, Any]]
"""What the model reads, and the artifact."""

_K = 10


def as_langchain_tools(tools: Mapping[str, Any], images: Mapping[str, ImageRef]) -> "list[BaseTool]":
    """LangChain tools over the callables of `open_tools` (and a GallerySearch) by name, with and without `await`.

    A reply's `artifact` names the files: `{"image_id", "path", ...}`, and for search_gallery one such entry per
    result under "found". What is wrong with a call's arguments, or with one image, becomes the tool's reply.

    Args:
        tools: tool name -> callable; the names may be any of those exported below.
        images: image id -> image; with those that search_gallery finds, the only images an agent can reach.

    Raises:
        CtgiError: a tool of that name has no LangChain form. Calls raise it where the set-up is broken.
    """
    from langchain_core.tools import StructuredTool

    exported = _exports(tools, dict(images))
    unknown = sorted(set(tools) - set(exported))
    if unknown:
        raise CtgiError(f"{unknown[0]} has no LangChain form; these have: {', '.join(sorted(exported))}")
    loop = _Loop()
    return [
        StructuredTool.from_function(
            func=loop.blocking(exported[name]),
            coroutine=exported[name],
            name=name,
            response_format="content_and_artifact",
            handle_tool_error=True,
        )
        for name in tools
    ]


def _exports(
    tools: Mapping[str, Any], images: dict[str, ImageRef]
) -> dict[str, Callable[..., Coroutine[Any, Any, Answer]]]:
    """One coroutine per tool; its signature and docstring are what the agent's model reads."""

    def find(image_id: str) -> ImageRef:
        if image_id not in images:
            raise ArgumentError(f"no image has the id {image_id!r}; ids come from search_gallery")
        return images[image_id]

    async def on_image(tool: str, image_id: str, *arguments: str) -> tuple[Any, dict[str, Any]]:
        image = find(image_id)
        try:
            result = await tools[tool](image, *arguments)
        except ToolError as error:
            told = f"{image_id}: {error.reason}" if isinstance(error, ImageError) else str(error)
            raise ToolError(told.replace(image.path, image_id)) from None
        return result, {"image_id": image_id, "path": image.path, **asdict(result)}

    async def caption_image(image_id: str) -> Answer:
        """Describe the person in an image."""
        said, artifact = await on_image("caption_image", image_id)
        return said.text, artifact

    async def answer_question(image_id: str, question: str) -> Answer:
        """Answer a question about the person in an image."""
        said, artifact = await on_image("answer_question", image_id, _worded("question", question))
        return said.text, artifact

    async def verify_match(image_id: str, description: str) -> Answer:
        """Judge whether an image shows the person described: match, and its probability where known."""
        verdict, artifact = await on_image("verify_match", image_id, _worded("description", description))
        return {"match": verdict.match, "probability": verdict.probability}, artifact

    async def search_gallery(query: str, k: int = _K) -> Answer:
        """Find people by a description: the k best images with their ids and scores, best first."""
        if k < 1:
            raise ArgumentError(f"k is {k}: expected at least 1")
        ranking = await tools["search_gallery"](_worded("query", query), k)
        found = ranking.candidates
        if len(found) < k != _K:  # the default asks for ten or all there are
            raise ArgumentError(f"k is {k}: expected 1 to {len(found)}, for so many images are in the gallery")
        images.update({candidate.image.sha256: candidate.image for candidate in found})
        told = [{"image_id": candidate.image.sha256, "score": round(candidate.score, 6)} for candidate in found]
        files = [one | {"path": candidate.image.path} for one, candidate in zip(told, found, strict=True)]
        return told, {"found": files, "truncated_tokens": ranking.truncated_tokens}

    async def ask_user(question: str) -> Answer:
        """Ask the person who is searching."""
        said = await tools["ask_user"](_worded("question", question))
        return said.text, asdict(said)

    functions = (caption_image, answer_question, verify_match, search_gallery, ask_user)
    return {function.__name__: _replying(function) for function in functions}


def _worded(name: str, text: str) -> str:
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise ArgumentError(f"{name} is empty: say in words what is meant")
    return text


def _replying(
    function: Callable[Arguments, Coroutine[Any, Any, Answer]],
) -> Callable[Arguments, Coroutine[Any, Any, Answer]]:
    """The tool, whose failures the agent reads as its reply, so that it can try something else."""
    from langchain_core.tools import ToolException

    @wraps(function)
    async def call(*args: Arguments.args, **options: Arguments.kwargs) -> Answer:
        try:
            return await function(*args, **options)
        except (ToolError, ArgumentError) as error:
            raise ToolException(str(error)) from None

    return call


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
