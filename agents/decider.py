"""An agent's model as one recorded call: the conversation in, what to do next out."""

import json
from collections.abc import Sequence

from pydantic import TypeAdapter

from ctgi.agents.assemble import Models
from ctgi.config import Settings
from ctgi.reading import Json
from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import Mllm
from ctgi.tools.backends.tool_calling import ToolChat, open_tool_caller
from ctgi.tools.chat_cache import ChatCache
from ctgi.tools.tool_calls import AGENT, Decide, Decision, ToolRequest
from ctgi.tools.traces.interceptor import DIRECT, Interceptor

_CALLS = TypeAdapter(tuple[ToolRequest, ...])


class Decider:
    """A model that calls tools, behind the cache. A `Decide`."""

    def __init__(self, model: Mllm, tools: Sequence[Json], max_tokens: int) -> None:
        """`tools` are their definitions in the chat-completions format."""
        self._model, self._tools, self._max_tokens = model, tuple(tools), max_tokens

    async def __call__(self, messages: Sequence[Json]) -> Decision:
        """What the model does next."""
        said, pictures = messages[-1].get("content"), dict[str, ImageRef]()
        named = tuple(_naming(message, pictures) for message in messages)
        request = ToolChat(
            said if isinstance(said, str) else "",
            messages=named,
            tools=self._tools,
            pictures=tuple(pictures.values()),
            max_tokens=self._max_tokens,
        )
        reply = await self._model.chat(request)
        step = json.loads(reply.text)
        return Decision(step["text"], _CALLS.validate_python(step["calls"]), reply.tokens, step["refused"])


def _naming(message: Json, pictures: dict[str, ImageRef]) -> Json:
    """The message with its pictures by sha256, which join `pictures`."""
    parts = message.get("content")
    if not isinstance(parts, list):
        return message
    named = []
    for part in parts:
        image = part.get("image")
        if isinstance(image, ImageRef):
            pictures[image.sha256] = image
        named.append({"type": "image", "sha256": image.sha256} if isinstance(image, ImageRef) else part)
    return {**message, "content": named}


def serve_decider(
    settings: Settings,
    tools: Sequence[Json],
    models: Models,
    *,
    interceptor: Interceptor = DIRECT,
    cache: ChatCache | None = None,
) -> Decide:
    """The model bound to the agent, behind the interceptor, which opens it when it is needed; `models` keeps it.

    Raises:
        CtgiError: none is bound, or one that cannot call tools.
    """
    binding = settings.binding(AGENT)

    def decider() -> Decider:
        model = interceptor.model(binding, models.get(binding, settings, open_tool_caller))
        behind = cache.wrap(binding, settings, model) if cache else model
        return Decider(behind, tools, settings.endpoint(binding).max_tokens)

    serve: Decide = interceptor.serve(AGENT, binding, decider)
    return serve
