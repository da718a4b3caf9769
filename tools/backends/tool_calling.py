"""Models that call tools, through langchain-openai's ChatOpenAI: connections, retries and errors are ctgi's own."""

import json
import re
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from ctgi.bindings import Binding
from ctgi.errors import CtgiError, ImageError, ToolError
from ctgi.reading import Json
from ctgi.retrieval.images import ImageRef
from ctgi.settings_tables import Endpoint
from ctgi.text import joined
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest, Mllm
from ctgi.tools.backends.endpoint import Limits, Unavailable
from ctgi.tools.backends.model_server import ModelServer
from ctgi.tools.backends.openai_client import ServerClient
from ctgi.tools.backends.openai_compatible import headers_of, key_of
from ctgi.tools.backends.per_loop import PerLoop
from ctgi.tools.backends.refusals import RefusedError, complaint
from ctgi.tools.backends.request_form import Dialect, GivenUp, RequestForm
from ctgi.tools.backends.server_pool import ServerPool, named
from ctgi.tools.backends.thoughts import part
from ctgi.tools.backends.whole_replies import WholeReplies
from ctgi.tools.images import DataUrls
from ctgi.tools.types import Tokens

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage
    from langchain_openai import ChatOpenAI
    from openai import APIStatusError

    from ctgi.settings import Settings

HOW_TO_CALL_TOOLS = (
    "an agent needs a model that calls tools: openai:gpt-4o does, and so do vLLM servers started with "
    "--enable-auto-tool-choice --tool-call-parser hermes (what `ctgi serve` starts), SGLang with --tool-call-parser, "
    "and llama.cpp with --jinja, for a model that was trained to, such as Qwen/Qwen3-VL-8B-Instruct: bind it with "
    "--bind agent=vllm:MODEL"
)
_ABOUT_TOOLS = re.compile(r"\btools?\b|tool[_-]|function.?call", re.IGNORECASE)
_FILTERED = "content_filter"
_DIALECT = Dialect(False, 0, "max_completion_tokens", "")
_SENT = frozenset({"temperature", "seed", "system", "stream", "max_tokens", "max_completion_tokens"})
"""Fields of a request for the next step that it can do without, or that have another name."""


@dataclass(frozen=True)
class ToolChat(ChatRequest):
    """A request to choose among tools; `prompt` only tells what it is about."""

    messages: tuple[Json, ...] = ()
    tools: tuple[Json, ...] = ()
    pictures: tuple[ImageRef, ...] = ()
    """Those that parts of the messages name: {"type": "image", "sha256": ...}."""


def open_tool_caller(binding: Binding, settings: "Settings") -> Mllm:
    """The model behind the binding of an agent; a reply's text is the JSON of its words and calls.

    Raises:
        CtgiError: no model that calls tools is bound, or the `agent` extra is not installed.
    """
    endpoint = settings.endpoint(binding)
    if endpoint.provider not in ("vllm", "openai") or not binding.model:
        raise CtgiError(f"agent is bound to {str(binding)!r}, which cannot call tools: {HOW_TO_CALL_TOOLS}")
    try:
        import langchain_openai  # noqa: F401
    except ModuleNotFoundError as error:
        raise CtgiError(f"an agent needs {error.name}, which is not installed: pip install 'ctgi[agent]'") from None
    key = key_of(endpoint)
    if endpoint.provider == "openai" and binding.base_url is None and endpoint.api_key_env and not key:
        raise CtgiError(
            f"{binding} needs a key: expected one in the environment variable {endpoint.api_key_env}, which is not "
            "set; nothing was sent"
        )
    caller = PerLoop(lambda: ToolCaller(binding.model, endpoint, key))
    return WholeReplies(caller, table=binding.endpoint, max_tokens=endpoint.max_tokens)


class ToolCaller:
    """One model that calls tools, on one server or several. Belongs to the loop it was opened in."""

    def __init__(self, model: str, endpoint: Endpoint, key: str | None) -> None:
        self._servers = [_Server(model, endpoint.at(url), key) for url in endpoint.servers or ("",)]
        self.endpoint = ", ".join(server.name for server in self._servers)
        cure = self._servers[0].cure or f"Start it with `ctgi serve {model}`, or check base_url"
        self._limits = Limits(endpoint, named(self._servers), cure)
        self._pool = ServerPool(self._servers, endpoint.concurrency, endpoint.backoff_s)
        self._urls = DataUrls(endpoint.min_pixels, endpoint.max_pixels, 2 * endpoint.at_once)

    async def chat(self, request: ChatRequest) -> ChatReply:
        """The model's next step; raises as Mllm.chat says."""
        if not isinstance(request, ToolChat):
            raise TypeError("expected a ToolChat")
        messages = [await self._with_pictures(message, request) for message in request.messages]

        async with self._limits.slots:
            return await self._limits.call(lambda: self._pool.call(lambda server: server.answer(messages, request)))

    async def probe(self) -> Abilities:
        """Nothing that other tools would ask of it."""
        return Abilities(images=False, logprobs=False, structured=False)

    async def aclose(self) -> None:
        """Close the connections."""
        for server in self._servers:
            await server.aclose()

    async def _with_pictures(self, message: Json, request: ToolChat) -> Json:
        """The message as it is sent; a picture that cannot be used is said."""
        if not isinstance(message.get("content"), list):
            return message
        known = {image.sha256: image for image in request.pictures}
        parts = [await self._part(part, known) for part in message["content"]]
        return {**message, "content": parts}

    async def _part(self, part: Json, known: dict[str, ImageRef]) -> Json:
        if part["type"] != "image":
            return part
        try:
            return {"type": "image_url", "image_url": {"url": await self._urls.get(known[part["sha256"]])}}
        except ImageError as error:
            return {"type": "text", "text": f"(cannot be shown: {error.reason})"}


