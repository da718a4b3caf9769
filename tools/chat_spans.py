"""A model whose calls are reported as spans: request, cost, and, if switched on, the texts."""

from typing import TYPE_CHECKING

from ctgi.bindings import Binding
from ctgi.reading import Json
from ctgi.settings import Settings
from ctgi.tools.backends import Abilities, ChatReply, ChatRequest, Mllm
from ctgi.tools.spans import Attributes, as_list, of_binding, open_span

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


class TracedMllm:
    """The model behind a binding, with a client span `chat MODEL` around each call. An `Mllm`."""

    def __init__(self, mllm: Mllm, binding: Binding, settings: Settings, tracer: "Tracer", *, content: bool) -> None:
        """Report the calls of `mllm`; `content` includes texts, with images as their sha256."""
        endpoint = settings.endpoint(binding)
        self.endpoint = mllm.endpoint
        self._mllm, self._tracer, self._content = mllm, tracer, content
        model = binding.model or binding.endpoint
        self._name = f"chat {model}"
        self._attributes: Attributes = {
            "gen_ai.operation.name": "chat",
            **of_binding(binding, settings),
            "gen_ai.request.model": model,
        }
        asked: Attributes = {"temperature": endpoint.temperature, "seed": endpoint.seed}
        self._attributes |= {f"gen_ai.request.{n}": value for n, value in asked.items() if n not in endpoint.leave_out}

    async def chat(self, request: ChatRequest) -> ChatReply:
        """The model's reply; raises what it raises."""
        attributes = self._attributes | {"gen_ai.request.max_tokens": request.max_tokens}
        with open_span(self._tracer, self._name, attributes, content=self._content, client=True) as span:
            if self._content:
                span.set_attributes(_asked(request))
            reply = await self._mllm.chat(request)
            reason = "length" if reply.cut else "stop"
            span.set_attributes(_usage(reply))
            span.set_attribute("gen_ai.response.finish_reasons", [reason])
            if self._content:
                said = _message("assistant", reply.text) | {"finish_reason": reason}
                span.set_attribute("gen_ai.output.messages", as_list([said]))
        return reply

    async def probe(self) -> Abilities:
        """What the model can do."""
        return await self._mllm.probe()

    async def aclose(self) -> None:
        """Let go of the model."""
        await self._mllm.aclose()


def _usage(reply: ChatReply) -> Attributes:
    return {"gen_ai.usage.input_tokens": reply.tokens.input, "gen_ai.usage.output_tokens": reply.tokens.output}


def _asked(request: ChatRequest) -> Attributes:
    """The dialogue up to the question; the image stands before the first text."""
    said = [text for turn in request.history for text in turn] + [request.prompt]
    messages = [_message(("user", "assistant")[place % 2], text) for place, text in enumerate(said)]
    if request.image:
        picture = {"type": "uri", "modality": "image", "uri": f"sha256:{request.image.sha256}"}
        messages[0]["parts"].insert(0, picture)
    attributes: Attributes = {"gen_ai.input.messages": as_list(messages)}
    if request.system:
        attributes["gen_ai.system_instructions"] = as_list(_parts(request.system))
    return attributes


def _message(role: str, text: str) -> Json:
    return {"role": role, "parts": _parts(text)}


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "content": text}]
