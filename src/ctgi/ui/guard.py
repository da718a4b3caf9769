"""Who may talk to the page: this machine's own browser, or somebody with the token; never another web site."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from starlette.requests import cookie_parser

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "ctgi_token"
MAX_BODY = 256 * 1024
"""Bytes of a request. Forms are all that is sent here."""
_READING = ("GET", "HEAD")
_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'self'"
REPORT = b"x-ctgi-report"
"""Marks a response whose page stands alone, with its style inside and no script."""


@dataclass(frozen=True)
class Door:
    """Where the page is served, and what opens it."""

    host: str
    port: int
    token: str | None
    """None: no token is asked for, which only an address of this machine may do."""

    @property
    def url(self) -> str:
        """What to open in a browser."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.port}/" + (f"?token={quote(self.token, safe='')}" if self.token else "")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Checks every request before the application sees it.

    - Without a token the Host header must name this machine, so that a web site whose name is made to point here
      (DNS rebinding) gets nothing.
    - With a token, every request carries it: once in the address, then in a cookie that other sites cannot send.
    - What changes something must come from our own page (Origin), so that no other site's form can do it (CSRF).
    - A request's body is bounded.
    """

    def __init__(self, app: App, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass; answer the rest."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope, headers)
        if refused is not None:
            return await _answer(send, *refused)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if self._door.token and given and scope["method"] == "GET":
            return await _answer(send, 303, "", self._enter(scope["path"]))
        await self._app(scope, _bounded(receive), _hardened(send))

    def _refused(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._door.token is None and not is_loopback(_split(f"//{host}").hostname or ""):
            return 403, "This page answers to its own address only."
        if self._door.token is not None and not self._knows_token(scope, headers):
            return 401, "Open the address that ctgi ui printed: it holds the token."
        if scope["method"] not in _READING and not _is_own(headers, host):
            return 403, "This form was not sent from the page itself."
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            return 413, "More was sent than a form of this page holds."
        return None

    def _knows_token(self, scope: Scope, headers: dict[str, str]) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        kept = unquote(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""))
        token = (self._door.token or "").encode()
        return any(hmac.compare_digest(one.encode(), token) for one in (given, kept))

    def _enter(self, path: str) -> list[tuple[bytes, bytes]]:
        cookie = f"{COOKIE}={quote(self._door.token or '', safe='')}; HttpOnly; SameSite=Strict; Path=/"
        return [(b"location", path.encode("latin-1", "replace")), (b"set-cookie", cookie.encode())]


def _is_own(headers: dict[str, str], host: str) -> bool:
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    return bool(host) and _split(headers.get("origin", "")).netloc == host


def _split(address: str) -> SplitResult:
    """The parts of an address; empty ones where it is none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _bounded(receive: Receive) -> Receive:
    """A body without a length is bounded too: what is beyond is cut, and the form fails."""
    left = MAX_BODY

    async def read() -> Any:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                return {"type": "http.disconnect"}
        return message

    return read


def _hardened(send: Send) -> Send:
    async def write(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = [pair for pair in message["headers"] if pair[0] != REPORT]
            policy = _REPORT_POLICY if len(headers) < len(message["headers"]) else _POLICY
            message = {**message, "headers": [*headers, *_safe(policy)]}
        await send(message)

    return write


def _safe(policy: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]


async def _answer(send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    kind = [(b"content-type", b"text/plain; charset=utf-8"), *_safe(_POLICY), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": kind})
    await send({"type": "http.response.body", "body": text.encode()})