class _Server:
    """A server of the model, and the form of requests that it takes."""

    def __init__(self, model: str, endpoint: Endpoint, key: str | None) -> None:
        self._client = ServerClient(endpoint, key, headers_of(endpoint))
        self.name, self.cure = str(self._client.address), self._client.cure
        self._server = ModelServer(model, self._client, endpoint.api_key_env or "")
        self._form = RequestForm(model, endpoint, _DIALECT, self.name)
        self._timeout_s = endpoint.timeout_s
        self._open_chat = cache(partial(_chat_model, model, endpoint, self._client, key))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def answer(self, messages: list[Json], request: ToolChat) -> ChatReply:
        """One try, with all fields that the server accepts."""
        given_up, about = self._form.given_up, replace(request, system="in the messages")
        while True:
            model = self._open_chat(given_up).bind(tools=list(request.tools))
            sent = without_system(messages) if "system" in given_up else messages
            try:
                reply = read_step(await self._ask(model, sent), self._server)
                break
            except RefusedError as refusal:
                culprits = self._form.named(refusal.complaint, self._form.present(about, given_up)) & _SENT
                if not culprits:
                    raise await self._server.refused(refusal.complaint) from None
                given_up |= culprits
        self._form.learn(about, given_up)
        self._server.worked = True
        return reply

    async def _ask(self, model: Any, messages: list[Json]) -> "AIMessage":
        from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

        try:
            reply: AIMessage = await model.ainvoke(messages)
        except APITimeoutError:
            raise Unavailable(f"no answer within {self._timeout_s:g} s") from None
        except APIConnectionError as error:
            told = self._server.hide(str(error.__cause__ or error))
            raise Unavailable(told, unreachable=True) from None
        except APIStatusError as error:
            raise await self._refused(error) from None
        except (APIError, ValueError, TypeError, KeyError, AttributeError) as error:  # what is no chat completion
            told = self._server.hide(str(error))[:200]
            raise Unavailable(f"the reply is not a chat completion: {told}") from None
        return reply

    async def _refused(self, error: "APIStatusError") -> Exception:
        wait = error.response.headers.get("retry-after", "")
        said = complaint(error.status_code, error.response.content, wait, self._server.hide)
        if said.status in (400, 404, 422, 500, 501) and _ABOUT_TOOLS.search(said.words):
            return CtgiError(f"{self.name} refuses tools ({said.words}): {HOW_TO_CALL_TOOLS}")
        return await self._server.meaning(said)


def _chat_model(
    model: str, endpoint: Endpoint, client: ServerClient, key: str | None, given_up: GivenUp
) -> "ChatOpenAI":
    from ctgi.tools.backends.chat_openai import chat_model

    return chat_model(model, endpoint, client, key, given_up)


def without_system(messages: list[Json]) -> list[Json]:
    """The messages with the instructions before the first prompt, for servers that have no such role."""
    told, first, *rest = messages
    return [{**first, "content": f"{told['content']}\n\n{first['content']}"}, *rest]


def read_step(message: "AIMessage", server: ModelServer) -> ChatReply:
    """A model's reply as one text: the JSON of what it says and which tools it wants.

    Raises:
        ToolError: a filter stopped it.
        Unavailable: it is empty.
    """
    if message.response_metadata.get("finish_reason") == _FILTERED:
        raise ToolError(f"a filter of the server stopped the reply (finish reason {_FILTERED!r})")
    refusal = message.additional_kwargs.get("refusal")
    parted = part(joined(message.text))
    said = str(refusal) if refusal else parted.answer
    calls = [{"id": one["id"], "name": one["name"], "arguments": json.dumps(one["args"])} for one in message.tool_calls]
    calls += [
        {"id": one["id"], "name": one["name"] or "", "arguments": one["args"] or ""}
        for one in message.invalid_tool_calls
    ]
    cut = message.response_metadata.get("finish_reason") == "length"
    if not (said.strip() or calls or cut):
        raise Unavailable("the answer is empty", strikes=0)
    usage = message.usage_metadata
    tokens = Tokens(usage["input_tokens"], usage["output_tokens"]) if usage else Tokens()
    step = {"text": server.hide(said), "calls": calls, "refused": bool(refusal)}
    text = json.dumps(step).replace("<", "\\u003c")  # or a mark of thoughts in it would be taken for the model's own
    return ChatReply(text, tokens=tokens, thoughts=parted.thoughts, cut=cut)
