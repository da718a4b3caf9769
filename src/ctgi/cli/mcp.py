"""`ctgi mcp`: the tools and a gallery for programs that speak the Model Context Protocol."""

from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.arguments import refuse_idle
from ctgi.cli.console import Terminal, notice
from ctgi.cli.options import Bind, Config, Gallery, NoTrace, Profile, Quiet
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    import socket

_PORT = 8322


def mcp(
    gallery: Gallery = None,
    http: Annotated[
        bool, typer.Option("--http", help="Listen on this machine (streamable HTTP), instead of stdin and stdout.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, max=65535, help="With --http: port; 0 takes a free one (default: 8322)."),
    ] = None,
    token: Annotated[
        str | None, typer.Option(metavar="TEXT", help="With --http: secret that clients send (default: a new one).")
    ] = None,
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    no_trace: NoTrace = False,
    quiet: Quiet = False,
) -> None:
    """Give the nine tools and the images of a gallery to an MCP client, such as a desktop assistant.

    Needs the extra mcp: pip install 'ctgi[mcp]'

    Example: ctgi mcp -g ./images
    """
    import asyncio

    from ctgi.cli.arguments import tell_unused_config
    from ctgi.config import load_settings

    if not http:
        refuse_idle({"--port": port, "--token": token}, "without --http")
    _expect_library()
    settings = load_settings(binds=bind, profile=profile, config=config)
    tell_unused_config([gallery], config, quiet=quiet)
    from ctgi.mcp.run import serve_http, serve_stdio
    from ctgi.runs.index import open_named

    events = Terminal(quiet)
    listening, secret = _listen(port, token) if http else (None, "")
    opened, _ = open_named(gallery, settings, events)
    if listening is None:
        asyncio.run(serve_stdio(opened, settings, events, trace=not no_trace))
        return
    notice(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp with the header Authorization: Bearer {secret}")
    asyncio.run(serve_http(opened, settings, events, listening, secret, trace=not no_trace))


def _expect_library() -> None:
    from importlib.util import find_spec

    if find_spec("mcp") is None:
        raise CtgiError("ctgi mcp needs one more library: pip install 'ctgi[mcp]'")


def _listen(port: int | None, token: str | None) -> "tuple[socket.socket, str]":
    """An open socket of this machine, and the secret."""
    import secrets
    import socket

    if token is not None and not (token.strip() and token.isascii() and token.isprintable()):
        raise CtgiError("--token: expected a secret in printable ASCII characters, or leave it out")
    number = _PORT if port is None else port
    try:
        listening = socket.create_server(("127.0.0.1", number))
    except OSError as error:
        raise CtgiError(f"cannot listen on port {number} ({error.strerror}): choose another with --port") from None
    return listening, token or secrets.token_urlsafe(24)
