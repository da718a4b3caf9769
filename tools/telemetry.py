"""OpenTelemetry spans of runs, items, tools and models, in the GenAI conventions; off unless an endpoint is configured.

Images are never sent, only their sha256; texts only if that is switched on.
"""

import functools
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ctgi.bindings import Binding
from ctgi.errors import CtgiError
from ctgi.network import is_local, proxy_for, public_url
from ctgi.retrieval.images import ImageRef
from ctgi.settings import Settings
from ctgi.tools.backends import Mllm
from ctgi.tools.chat_spans import TracedMllm
from ctgi.tools.spans import Attributes, as_object, of_binding, open_span, sendable
from ctgi.tools.tool_calls import AGENT
from ctgi.tools.traces.call_notes import CallMeta, noting
from ctgi.tools.traces.interceptor import Interceptor, OpenTool, Outcome, Wrote
from ctgi.tools.traces.values import arguments
from ctgi.version import __version__

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_TIMEOUT_S = 5
"""Seconds that the end of a run waits for a collector that does not answer."""
_ARGUMENTS, _RESULT = "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"

_LOOKS = {"mtg": "caption_image", "mti": "verify_match", "plain": "search_gallery", "agent": AGENT}
"""The tool of each graph whose model is reported as the agent's."""

logger = logging.getLogger(__name__)


def collector(settings: Settings) -> str | None:
    """The address to which spans are sent; None if none are sent."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if settings.telemetry.endpoint:
        return _traces_at(settings.telemetry.endpoint)
    traces, base = (os.environ.get(name) for name in ENDPOINTS)
    return traces or (_traces_at(base) if base else None)


def _traces_at(base: str) -> str:
    address, mark, query = base.partition("?")
    return f"{address.rstrip('/')}/v1/traces{mark}{query}"


class Spans:
    """An interceptor that reports every call: a model's span inside those of its tool, item and run."""

    def __init__(self, tracer: Any, settings: Settings, graph: str, inner: Interceptor) -> None:
        """Report the calls through `inner`, as the agent `graph`."""
        self._tracer, self._settings, self._graph, self._inner = tracer, settings, graph, inner
        self._content = _with_content(settings)

    @property
    def run(self) -> str | None:
        """The name of the trace that the inner interceptor writes."""
        return self._inner.run

    def serve(self, tool: str, binding: Binding, open_tool: OpenTool) -> Any:
        """The tool as the inner interceptor serves it, with a span around each call."""
        served = self._inner.serve(tool, binding, open_tool)
        known = of_binding(binding, self._settings)
        return traced(tool, served, known, tracer=self._tracer, content=self._content)

    def model(self, binding: Binding, mllm: Mllm) -> Mllm:
        """The model with a span around each call; tokens are reported only there."""
        inner = self._inner.model(binding, mllm)
        return TracedMllm(inner, binding, self._settings, self._tracer, content=self._content)

    @contextmanager
    def item(self, given: Mapping[str, Any]) -> Iterator[Outcome]:
        """A span around the work on one image or query."""
        attributes: Attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": self._graph}
        if self._graph in _LOOKS:
            attributes |= of_binding(self._settings.binding(_LOOKS[self._graph]), self._settings)
        if isinstance(image := given.get("image"), ImageRef):
            attributes["ctgi.image.sha256"] = image.sha256
        if self._content and "query" in given:
            attributes["ctgi.query"] = sendable(str(given["query"]))
        with (
            open_span(self._tracer, f"invoke_agent {self._graph}", attributes, content=self._content),
            self._inner.item(given) as done,
        ):
            yield done

    def node(self, name: str, step: int) -> AbstractContextManager[Wrote]:
        """No span: a node is shown by the calls in it."""
        return self._inner.node(name, step)


def traced(
    tool: str, call: Callable[..., Awaitable[Any]], known: Attributes, *, tracer: Any, content: bool = False
) -> Callable[..., Awaitable[Any]]:
    """The tool `call` with a span `execute_tool NAME` around each of its calls; what it does and raises is unchanged.

    Args:
        tool: its name.
        call: the tool.
        known: who does the work, as attributes.
        tracer: an OpenTelemetry tracer.
        content: whether arguments and results are reported, images as their sha256.
    """
    attributes: Attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        "gen_ai.tool.type": "function",
        **known,
    }

    @functools.wraps(call)
    async def run(*args: Any, **options: Any) -> Any:
        with open_span(tracer, f"execute_tool {tool}", attributes, content=content) as span, noting() as meta:
            if content:
                span.set_attribute(_ARGUMENTS, as_object(arguments(tool, args, options)))
            result = await call(*args, **options)
            span.set_attributes(_of_call(meta))
            if content:
                span.set_attribute(_RESULT, as_object(result))
        return result

    return run


def _of_call(meta: CallMeta) -> Attributes:
    return {"ctgi.cached": meta.src == "cache", "ctgi.retries": meta.retries}


@contextmanager
def reporting(
    settings: Settings, graph: str, command: str, inner: Interceptor, *, exporter: Any = None
) -> Iterator[Interceptor]:
    """An interceptor around `inner` that sends spans to the configured collector; `inner` itself without one.

    A collector that is down costs a warning and a few seconds at the end of the run.

    Args:
        settings: the collector, and whether to send texts.
        graph: the graph that runs: mtg, mti, agent, plain, or a name of the caller's own.
        command: the name of the whole run's span.
        inner: the interceptor that does the work.
        exporter: an OpenTelemetry span exporter to use instead of OTLP over HTTP.

    Raises:
        CtgiError: ctgi.toml names a collector, and the `otel` extra is not installed.
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
        with open_span(tracer, f"ctgi {command}", attributes, content=_with_content(settings)):
            yield Spans(tracer, settings, graph, inner)
    finally:
        provider.shutdown()


def _with_content(settings: Settings) -> bool:
    return settings.telemetry.content or os.environ.get(_CONTENT, "").lower() == "true"


def _provider(settings: Settings, exporter: Any, address: str | None) -> Any:
    """The tracer provider; None if no collector is named, or only the environment names one and `otel` is missing."""
    if exporter is None and address is None:
        return None
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from ctgi.tools.otlp import open_exporter

        exporter = exporter or open_exporter(address or "", settings.network.proxies, _TIMEOUT_S)
    except ModuleNotFoundError as error:
        place = public_url(address or "")
        missing = f"sending spans to {place} needs {error.name}, which is not installed: pip install 'ctgi[otel]'"
        if settings.telemetry.endpoint:
            raise CtgiError(missing) from None
        logger.warning("%s; nothing is sent", missing)
        return None
    if address:
        _tell_collector(settings, address)
    name = os.environ.get("OTEL_SERVICE_NAME", "ctgi")
    provider = TracerProvider(resource=Resource.create({"service.name": name, "service.version": __version__}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _tell_collector(settings: Settings, address: str) -> None:
    proxy = proxy_for(address, settings.network.proxies)
    if proxy is None and is_local(address):
        return
    what = "with its questions and answers" if _with_content(settings) else "without its texts"
    place = f"{public_url(address)}, through {proxy}" if proxy else public_url(address)
    logger.warning("spans of this run, %s, go to %s", what, place)
