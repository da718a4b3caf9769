"""The exporter that sends spans to an OTLP collector, by the same rules as every other request."""

from typing import TYPE_CHECKING, Any

import requests

from ctgi.errors import CtgiError
from ctgi.network import Proxies, parse_address, proxy_for
from ctgi.secrets import basic_authorization

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter


class _Session(requests.Session):
    """Reads no reply's body: the status is enough, and a body may be large or come in drips."""

    def request(self, *args: Any, **options: Any) -> requests.Response:
        response = super().request(*args, **(options | {"stream": True}))
        response.close()
        return response


def open_exporter(url: str, proxies: Proxies, timeout_s: float) -> "OTLPSpanExporter":
    """An exporter to the collector at `url`; of the environment only the OTEL_ variables count.

    Raises:
        ModuleNotFoundError: the `otel` extra is not installed.
        CtgiError: this is no address, or its proxy cannot be used.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    try:
        address = parse_address(url)
    except ValueError as error:
        raise CtgiError(f"the address of the OpenTelemetry collector: {error}") from None
    session = _Session()
    session.trust_env = False
    if proxy := proxy_for(url, proxies):
        session.proxies = {address.scheme: proxy.address.whole()}
    own = address.user or address.password
    headers = {"authorization": basic_authorization(address.user, address.password)} if own else None
    return OTLPSpanExporter(f"{address}{address.query}", headers=headers, timeout=timeout_s, session=session)
