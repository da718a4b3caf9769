"""OpenTelemetry spans of runs, items and tool calls, in the GenAI conventions; off unless an endpoint is configured.

Images never leave by this way, only their sha256; texts only where that is switched on.
"""

import functools
import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any
from urllib.parse import urlsplit

from ctgi import __version__
from ctgi.config import Binding, Settings
from ctgi.errors import CtgiError
from ctgi.network import is_local, public_url
from ctgi.retrieval.images import ImageRef
from ctgi.tools.call_notes import noting
from ctgi.tools.seam import OpenTool, Outcome, Seam

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_TIMEOUT_S = 5
"""How long the end of a run waits for a collector that does not answer."""
_ARGUMENTS, _RESULT = "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"

Attributes = dict[str, str | int | float | bool]

logger = logging.getLogger(__name__)


def collector(settings: Settings) -> str | None:
    """Where spans are sent: the address for traces, or None where nothing is."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if settings.telemetry.endpoint:
        return _traces_at(settings.telemetry.endpoint)
    traces, base = (os.environ.get(name) for name in _ENDPOINTS)
    return traces or (_traces_at(base) if base else None)


def _traces_at(base: str) -> str:
    return f"{base.rstrip('/')}/v1/traces"


class Spans:
    """A seam that reports what passes it: one span per tool call, inside those of its item and of the run."""

    def __init__(self, tracer: Any, settings: Settings, graph: str, inner: Seam) -> None:
        """Report what passes through `inner`, as the agent `graph`."""
        self._tracer, self._settings, self._graph, self._inner = tracer, settings, graph, inner
        self._content = _with_content(settings)

    @property
    def run(self) -> str | None:
        """The name of the trace that the inner seam writes."""
        return self._inner.run

    def serve(self, tool: str, binding: Binding, open_tool: OpenTool) -> Any:
        """The tool as the inner seam serves it, with a span around each call."""
        served = self._inner.serve(tool, binding, open_tool)
        placed = binding._replace(base_url=self._settings.endpoint(binding).base_url)
        return traced(tool, placed, served, tracer=self._tracer, content=self._content)

    @contextmanager
    def item(self, given: Mapping[str, Any]) -> Iterator[Outcome]:
        """A span around the work on one image or query."""
        attributes: Attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": self._graph}
        if isinstance(image := given.get("image"), ImageRef):
            attributes["ctgi.image.sha256"] = image.sha256
        if self._content and "query" in given:
            attributes["ctgi.query"] = str(given["query"])
        with (
            _span(self._tracer, f"invoke_agent {self._graph}", attributes, content=self._content),
            self._inner.item(given) as done,
        ):
            yield done


@contextmanager
def _span(tracer: Any, name: str, attributes: Attributes, *, content: bool) -> Iterator[Any]:
    """A span that an exception marks as failed; its words may quote a model, so they are content."""
    from opentelemetry.trace import StatusCode

    with tracer.start_as_current_span(
        name, attributes=attributes, record_exception=content, set_status_on_exception=content
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            if not content:
                span.set_status(StatusCode.ERROR)
            raise


def traced(
    tool: str, binding: Binding, call: Callable[..., Awaitable[Any]], *, tracer: Any, content: bool = False
) -> Callable[..., Awaitable[Any]]:
    """The tool `call` with a span `execute_tool NAME` around each of its calls; what it does and raises is unchanged.

    Args:
        tool: its name.
        binding: what it is bound to; of its address, host and port are reported.
        call: the tool.
        tracer: an OpenTelemetry tracer.
        content: whether arguments and results are reported, images as their sha256.
    """
    attributes = _of_tool(tool, binding)

    @functools.wraps(call)
    async def run(*args: Any, **options: Any) -> Any:
        with _span(tracer, f"execute_tool {tool}", attributes, content=content) as span, noting() as notes:
            if content:
                span.set_attribute(_ARGUMENTS, _as_json([*args, *([options] if options else [])]))
            result = await call(*args, **options)
            span.set_attributes(_of_call(result, notes))
            if content:
                span.set_attribute(_RESULT, _as_json(result))
        return result

    return run


def _of_tool(tool: str, binding: Binding) -> Attributes:
    attributes: Attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        "gen_ai.tool.type": "function",
        "gen_ai.provider.name": binding.endpoint,
    }
    if binding.model:
        attributes["gen_ai.request.model"] = binding.model
    if binding.base_url:
        url = urlsplit(binding.base_url)
        attributes |= {"server.address": url.hostname or "", "server.port": url.port or 0}
    return attributes


def _of_call(result: Any, notes: Mapping[str, Any]) -> Attributes:
    attributes: Attributes = {"ctgi.cached": notes.get("src") == "cache", "ctgi.retries": notes.get("retries", 0)}
    if tokens := getattr(result, "tokens", None):
        attributes |= {"gen_ai.usage.input_tokens": tokens.input, "gen_ai.usage.output_tokens": tokens.output}
    return attributes


def _as_json(value: Any) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, ImageRef):
        return {"sha256": value.sha256}
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return str(value)


@contextmanager
def reporting(settings: Settings, graph: str, command: str, inner: Seam, *, exporter: Any = None) -> Iterator[Seam]:
    """A seam that sends spans to the configured collector, around `inner`; `inner` itself where none is configured.

    A collector that is down costs the run a warning and a few seconds at its end, nothing else.

    Args:
        settings: say where to, and whether with texts.
        graph: the graph that runs: mtg, mti or plain.
        command: what the span of the whole run is called by.
        inner: the seam that does the work.
        exporter: an OpenTelemetry span exporter to use instead of OTLP over HTTP.

    Raises:
        CtgiError: ctgi.toml asks for it, and the `otel` extra is not installed.
    """
    provider = _provider(settings, exporter, collector(settings))
    if provider is None:
        yield inner
        return
    tracer = provider.get_tracer("ctgi", __version__)
    attributes: Attributes = {"ctgi.graph": graph}
    if inner.run:
        attributes["ctgi.trace"] = inner.run
    try:
        with _span(tracer, f"ctgi {command}", attributes, content=_with_content(settings)):
            yield Spans(tracer, settings, graph, inner)
    finally:
        provider.shutdown()


def _with_content(settings: Settings) -> bool:
    return settings.telemetry.content or os.environ.get(_CONTENT, "").lower() == "true"


def _provider(settings: Settings, exporter: Any, address: str | None) -> Any:
    """What makes and sends spans; None where nobody asks for them, or only the environment and they cannot be made."""
    if exporter is None and address is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        missing = f"sending spans to {address} needs {error.name}, which is not installed: pip install 'ctgi[otel]'"
        if settings.telemetry.endpoint:
            raise CtgiError(missing) from None
        logger.warning("%s; nothing is sent", missing)
        return None
    if address and not is_local(address):
        what = "with its questions and answers" if _with_content(settings) else "without its texts"
        logger.warning("spans of this run, %s, go to %s", what, public_url(address))
    name = os.environ.get("OTEL_SERVICE_NAME", "ctgi")
    provider = TracerProvider(resource=Resource.create({"service.name": name, "service.version": __version__}))
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter(address, timeout=_TIMEOUT_S)))
    return provider
