"""Connections to one server, with its key; requests are limited in time and size of the reply."""

import asyncio
import json
import ssl
from collections.abc import Mapping

import httpx2

from ctgi.errors import CtgiError
from ctgi.network import parse_address, proxy_for, proxy_of_client, trusted
from ctgi.reading import Json
from ctgi.secrets import all_known, basic_authorization, in_url
from ctgi.settings_tables import Endpoint
from ctgi.text import plain
from ctgi.tools.backends.connections import Connections
from ctgi.tools.backends.endpoint import Unavailable

MAX_BODY_BYTES = 4_000_000


class StatusError(Exception):
    """The server answered with an error status."""

    def __init__(self, status: int, body: bytes, retry_after: str) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.body = body
        """The body, without our credentials."""
        self.retry_after = retry_after
        """The Retry-After header, as received."""


class ServerClient:
    """Requests to one endpoint; they follow no redirects and read only the proxies from the environment.

    Belongs to the running loop.
    """

    def __init__(self, endpoint: Endpoint, key: str | None, headers: Mapping[str, str]) -> None:
        """Connections for all calls that the endpoint allows at once, each with these further headers.

        Raises:
            CtgiError: its address is invalid, or its proxy cannot be used.
        """
        url = endpoint.base_url or ""
        try:
            self.address = parse_address(url)
        except ValueError as error:
            shown = f" {url!r}" if not {"@", "?", "#"} & set(url) else ""
            raise CtgiError(f"base_url{shown}: {error}") from None
        self.uses_password = bool(self.address.user or self.address.password)
        """Whether the address has a user and password."""
        self.secrets = all_known({*in_url(url), *((key,) if key else ()), *headers.values()})
        self._timeout_s = endpoint.timeout_s
        self._proxy = proxy_for(url, endpoint.proxies)
        proxy = proxy_of_client(url, endpoint.proxies)
        # Without TLS there are no certificates to trust, and reading them takes time.
        safe = trusted() if self.address.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

        def one(limits: httpx2.Limits) -> httpx2.AsyncHTTPTransport:
            return httpx2.AsyncHTTPTransport(verify=safe, trust_env=False, limits=limits, proxy=proxy)

        self.http = httpx2.AsyncClient(
            headers={**httpx2.Headers(self._headers(key)), **{name.lower(): headers[name] for name in headers}},
            timeout=httpx2.Timeout(endpoint.timeout_s, connect=min(endpoint.timeout_s, 10)),
            transport=Connections(one, endpoint.concurrency + 1),  # one for the list of models
            trust_env=False,
            follow_redirects=False,
        )
        """Its connections, for a library that speaks to the same endpoint."""

    def _headers(self, key: str | None) -> dict[str, str]:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self.uses_password:
            return headers | {"Authorization": basic_authorization(self.address.user, self.address.password)}
        return headers | ({"Authorization": f"Bearer {key}"} if key else {})

    async def post(self, path: str, body: Json) -> bytes:
        """The server's answer to a JSON body.

        Raises:
            StatusError: a status other than success.
            Unavailable: no answer in time, or one that is too large or damaged.
            CtgiError: the proxy wants a password.
        """
        return await self._ask("POST", path, json.dumps(body).encode())

    async def get(self, path: str) -> bytes:
        """The content at a path. Raises as `post` does."""
        return await self._ask("GET", path, None)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def _ask(self, method: str, path: str, body: bytes | None) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):  # of the whole reply, whose single reads may all be in time
                return await self._answer(method, f"{self.address}{path}{self.address.query}", body)
        except (httpx2.TimeoutException, TimeoutError) as error:
            late = f"no answer within {self._timeout_s:g} s"
            raise Unavailable(self._by_way_of(late), unreachable=isinstance(error, httpx2.ConnectTimeout)) from None
        except httpx2.DecodingError as error:
            raise Unavailable(f"the reply cannot be decompressed: {plain(str(error))}") from None
        except httpx2.TransportError as error:
            reason = self.secrets.mask_error(plain(str(error) or type(error).__name__))
            unreachable = isinstance(error, httpx2.ConnectError | httpx2.ProxyError)
            raise Unavailable(self._by_way_of(reason), unreachable=unreachable) from None

    @property
    def cure(self) -> str:
        """What to do if nobody answers through the proxy; empty without a proxy."""
        return f"Check {self._proxy.variable}, or set NO_PROXY={self.address.host}" if self._proxy else ""

    def _by_way_of(self, reason: str) -> str:
        return f"{reason} (through {self._proxy})" if self._proxy else reason

    async def _answer(self, method: str, url: str, body: bytes | None) -> bytes:
        headers = {} if body is None else {"Content-Type": "application/json"}
        async with self.http.stream(method, url, content=body, headers=headers) as response:
            content = self.secrets.mask_json(await _read(response))
        if response.is_success:
            return content
        if response.status_code == 407 and self._proxy:
            raise CtgiError(f"{self._proxy} refuses the request: put its user and password into {self._proxy.variable}")
        raise StatusError(response.status_code, content, response.headers.get("retry-after", ""))


async def _read(response: httpx2.Response) -> bytes:
    """A decompressed body; never more than MAX_BODY_BYTES are held, however small the compressed body."""
    if "," in response.headers.get("content-encoding", ""):
        raise Unavailable("the reply is compressed more than once")
    found = bytearray()
    async for piece in response.aiter_bytes():
        found += piece
        if len(found) > MAX_BODY_BYTES:
            raise Unavailable(f"a reply of more than {MAX_BODY_BYTES:,} bytes")
    return bytes(found)
