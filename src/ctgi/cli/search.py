"""`ctgi search`: ranks a gallery by a description, refined by MTI or by the person."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import Terminal
from ctgi.cli.options import AsJson, Bind, Config, Crop, Gallery, Lam, NoCache, NoTrace, Profile, Quiet, Top, Xi
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.config import Settings
    from ctgi.records import SearchRecord

Query = Annotated[
    str | None,
    typer.Argument(metavar="QUERY", help="Description of the person, in quotes.  [required without --thread]"),
]
Length = Annotated[int, typer.Option("-k", metavar="N", min=1, help="Number of results.")]
NoMti = Annotated[bool, typer.Option("--no-mti", help="Search without a dialogue (plain retrieval).")]
Interactive = Annotated[
    bool, typer.Option("--interactive", "-i", help="Ask you, not a model, what the query leaves out.")
]
Agent = Annotated[
    bool, typer.Option("--agent", help="Let the model bound to agent decide what to look at, ask and search (no MTI).")
]
Thread = Annotated[
    str | None,
    typer.Option(
        "--thread",
        metavar="NAME",
        help="With --interactive: name of the dialogue; the name of an earlier one resumes it (default: a new name).",
    ),
]
MaxAnchors = Annotated[
    int | None,
    typer.Option("--max-anchors", metavar="N", min=1, help="Confirmed candidates to ask together (default: 1)."),
]
Rounds = Annotated[int | None, typer.Option("--rounds", metavar="N", min=1, help="Rounds of dialogue (default: 1).")]
Fusion = Annotated[
    str | None,
    typer.Option(
        "--fusion",
        metavar="MODE",
        help="Which score of the anchor counts as 1: refined or final (default: refined).",
    ),
]
Captions = Annotated[
    Path | None,
    typer.Option(
        "--captions",
        metavar="FILE",
        help="Captions of the images (ctgi caption) to search as well; what tells the images apart is asked first.",
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help="Rank only images for which this holds, such as \"camera = 'north' and time >= '2026-11-01'\".",
    ),
]
Group = Annotated[
    str | None,
    typer.Option("--group", metavar="COLUMN", help="One result for each value of a column, such as track."),
]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Page to write, with images inside.")]
Montage = Annotated[
    Path | None,
    typer.Option("--montage", metavar="FILE", help="Picture (.png, .jpg) of the rankings before and after to write."),
]
Relevant = Annotated[
    list[str] | None,
    typer.Option(
        "--relevant",
        metavar="GLOB",
        help="File names that show the right person, marked in --html and --montage. Repeatable.",
    ),
]


def search(
    context: typer.Context,
    query: Query = None,
    gallery: Gallery = None,
    crop: Crop = False,
    captions: Captions = None,
    where: Where = None,
    group: Group = None,
    length: Length = 10,
    no_mti: NoMti = False,
    agent: Agent = False,
    interactive: Interactive = False,
    thread: Thread = None,
    top: Top = None,
    lam: Lam = None,
    xi: Xi = None,
    max_anchors: MaxAnchors = None,
    rounds: Rounds = None,
    fusion: Fusion = None,
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    no_cache: NoCache = False,
    html: Html = None,
    montage: Montage = None,
    relevant: Relevant = None,
    no_trace: NoTrace = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find a person by a description. A multimodal model confirms a match and adds what the query left out (MTI).

    Example: ctgi search "woman with red bag" -g ./images --html result.html
    """
    import asyncio

    from ctgi.cli.arguments import tell_unused_config

    _check_query(context, query, thread)
    _check_pictures(html, montage, relevant)
    given = {"k": top, "lam": lam, "xi": xi, "max_anchors": max_anchors, "rounds": rounds, "fusion": fusion}
    settings = _settings(given, no_cache, bind, profile, config)
    if agent:
        _refuse_mti(no_mti, thread, given)
    asks_you = not agent and _asks_you(settings, no_mti, interactive, thread, given)
    tell_unused_config([gallery], config, quiet=quiet)
    from ctgi.cli.conversation import by_agent, chosen, converse
    from ctgi.cli.search_table import print_result
    from ctgi.runs.columns import narrowed
    from ctgi.runs.index import open_named
    from ctgi.runs.search import search as run

    events = Terminal(quiet)
    if crop:
        gallery = _cropped(gallery, bind, profile, config, quiet=quiet)
    opened, made = open_named(gallery, settings, events)
    stored = None
    if captions:
        from ctgi.runs.captioned import captioned

        both = captioned(opened, captions, events)
        opened, stored = both.gallery, both.read
    opened = narrowed(opened, where, group, events)
    conversation = converse(opened, thread, (), events, chosen(bind, profile, config)) if asks_you else None
    work = run(
        opened, query, length, settings, events,
        mti=not no_mti, conversation=conversation, agent=by_agent(asking=interactive) if agent else None,
        trace=not no_trace, made=made, stored=stored,
    )  # fmt: skip
    result = asyncio.run(work)
    _write_pictures(result, html, montage, relevant, events)
    print_result(result, as_json)
    if result.not_indexed or result.stopped or any(asked.error for asked in result.verified):
        raise typer.Exit(1)


