"""OpenTelemetry spans and their attributes, by the GenAI conventions."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from ctgi.bindings import Binding
from ctgi.network import parse_address
from ctgi.retrieval.images import ImageRef
from ctgi.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

Attributes = dict[str, str | int | float | bool]


@contextmanager
def open_span(
    tracer: "Tracer", name: str, attributes: Attributes, *, content: bool, client: bool = False
) -> "Iterator[Span]":
    """A span that an exception marks as failed. The exception's message may quote a model, so it counts as content.

    Args:
        tracer: creates the span.
        name: the span's name.
        attributes: those known at the start.
        content: whether texts may be included.
        client: whether it is a call to another service.
    """
    from opentelemetry.trace import SpanKind, StatusCode

    kind = SpanKind.CLIENT if client else SpanKind.INTERNAL
    with tracer.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            told = sendable(str(error)) if content else None
            span.set_attribute("error.type", type(error).__name__)
            if told:
                span.add_event("exception", {"exception.type": type(error).__name__, "exception.message": told})
            span.set_status(StatusCode.ERROR, told)
            raise


def of_binding(binding: Binding, settings: Settings) -> Attributes:
    """Attributes of a binding: provider, model, host and port."""
    endpoint = settings.endpoint(binding)
    attributes: Attributes = {"gen_ai.provider.name": endpoint.provider or binding.endpoint}
    if binding.model:
        attributes["gen_ai.request.model"] = binding.model
    if len(endpoint.servers) == 1:
        with suppress(ValueError):  # a bad address is reported when the model is opened
            address = parse_address(endpoint.servers[0])
            attributes |= {"server.address": address.host, "server.port": address.port}
    return attributes


def as_object(value: Any) -> str:
    """A value as the text of a JSON object; other values go under "value". Images are named by their hash."""
    plain = _plain(value) if is_dataclass(value) else value
    return json.dumps(plain if isinstance(plain, dict) else {"value": plain}, default=_plain)


def as_list(value: list[Any]) -> str:
    """The text of a JSON array."""
    return json.dumps(value, default=_plain)


def sendable(text: str) -> str:
    """A text without what is not Unicode, such as raw bytes of a file name."""
    return text.encode(errors="replace").decode()


def _plain(value: Any) -> Any:
    if isinstance(value, ImageRef):
        return {"sha256": value.sha256}
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return str(value)
