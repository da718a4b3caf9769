"""`ctgi chat`: a conversation with an agent that searches."""

from typing import Annotated

import typer

from ctgi.cli.console import Terminal
from ctgi.cli.options import AsJson, Bind, Config, Gallery, NoCache, NoTrace, Profile, Quiet


def chat(
    gallery: Gallery = None,
    length: Annotated[int, typer.Option("-k", metavar="N", min=1, help="Number of results.")] = 10,
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    no_cache: NoCache = False,
    no_trace: NoTrace = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Search in a conversation: a model that calls tools searches, looks closer, and asks you. Needs ctgi[agent].

    An empty line ends it. --json prints the last search.

    Example: ctgi chat -g ./images --bind agent=openai:gpt-4o
    """
    import asyncio
    import sys

    from ctgi.cli.arguments import tell_unused_config
    from ctgi.cli.conversation import by_agent
    from ctgi.config import load_settings

    cache = {"enabled": False} if no_cache else {}
    settings = load_settings(binds=bind, profile=profile, config=config, cache=cache)
    settings.binding("agent")  # before anything is indexed
    tell_unused_config([gallery], config, quiet=quiet)
    from ctgi.cli.search_table import print_result
    from ctgi.runs.index import open_named
    from ctgi.runs.search import search

    events = Terminal(quiet)
    opened, made = open_named(gallery, settings, events)
    sys.stderr.write("Whom do you look for?\n> ")
    sys.stderr.flush()
    first = sys.stdin.readline().strip()
    if not first:
        return
    agent = by_agent(asking=True, goes_on=True, as_json=as_json)
    trace = not no_trace
    result = asyncio.run(search(opened, first, length, settings, events, agent=agent, trace=trace, made=made))
    if as_json:
        print_result(result, as_json)
    if result.not_indexed or result.stopped or any(asked.error for asked in result.verified):
        raise typer.Exit(1)