def _cropped(
    gallery: Path | None, bind: list[str] | None, profile: str | None, config: Path | None, *, quiet: bool
) -> Path:
    from ctgi.cli.crop import cropped

    if gallery is None:
        raise CtgiError("--crop: nothing to cut people out of: name a video, a photograph or a folder with -g")
    return Path(cropped([str(gallery)], bind, profile, config, quiet=quiet))


def _settings(
    given: Mapping[str, object], no_cache: bool, bind: list[str] | None, profile: str | None, config: Path | None
) -> "Settings":
    from ctgi.config import load_settings

    mti = {name: one for name, one in given.items() if one is not None}
    cache = {"enabled": False} if no_cache else {}
    return load_settings(binds=bind, profile=profile, config=config, mti=mti, cache=cache)


def _check_query(context: typer.Context, query: str | None, thread: str | None) -> None:
    if context.args:
        whole = " ".join([query or "", *context.args])
        raise CtgiError(f'put the description in quotes: ctgi search "{whole}"')
    if query is None and not thread:
        raise CtgiError('no query: describe the person, as in ctgi search "woman with red bag"')
    if query is not None and not query.strip():
        raise CtgiError('the query is empty: describe the person, as in ctgi search "woman with red bag"')


def _check_pictures(html: Path | None, montage: Path | None, relevant: list[str] | None) -> None:
    from ctgi.cli.arguments import expect_file_place, refuse_idle
    from ctgi.reports.montage import image_format

    expect_file_place("--html", html)
    expect_file_place("--montage", montage)
    if montage:
        image_format(montage)
    if not (html or montage):
        refuse_idle({"--relevant": relevant}, "without --html or --montage")


def _refuse_mti(no_mti: bool, thread: str | None, given: Mapping[str, object]) -> None:
    from ctgi.cli.arguments import refuse_idle

    refuse_idle({"--no-mti": no_mti, "--thread": thread, **_options(given)}, "with --agent, which decides for itself")


def _options(given: Mapping[str, object]) -> dict[str, object]:
    """The numbers of MTI by option."""
    names = {"k": "--top", "max_anchors": "--max-anchors"}
    return {names.get(name, f"--{name}"): value for name, value in given.items()}


def _asks_you(
    settings: "Settings", no_mti: bool, interactive: bool, thread: str | None, given: Mapping[str, object]
) -> bool:
    """Whether the person answers; options that would then change nothing are refused."""
    from ctgi.cli.arguments import refuse_idle

    options = _options(given)
    if no_mti:
        told = {"--interactive": interactive, "--thread": thread, **options}
        refuse_idle(told, "with --no-mti, which has no dialogue: leave --no-mti out")
    asks_you = interactive or (settings.binding("answer_question").endpoint == "human" and not no_mti)
    if asks_you:
        without = {name: options[name] for name in ("--xi", "--max-anchors", "--fusion")}
        refuse_idle(without, "where you answer, not an anchor")
    else:
        refuse_idle({"--thread": thread}, "without --interactive")
    return asks_you


def _write_pictures(
    result: "SearchRecord", html: Path | None, montage: Path | None, relevant: list[str] | None, events: Terminal
) -> None:
    from ctgi.reports.rankings import named

    truth = named(relevant) if relevant else None
    if html:
        from ctgi.reports.search_page import write_html

        write_html([result], html, relevant=truth)
        events.tell(f"wrote {html}")
    if montage:
        from ctgi.reports.montage import write_montage

        write_montage(result, montage, relevant=truth)
        events.tell(f"wrote {montage}")
