"""A test double of an OpenTelemetry collector: takes OTLP over HTTP and decodes the protobuf it is sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class CollectorDouble(ThreadingHTTPServer):
    """Listens on a port of its own and remembers the spans."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.spans: list[Span] = []
        self.status, self.location, self.claims = 200, "", 0
        """What is answered: a status, where it points to, and how many bytes are announced and never sent."""


class _Handler(BaseHTTPRequestHandler):
    server: CollectorDouble

    def do_POST(self) -> None:
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.paths.append(self.path)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        scopes = [scope for resource in request.resource_spans for scope in resource.scope_spans]
        self.server.spans += [span for scope in scopes for span in scope.spans]
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", str(self.server.claims))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running_collector() -> Iterator[CollectorDouble]:
    """A collector that listens; what it was sent can be read afterwards too."""
    with CollectorDouble() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def attributes(span: Span) -> dict[str, str | int | bool]:
    """A span's attributes as plain values."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value") for one in span.attributes}
