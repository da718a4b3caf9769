"""The command line: parses, calls, prints. What a command needs is imported when it runs."""

import logging
import signal
import sys
from pathlib import Path
from types import FrameType

import typer

from ctgi.cli.ablate import ablate
from ctgi.cli.arguments import expect_places
from ctgi.cli.cache import cache
from ctgi.cli.caption import caption
from ctgi.cli.captions import captions
from ctgi.cli.chat import chat
from ctgi.cli.checkpoints import import_, inspect
from ctgi.cli.compare import compare
from ctgi.cli.console import Notices, tell_bug
from ctgi.cli.crop import crop
from ctgi.cli.cross import cross
from ctgi.cli.data import data
from ctgi.cli.evaluate import evaluate
from ctgi.cli.export import export
from ctgi.cli.gallery import gallery
from ctgi.cli.graph import graph
from ctgi.cli.index import index
from ctgi.cli.mcp import mcp
from ctgi.cli.search import search
from ctgi.cli.serve import serve
from ctgi.cli.streams import OutputError, after, prepare_streams
from ctgi.cli.synth import synth
from ctgi.cli.threads import threads
from ctgi.cli.tools import tools
from ctgi.cli.trace import trace
from ctgi.cli.train import train
from ctgi.cli.ui import ui
from ctgi.errors import CtgiError, ToolError

INTERRUPTED = 130
_HELP = """Find people in a collection of images by describing them. No human annotation is needed.

    Examples:

      ctgi caption ./images

      ctgi search "woman with red bag" -g ./images --html result.html

    Without configuration, small embedded models answer, offline. --bind chooses others: ctgi tools list shows which.
    Documentation: README.md and the folder docs, first docs/caption.md and docs/search.md.
"""

app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(context_settings={"allow_extra_args": True})(ablate)
app.command()(caption)
app.command()(chat)
app.command()(compare)
app.command()(crop)
app.command()(cross)
app.command(context_settings={"allow_extra_args": True})(evaluate)
app.command()(export)
app.command()(graph)
app.command(name="import")(import_)
app.command()(index)
app.command()(inspect)
app.command()(mcp)
app.command(context_settings={"allow_extra_args": True})(search)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(serve)
app.command()(synth)
app.command()(train)
app.command()(ui)
app.add_typer(cache, name="cache")
app.add_typer(captions, name="captions")
app.add_typer(data, name="data")
app.add_typer(gallery, name="gallery")
app.add_typer(threads, name="threads")
app.add_typer(tools, name="tools")
app.add_typer(trace, name="trace")


def _version(wanted: bool) -> None:
    if wanted:
        from ctgi.version import __version__

        sys.stdout.write(f"ctgi {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """The `ctgi` command. Exit codes: 0 done, 1 some items failed, 2 usage or set-up, 130 interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.excepthook = tell_bug
    prepare_streams()
    logging.basicConfig(handlers=[Notices(quiet=not {"-q", "--quiet"}.isdisjoint(sys.argv))], level=logging.WARNING)
    try:
        _check_place()
        expect_places(sys.argv[1:])
        _run()
    except MemoryError:
        sys.stderr.write(
            "ctgi: out of memory: lower batch_size and workers, or free some memory, and run the same command again\n"
        )
        sys.exit(1)
    except (CtgiError, ToolError) as error:
        from ctgi.cli.console import notice

        notice(f"ctgi: {error}")
        sys.exit(2 if isinstance(error, CtgiError) else 1)
    except KeyboardInterrupt:
        sys.stderr.write("\nctgi: interrupted; finished work is on disk: run the same command to resume\n")
        sys.exit(INTERRUPTED)


def _run() -> None:
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OutputError as error:
        after(error)


def _check_place() -> None:
    try:
        Path.cwd()
    except OSError:
        raise CtgiError("the working directory no longer exists: cd to another one") from None


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
