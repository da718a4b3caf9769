"""`ctgi tools`: which backend serves which tool, and what it can do."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from ctgi.cli.console import Terminal, notice, print_json, print_table
from ctgi.cli.options import AsJson, Bind, Config, Profile

if TYPE_CHECKING:
    from ctgi.agents.check import ToolCheck

tools = typer.Typer(help="Show and check the backends of all tools.", no_args_is_help=True, rich_markup_mode=None)


@tools.command("list")
def list_tools(bind: Bind = None, profile: Profile = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show the tools, the backend of each, and where that backend is.

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
    """Check every tool with a small real request: whether it works, how fast, and what its backend can do.

    The exit code is 1 if a tool does not work.

    Example: ctgi tools check --bind images=vllm:Qwen/Qwen2-VL-7B-Instruct
    """
    import asyncio
    from dataclasses import asdict, replace

    from ctgi.agents.check import check
    from ctgi.config import load_settings
    from ctgi.runs.beforehand import announce
    from ctgi.tools.specs import TOOLS

    settings = load_settings(binds=bind, profile=profile, config=config)
    announce(settings, TOOLS, Terminal(quiet=False))
    found = asyncio.run(check(settings))
    short = [one if one.works else replace(one, said="failed") for one in found]
    rows = [asdict(one) for one in (found if as_json else short)]
    _print_rows(rows if as_json else [{name: row[name] for name in row if name != "note"} for row in rows], as_json)
    failed = [one for one in found if not one.works]
    if not as_json:
        _tell_failures(failed)
        for one in found:
            if one.note:
                notice(f"{one.tool}: {one.note}")
    if failed:
        raise typer.Exit(1)


def _tell_failures(failed: "list[ToolCheck]") -> None:
    """Each reason once, with the tools that it concerns."""
    for reason in dict.fromkeys(one.said for one in failed):
        tools = ", ".join(one.tool for one in failed if one.said == reason)
        notice(f"{tools}: {reason}")


def _print_rows(rows: Sequence[Mapping[str, object]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    print_table([{name: _cell(value) for name, value in row.items()} for row in rows])


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}"
    return "-" if value is None else str(value)
