"""Opens the tools for MCP clients, and serves them over stdin and stdout or over HTTP."""

import hmac
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stdout
from typing import TYPE_CHECKING

from ctgi.agents.abilities import askable
from ctgi.agents.assemble import open_tools
from ctgi.agents.pool import load_pool
from ctgi.config import Settings
from ctgi.errors import CtgiError
from ctgi.mcp.server import GalleryServer
from ctgi.retrieval.gallery import Gallery
from ctgi.runs.events import Events
from ctgi.runs.live_gallery import live_gallery
from ctgi.runs.recording import Act, recording
from ctgi.tools.search_gallery import GallerySearch
from ctgi.tools.specs import TOOLS

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/mcp"
"""Where clients connect over HTTP."""
_OPENED = tuple(name for name in TOOLS if name not in ("search_gallery", "ask_user"))


@asynccontextmanager
async def open_server(
    gallery: Gallery, settings: Settings, events: Events, *, trace: bool = True
) -> AsyncIterator[GalleryServer]:
    """The server over these tools and this gallery; each call is recorded and cached as in any run.

    Raises:
        CtgiError: a tool is bound to a person at the terminal.
    """
    for name in _OPENED:
        if settings.binding(name).endpoint == "human":
            raise CtgiError(f"{name} is bound to human, whose terminal an MCP server does not have: bind a model")
    given = {"gallery": gallery.name, "encoder": gallery.made_with, "images": gallery.identity}
    act = Act("mcp", "mcp", ("search_gallery", *_OPENED), given, gallery.root)
    with recording(act, settings, events, trace=trace) as run:
        pool = askable(load_pool(settings.mtg.question_pool), settings)
        async with open_tools(settings, _OPENED, pool, interceptor=run.interceptor, cache=run.cache) as tools:
            live = live_gallery(gallery, settings)
            search = run.interceptor.serve(
                "search_gallery", settings.binding("search_gallery"), lambda: GallerySearch(gallery, live.renewed)
            )
            yield GalleryServer({**tools, "search_gallery": search}, live)


async def serve_stdio(gallery: Gallery, settings: Settings, events: Events, *, trace: bool = True) -> None:
    """Serve the client that started this process, until it closes stdin. Raises as `open_server` does."""
    from mcp.server.stdio import stdio_server

    async with open_server(gallery, settings, events, trace=trace) as found, stdio_server() as (reads, writes):
        with redirect_stdout(sys.stderr):  # nothing but the protocol may stand on stdout
            await found.server.run(reads, writes, found.server.create_initialization_options())


async def serve_http(
    gallery: Gallery,
    settings: Settings,
    events: Events,
    listening: socket.socket,
    token: str,
    *,
    trace: bool = True,
) -> None:
    """Serve clients of this machine that know the token, until the process is told to end. Raises as `open_server`."""
    import uvicorn

    async with open_server(gallery, settings, events, trace=trace) as found:
        app = http_app(found, listening.getsockname()[1], token)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        await uvicorn.Server(config).serve(sockets=[listening])


def http_app(found: GalleryServer, port: int, token: str) -> "Starlette":
    """The ASGI application. Requests with another Host or Origin are refused, as of a page that a browser shows."""
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.transport_security import TransportSecuritySettings
    from starlette import applications
    from starlette.routing import Route

    hosts = [f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]")]
    security = TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts])
    manager = StreamableHTTPSessionManager(found.server, security_settings=security)
    inside = _Guarded(manager.handle_request, token)
    return applications.Starlette(routes=[Route(PATH, inside)], lifespan=lambda app: manager.run())


class _Guarded:
    """An ASGI application for those who know a bearer token."""

    def __init__(self, app: "ASGIApp", token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        from starlette.responses import PlainTextResponse

        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse("the token is missing or wrong", 401, {"WWW-Authenticate": "Bearer"})
        await refusal(scope, receive, send)
