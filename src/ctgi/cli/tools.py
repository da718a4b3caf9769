"""`ctgi tools`: which backend serves which tool, and what it can do."""

import sys
from typing import Any

import typer

from ctgi.cli.console import notice, print_json
from ctgi.cli.options import AsJson, Bind, Config, Profile
from ctgi.cli.terminal import markup

tools = typer.Typer(help="Show and try the backends behind the tools.", no_args_is_help=True, rich_markup_mode=None)


@tools.command("list")
def list_tools(bind: Bind = None, profile: Profile = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show the tools, the backend each is bound to, and where that is.

    Example: ctgi tools list --profile paper
    """
    from ctgi.agents.assemble import where
    from ctgi.config import load_settings
    from ctgi.tools.specs import TOOLS

    settings = load_settings(binds=bind, profile=profile, config=config)
    rows = [
        {"tool": name, "backend": str(settings.binding(name)), "endpoint": where(settings.binding(name), settings)}
        for name in TOOLS
    ]
    _print_rows(rows, as_json)


@tools.command("check")
def check_tools(bind: Bind = None, profile: Profile = None, config: Config = None, as_json: AsJson = False) -> None:
    """Call every tool with one small real request: does it answer, how fast, and what can its backend do.

    Exit code 1 when a tool does not work.

    Example: ctgi tools check --bind images=vllm:Qwen/Qwen2-VL-7B-Instruct
    """
    import asyncio
    from dataclasses import asdict

    from ctgi.agents.check import check
    from ctgi.cli.senders import tell_senders
    from ctgi.config import load_settings
    from ctgi.tools.specs import TOOLS

    settings = load_settings(binds=bind, profile=profile, config=config)
    tell_senders(settings, TOOLS, quiet=False)
    rows = [asdict(result) for result in asyncio.run(check(settings))]
    _print_rows(rows if as_json else [row | _short(row) for row in rows], as_json)
    failed = [row for row in rows if not row["works"]]
    if not as_json:
        _tell_failures(failed)
    if failed:
        raise typer.Exit(1)


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {} if row["works"] else {"said": "failed"}


def _tell_failures(failed: list[dict[str, Any]]) -> None:
    """Each reason once, with the tools that it concerns."""
    for reason in dict.fromkeys(row["said"] for row in failed):
        tools = ", ".join(row["tool"] for row in failed if row["said"] == reason)
        notice(f"{tools}: {reason}")


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], box=None)
    for row in rows:
        table.add_row(*(markup(_cell(value)) for value in row.values()), style=None)
    Console(width=None if sys.stdout.isatty() else 240).print(table, highlight=False)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}"
    return "-" if value is None else str(value)
