"""`ctgi ui`: the page on which a person searches a gallery."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import Terminal
from ctgi.cli.options import Bind, Config, Gallery, Lam, NoTrace, Profile, Quiet, Top, Xi
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    import socket

    from ctgi.config import Settings
    from ctgi.retrieval.gallery import Gallery as OpenGallery
    from ctgi.ui.guard import Door

Captions = Annotated[
    list[Path] | None,
    typer.Option(
        "--captions",
        metavar="FILE",
        help="Captions to read and correct on the page; those of the first file also choose what is asked. Repeatable.",
    ),
]
Host = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", help="Address to listen on. All but this machine's own need a token, which is made for you."
    ),
]
Token = Annotated[
    str | None,
    typer.Option("--token", metavar="TEXT", help="Secret that opens the page (default: none on this machine)."),
]


def ui(
    gallery: Gallery = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="Port; 0 takes a free one.")] = 8321,
    token: Token = None,
    captions: Captions = None,
    opened: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    top: Top = None,
    lam: Lam = None,
    xi: Xi = None,
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    no_trace: NoTrace = False,
    quiet: Quiet = False,
) -> None:
    """Search on a page in the browser: see the ranking at once, answer questions, mark, shortlist, export.

    Needs the extra ui: pip install 'ctgi[ui]'

    Example: ctgi ui -g ./images --open
    """
    import asyncio
    from contextlib import suppress

    from ctgi.cli.arguments import tell_unused_config
    from ctgi.config import load_settings
    from ctgi.runs.index import open_named

    _expect_libraries()
    given = {"k": top, "lam": lam, "xi": xi}
    mti = {name: value for name, value in given.items() if value is not None}
    settings = load_settings(binds=bind, profile=profile, config=config, mti=mti)
    tell_unused_config([gallery], config, quiet=quiet)
    for file in captions or []:
        if not file.is_file():
            raise CtgiError(f"{file}: no such captions: give a file that ctgi caption wrote")
    events = Terminal(quiet)
    listening, door = _listen(host, port, token)
    found, _ = open_named(gallery, settings, events)
    with suppress(KeyboardInterrupt):  # Ctrl-C is how the page is closed
        asyncio.run(_serve(found, settings, events, tuple(captions or ()), door, listening, opened, not no_trace))


def _expect_libraries() -> None:
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "python_multipart")):
        raise CtgiError("ctgi ui needs some more libraries: pip install 'ctgi[ui]'")


def _listen(host: str, port: int, token: str | None) -> "tuple[socket.socket, Door]":
    """An open socket and who may use it."""
    import secrets
    import socket

    from ctgi.ui.guard import Door, is_loopback

    if token is not None and not token.strip():
        raise CtgiError("the token is empty: leave --token out, or give a secret")
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = f"cannot listen on {host}, port {port} ({error.strerror})"
        raise CtgiError(f"{reason}: choose others with --port or --host") from None
    return listening, Door(host, listening.getsockname()[1], token)


async def _serve(
    gallery: "OpenGallery", settings: "Settings", events: Terminal, captions: tuple[Path, ...], door: "Door",
    listening: "socket.socket", opened: bool, trace: bool,
) -> None:  # fmt: skip
    import webbrowser

    import uvicorn

    from ctgi.ui.app import create_app
    from ctgi.ui.guard import Guard
    from ctgi.ui.site import open_site

    async with open_site(gallery, settings, events, captions, trace=trace) as site:
        app = Guard(create_app(site), door)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, lifespan="off",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        events.warn(f"the page: {door.url}   (Ctrl-C closes it)")
        if opened:
            webbrowser.open(door.url)
        await uvicorn.Server(config).serve(sockets=[listening])
