"""The user's own code as a multimodal model: a function `(image, prompt) -> str`, or a class that offers more."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from ctgi.errors import CtgiError, ToolError
from ctgi.plugins import described, own_code
from ctgi.retrieval.images import read_image
from ctgi.settings_tables import Endpoint
from ctgi.text import plain
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest, Mllm
from ctgi.tools.backends.per_loop import PerLoop
from ctgi.tools.traces.call_notes import spending


def open_own_model(where: str, endpoint: Endpoint) -> Mllm:
    """The model behind `python:module:name`.

    Args:
        where: `module:name` of a function, of a coroutine function, or of a class that is called without arguments.
            An object with a `chat` method is called as an Mllm, and needs no other method. Anything else is called
            with (image, prompt).
        endpoint: `concurrency` is the number of calls at once.

    Raises:
        CtgiError: it cannot be imported, made or called.
    """
    found = own_code(where)
    if callable(getattr(found, "chat", None)):
        return _OwnMllm(found, where)
    return as_model(found, where, concurrency=endpoint.concurrency)


def as_model(function: Callable[..., Any], name: str, *, concurrency: int = 1) -> Mllm:
    """A function or coroutine function `(image, prompt) -> str` as a model.

    The image is a PIL image, RGB and upright, or None for tools that only write text.

    Raises:
        CtgiError: it is not callable.
    """
    if not callable(function):
        raise CtgiError(f"python:{plain(name)}: {type(function).__name__} cannot be called: expected a function")
    return PerLoop(lambda: _OwnModel(function, name, concurrency))


class _OwnModel:
    def __init__(self, function: Callable[..., Any], name: str, concurrency: int) -> None:
        self.endpoint = f"this process ({plain(name)})"
        self._function, self._name = function, plain(name)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="ctgi-own-model")
        self._turns = asyncio.Semaphore(concurrency)

    async def chat(self, request: ChatRequest) -> ChatReply:
        """The function's result for the image and the whole prompt.

        Raises:
            ToolError: the function raised, or returned no text.
        """
        async with self._turns:
            return await self._answer(request)

    async def _answer(self, request: ChatRequest) -> ChatReply:
        with spending():
            image = await self._in_thread(read_image, request.image.path) if request.image else None
            with _blamed(self._name):
                said = await self._call(image, conversation(request))
        if not isinstance(said, str) or not said.strip():
            raise ToolError(f"{self._name} returned {said!r:.80}: expected a text")
        return ChatReply(said.strip())

    async def probe(self) -> Abilities:
        """It gets images, reports no probabilities, and cannot be forced into a choice."""
        return Abilities(images=True, logprobs=False, structured=False)

    async def aclose(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, image: Any, prompt: str) -> Any:
        said = self._function(image, prompt) if self._is_async else await self._in_thread(self._function, image, prompt)
        return await said if inspect.isawaitable(said) else said

    @property
    def _is_async(self) -> bool:
        call = getattr(self._function, "__call__", None)  # noqa: B004  (an object with an async __call__)
        return inspect.iscoroutinefunction(self._function) or inspect.iscoroutinefunction(call)

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


class _OwnMllm:
    """A user's object with `chat`; missing parts of `Mllm` are filled in."""

    def __init__(self, model: Any, name: str) -> None:
        self.endpoint = str(getattr(model, "endpoint", f"this process ({plain(name)})"))
        self._model, self._name = model, plain(name)

    async def chat(self, request: ChatRequest) -> ChatReply:
        """The object's reply.

        Raises:
            ToolError: it raised, or did not return a ChatReply.
        """
        with _blamed(self._name):
            reply = self._model.chat(request)
            reply = await reply if inspect.isawaitable(reply) else reply
        if not isinstance(reply, ChatReply):
            raise ToolError(f"{self._name} returned {reply!r:.80}: expected a ctgi.tools.backends.ChatReply")
        return reply

    async def probe(self) -> Abilities:
        """The object's own answer, else what its reply to a small request shows."""
        if hasattr(self._model, "probe"):
            with _blamed(self._name):
                abilities: Abilities = await self._model.probe()
                return abilities
        reply = await self.chat(ChatRequest("Is snow white? Answer yes or no.", choices=("yes", "no"), max_tokens=4))
        return Abilities(images=True, logprobs=reply.confidence is not None, structured=bool(reply.choices))

    async def aclose(self) -> None:
        """Close the object if it can be closed."""
        if hasattr(self._model, "aclose"):
            await self._model.aclose()


@contextmanager
def _blamed(name: str) -> Iterator[None]:
    """Turn any exception of the user's code into a ToolError that names this code."""
    try:
        yield
    except (CtgiError, ToolError):
        raise
    except Exception as error:
        raise ToolError(f"{name} raised {described(error)}") from error


def conversation(request: ChatRequest) -> str:
    """A request as one text: the instructions, the dialogue so far, and the prompt."""
    turns = [text for prompt, reply in request.history for text in (prompt, reply)]
    return "\n\n".join(text for text in (request.system, *turns, request.prompt) if text)
