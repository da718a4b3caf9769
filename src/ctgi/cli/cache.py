"""`ctgi cache`: the replies of models that are kept for later runs."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ctgi.cli.console import print_json
from ctgi.cli.options import AsJson, Config
from ctgi.cli.terminal import plain
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.config import CacheSettings
    from ctgi.reading import Json

cache = typer.Typer(
    help="Show or clear the cache of model replies, from which a repeated call is answered. To do without it, add "
    "--no-cache to a command, or set enabled = false under [cache] in ctgi.toml.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@cache.command("stats")
def stats(config: Config = None, as_json: AsJson = False) -> None:
    """Show the file, size and limit of the cache, and its replies by backend.

    Example: ctgi cache stats --json
    """
    from ctgi.tools.reply_store import within_store

    settings = _settings(config)
    file = _file(settings)
    found = within_store(file, lambda store: asdict(store.stats()))
    shown = {
        "file": str(file),
        "enabled": settings.enabled,
        "limit_bytes": settings.max_mb * 2**20,
        **(found or {"replies": 0, "bytes": 0, "backends": {}, "last_used": None}),
    }
    if as_json:
        print_json(shown)
        return
    _print_stats(shown)


@cache.command("clear")
def clear(config: Config = None, as_json: AsJson = False) -> None:
    """Delete all cached replies. Commands that are using the cache go on.

    Example: ctgi cache clear
    """
    from ctgi.tools.reply_store import within_store

    file = _file(_settings(config))
    removed = within_store(file, lambda store: store.clear()) or 0
    if as_json:
        print_json({"file": str(file), "removed": removed})
        return
    sys.stdout.write(f"{removed:,} replies removed\n")


def _settings(config: Path | None) -> "CacheSettings":
    from ctgi.config import load_settings

    return load_settings(config=config).cache


def _file(settings: "CacheSettings") -> Path:
    if settings.file is None:
        raise CtgiError("this user has no home folder, so there is no cache: set [cache] file, or XDG_CACHE_HOME")
    return settings.file


def _print_stats(shown: "Json") -> None:
    from datetime import datetime

    off = "" if shown["enabled"] else " (off)"
    try:
        used = "never" if shown["last_used"] is None else f"{datetime.fromtimestamp(shown['last_used']):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):  # a row that somebody has changed
        used = "at no date"
    mb = 2**20
    sys.stdout.write(
        f"{plain(shown['file'])}{off}\n{shown['replies']:,} replies, {shown['bytes'] / mb:.1f} of at most "
        f"{shown['limit_bytes'] / mb:,.0f} MiB, last used: {used}\n"
        + "".join(f"  {count:>9,}  {plain(name)}\n" for name, count in shown["backends"].items())
    )
