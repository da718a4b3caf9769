"""`ctgi threads`: interactive searches that were begun, what was said in them, and going back to any moment."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctgi.cli.console import Terminal, print_json, print_table
from ctgi.cli.options import AsJson, Bind, Config, Profile, Quiet
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.config import Settings
    from ctgi.graphs.threads import Checkpoint, Thread

threads = typer.Typer(
    help="List and show interactive searches, and go back in one to answer differently.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="THREAD", help="Name of the search, from ctgi threads list.")]
Gallery = Annotated[
    Path | None,
    typer.Option(
        "--gallery",
        "-g",
        metavar="FOLDER",
        help="Image folder or gallery that was searched (default: as for ctgi search).",
        show_default=False,
    ),
]

Number = Annotated[int, typer.Argument(metavar="CHECKPOINT", help="Number of the checkpoint, from ctgi threads show.")]
Answers = Annotated[
    list[str] | None,
    typer.Option("--answer", "-a", metavar="TEXT", help="Answer to the next question, or stop. Repeatable."),
]


@threads.command("list")
def list_(gallery: Gallery = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the interactive searches of a gallery, latest first.

    Example: ctgi threads list -g ./images
    """
    import asyncio

    from ctgi.config import load_settings
    from ctgi.graphs.threads import list_threads

    found = asyncio.run(list_threads(_file(gallery, load_settings(config=config))))
    _print(found, as_json, _thread_row)


@threads.command("show")
def show(name: Name, gallery: Gallery = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show the checkpoints of a search: questions, answers, times, and the next step.

    Example: ctgi threads show 3f9a12c4 -g ./images
    """
    import asyncio

    from ctgi.config import load_settings
    from ctgi.graphs.threads import history

    _print(asyncio.run(history(_file(gallery, load_settings(config=config)), name)), as_json, _checkpoint_row)


@threads.command("fork")
def fork(
    name: Name,
    checkpoint: Number,
    answer: Answers = None,
    gallery: Gallery = None,
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Go back to a checkpoint and continue from there with other answers. The first branch is kept.

    From there on, tools are called again, by the backends bound now. Questions without --answer are asked here.

    Example: ctgi threads fork 3f9a12c4 5 --answer "blue jeans" --answer stop -g ./images
    """
    import asyncio

    from ctgi.cli.conversation import chosen, converse
    from ctgi.cli.search_table import print_result
    from ctgi.config import load_settings
    from ctgi.graphs import threads as searches
    from ctgi.runs.index import open_named
    from ctgi.runs.last_gallery import named_gallery
    from ctgi.runs.search import search

    settings, events = load_settings(binds=bind, profile=profile, config=config), Terminal(quiet)
    path = named_gallery(gallery, settings, Terminal(quiet=False))
    made = asyncio.run(searches.fork(_file(path, settings), name, checkpoint))
    events.tell(f"checkpoint {made.number} is a copy of {checkpoint}: continuing from there")
    opened, indexed = open_named(path, settings, events)
    conversation = converse(opened, name, answer or [], events, chosen(bind, profile, config))
    result = asyncio.run(search(opened, None, 1, settings, events, conversation=conversation, made=indexed))
    print_result(result, as_json)
    if result.not_indexed:
        raise typer.Exit(1)


def _file(path: Path | None, settings: "Settings") -> Path:
    """The threads of the gallery given, else of the one that a search would take, which is then told."""
    from ctgi.graphs.threads import FILE
    from ctgi.retrieval.gallery import kind_of
    from ctgi.runs.last_gallery import named_gallery

    wanted = named_gallery(path, settings, Terminal(quiet=False))
    folder = kind_of(wanted).home_of(wanted)
    if folder is None:
        raise CtgiError(f"{wanted}: no gallery here: give the searched one with -g FOLDER")
    return folder / FILE


def _print(found: list[Any], as_json: bool, row: Any) -> None:
    from dataclasses import asdict

    if as_json:
        print_json([asdict(one) for one in found])
        return
    if found:
        print_table([row(one) for one in found])
    else:
        sys.stdout.write("no interactive searches yet\n")


def _thread_row(thread: "Thread") -> dict[str, str]:
    state = "finished" if thread.finished else f"asks: {thread.asks}" if thread.asks else "stopped"
    return {
        "thread": thread.name,
        "query": thread.query,
        "answers": str(len(thread.answers)),
        "checkpoints": str(thread.checkpoints),
        "last": thread.last[:19],
        "state": state,
    }


def _checkpoint_row(checkpoint: "Checkpoint") -> dict[str, str]:
    said = f"{checkpoint.asks} -> {checkpoint.answered or '...'}" if checkpoint.asks else ""
    return {
        "checkpoint": str(checkpoint.number),
        "after": "" if checkpoint.after is None else str(checkpoint.after),
        "by": checkpoint.source,
        "step": str(checkpoint.step),
        "next": checkpoint.node or "end",
        "at": checkpoint.at[:19],
        "asked and answered": said or (checkpoint.refined_query or ""),
    }
