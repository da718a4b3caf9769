"""The exporter that sends spans to an OTLP collector, by the same rules as every other request."""

import os
from typing import TYPE_CHECKING, Any

import requests

from ctgi.errors import CtgiError
from ctgi.network import Address, Proxies, parse_address, proxy_for
from ctgi.secrets import basic_authorization
from ctgi.tools.telemetry import ENDPOINTS

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter


_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")


class _Session(requests.Session):
    """Reads no body of replies: the status is enough, and a body may be large or slow."""

    def __init__(self, left_out: frozenset[str]) -> None:
        super().__init__()
        self.trust_env = False
        self._left_out = left_out

    def request(self, *args: Any, **options: Any) -> requests.Response:
        headers = {name: value for name, value in options.pop("headers").items() if name not in self._left_out}
        response = super().request(*args, **options, headers=headers, stream=True)  # type: ignore[misc]
        response.close()
        return response


def open_exporter(url: str, proxies: Proxies, timeout_s: float) -> "OTLPSpanExporter":
    """An exporter to the collector at `url`; only OTEL_ variables of the environment count.

    Raises:
        ModuleNotFoundError: the `otel` extra is not installed.
        CtgiError: `url` is not an address, or its proxy cannot be used.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    try:
        address = parse_address(url)
    except ValueError as error:
        raise CtgiError(f"the address of the OpenTelemetry collector: {error}") from None
    session = _Session(_not_meant_for(address))
    if proxy := proxy_for(url, proxies):
        session.proxies = {address.scheme: proxy.address.whole()}
    own = address.user or address.password
    headers = {"authorization": basic_authorization(address.user, address.password)} if own else None
    return OTLPSpanExporter(f"{address}{address.query}", headers=headers, timeout=timeout_s, session=session)


def _not_meant_for(address: Address) -> frozenset[str]:
    """Names of the environment's headers, which may hold keys, where it names another collector to go with them."""
    from opentelemetry.util.re import parse_env_headers

    named = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), None)
    try:
        if named is None or parse_address(named).origin == address.origin:
            return frozenset()
    except ValueError:
        pass
    given = next((os.environ[name] for name in _HEADERS if os.environ.get(name)), "")
    return frozenset(parse_env_headers(given, liberal=True))
