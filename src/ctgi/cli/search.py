"""`ctgi search`: ranks a gallery by a description, refined by MTI or by the person."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctgi.cli.console import Terminal, notice, print_json
from ctgi.cli.options import AsJson, Bind, Config, NoCache, NoTrace, Profile, Quiet
from ctgi.cli.terminal import markup
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.config import Settings
    from ctgi.records import SearchRecord
    from ctgi.retrieval.gallery import Gallery, GalleryReport
    from ctgi.runs.search import Conversation

_TEXT_WIDTH = 120


def search(
    context: typer.Context,
    query: Annotated[str | None, typer.Argument(help="A description of the person.")] = None,
    gallery: Annotated[
        Path | None,
        typer.Option("--gallery", "-g", help="An image folder (indexed on first use) or what ctgi index wrote."),
    ] = None,
    length: Annotated[int, typer.Option("-k", min=1, help="Results to show.")] = 10,
    no_mti: Annotated[bool, typer.Option("--no-mti", help="Plain retrieval: no dialogue.")] = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Ask you, not the best match, what the query leaves out.")
    ] = False,
    thread: Annotated[
        str | None, typer.Option(help="With --interactive: name of the dialogue; an old name goes on where it stopped.")
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Candidates to verify (K; default 20).")] = None,
    lam: Annotated[
        float | None, typer.Option(min=0, max=1, help="Weight of the original query (lambda; default 0.8).")
    ] = None,
    xi: Annotated[float | None, typer.Option(help="Early-stop similarity (xi; default 0.85).")] = None,
    max_anchors: Annotated[int | None, typer.Option(min=1, help="Confirmed candidates to ask (default 1).")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds of dialogue (default 1).")] = None,
    fusion: Annotated[
        str | None, typer.Option(help="The anchor's 1 goes into the refined term or the final score.")
    ] = None,
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    no_cache: NoCache = False,
    html: Annotated[Path | None, typer.Option(help="Write a self-contained HTML page.")] = None,
    montage: Annotated[Path | None, typer.Option(help="Write a PNG or JPEG of the rankings before and after.")] = None,
    relevant: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="File names that show the right person, for --html and --montage."),
    ] = None,
    no_trace: NoTrace = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank a gallery by a description; a multimodal model confirms a match and fills in what the query left out (MTI).

    Example: ctgi search "woman with red bag" -g ./images --html result.html
    """
    import asyncio

    from ctgi.cli.arguments import expect_file_place, refuse_idle, tell_unused_config
    from ctgi.config import load_settings
    from ctgi.reports.montage import image_format

    if context.args:
        whole = " ".join([query or "", *context.args])
        raise CtgiError(f'put the description in quotes: ctgi search "{whole}"')
    expect_file_place("--html", html)
    expect_file_place("--montage", montage)
    if montage:
        image_format(montage)
    if not (html or montage):
        refuse_idle({"--relevant": relevant}, "without --html or --montage")
    given = {"k": top, "lam": lam, "xi": xi, "max_anchors": max_anchors, "rounds": rounds, "fusion": fusion}
    mti = {name: value for name, value in given.items() if value is not None}
    cache = {"enabled": False} if no_cache else {}
    settings = load_settings(binds=bind, profile=profile, config=config, mti=mti, cache=cache)
    if no_mti:
        told = {"--interactive": interactive, "--thread": thread, **_options(given)}
        refuse_idle(told, "with --no-mti, which has no dialogue: leave --no-mti out")
    interactive = interactive or (settings.binding("answer_question").endpoint == "human" and not no_mti)
    if interactive:
        refuse_idle({"--xi": xi, "--max-anchors": max_anchors, "--fusion": fusion}, "where you answer, not an anchor")
    else:
        refuse_idle({"--thread": thread}, "without --interactive")
    tell_unused_config([gallery], config, quiet=quiet)
    if query is None and not (interactive and thread):
        raise CtgiError('no query: describe the person, as in ctgi search "woman with red bag"')
    if query is not None and not query.strip():
        raise CtgiError('the query is empty: describe the person, as in ctgi search "woman with red bag"')
    from ctgi.runs.search import search as run

    events = Terminal(quiet)
    opened, made = _open(gallery, settings, events)
    again = chosen(bind, profile, config)
    conversation = _conversation(opened, thread, (), events, again) if interactive else None
    result = asyncio.run(
        run(
            opened,
            query,
            length,
            settings,
            events,
            mti=not no_mti,
            conversation=conversation,
            trace=not no_trace,
            made=made,
        )
    )
    _write(result, html, montage, relevant, quiet)
    _print_result(result, as_json)
    if result.not_indexed or any(asked.error for asked in result.verified):
        raise typer.Exit(1)


def _options(mti: Mapping[str, object]) -> dict[str, object]:
    names = {"k": "--top", "max_anchors": "--max-anchors"}
    return {names.get(name, f"--{name}"): value for name, value in mti.items()}


def _open(path: Path | None, settings: "Settings", events: "Terminal") -> tuple["Gallery", "GalleryReport | None"]:
    """The gallery, and what was done if it had to be made first."""
    from ctgi.retrieval.encoder import load_encoder
    from ctgi.runs.index import open_or_build
    from ctgi.runs.last_gallery import last, remember

    if path is None:
        path = settings.gallery or last()
        events.tell(f"gallery: {path}")
    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    gallery, made = open_or_build(path, encoder, settings, events)
    remember(gallery.name)
    return gallery, made


def chosen(bind: list[str] | None, profile: str | None, config: Path | None) -> list[str]:
    """The options that choose the same models and settings again."""
    options = [("--bind", spec) for spec in bind or ()]
    options += [(name, str(value)) for name, value in (("--profile", profile), ("--config", config)) if value]
    return [word for option in options for word in option]


def _conversation(
    gallery: "Gallery", thread: str | None, answers: Sequence[str], events: "Terminal", again: list[str]
) -> "Conversation":
    """A dialogue with the person: first what is given, then at the terminal.

    again: options for the command that goes on with it.
    """
    import shlex
    import uuid

    from ctgi.graphs.mti import STOP
    from ctgi.runs.search import Conversation
    from ctgi.tools.backends.human import ask_user

    name, given = thread or uuid.uuid4().hex[:8], iter(answers)
    later = shlex.join(["ctgi", "search", "--interactive", "--thread", name, "-g", str(gallery.name), *again])
    hints = iter([f"to go on later: {later}"])  # told with the first question, when there is something to go on with

    async def ask(question: str, left: int) -> str:
        for hint in hints:
            events.tell(hint)
        for answer in given:
            return answer
        return (await ask_user(f"{question} ({left} more; empty: skip, {STOP}: no more)")).text

    return Conversation(name, ask)


def go_on(
    gallery: Path | None,
    thread: str,
    settings: "Settings",
    answers: Sequence[str],
    again: list[str],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Go on with the latest checkpoint of a thread, with these answers before those typed, and print the result.

    again: see `chosen`.
    """
    import asyncio

    from ctgi.runs.search import search

    events = Terminal(quiet)
    opened, made = _open(gallery, settings, events)
    conversation = _conversation(opened, thread, answers, events, again)
    result = asyncio.run(search(opened, None, 1, settings, events, conversation=conversation, made=made))
    _print_result(result, as_json)
    if result.not_indexed:
        raise typer.Exit(1)


def _write(
    result: "SearchRecord", html: Path | None, montage: Path | None, relevant: list[str] | None, quiet: bool
) -> None:
    from fnmatch import fnmatch

    def is_relevant(path: str) -> bool:
        return any(fnmatch(Path(path).name, pattern) for pattern in relevant or [])

    truth = is_relevant if relevant else None
    if html:
        from ctgi.reports.search_page import write_html

        write_html([result], html, relevant=truth)
        notice(f"wrote {html}", quiet=quiet)
    if montage:
        from ctgi.reports.montage import write_montage

        write_montage(result, montage, relevant=truth)
        notice(f"wrote {montage}", quiet=quiet)
    if result.truncated_tokens:
        notice(f"{result.truncated_tokens} tokens of the query were beyond the encoder's length and were not read")
    if result.not_english:
        notice(
            f"{result.not_english} of {len(result.dialogue)} answers are not English, which CLIP's tokenizer "
            "reads badly: bind a model that answers in English"
        )
    for asked in result.verified:
        if asked.error:
            notice(f"not verified: {asked.error}")


def _print_result(result: "SearchRecord", as_json: bool) -> None:
    if as_json:
        print_json(result.to_json())
        return
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _TEXT_WIDTH)
    for line in _summary(result):
        console.print(line, highlight=False)
    console.print(_table(result))


def _summary(result: "SearchRecord") -> list[str]:
    lines = [f"query: {markup(result.query)}"]
    for turn in result.dialogue:
        fate = "" if turn.kept else f"  (dropped: {markup(str(turn.reason))})"
        lines.append(f"  {markup(turn.question)} {markup(turn.answer)}{fate}")
    if result.refined_query:
        lines.append(f"refined query: {markup(result.refined_query)}")
    for anchor in result.anchors:
        sure = "" if anchor.probability is None else f", P(yes) {anchor.probability:.2f}"
        kind = "weak anchor" if anchor.weak else "anchor"
        lines.append(f"{kind}: {markup(anchor.path)} (rank {anchor.rank}{sure})")
    if result.overruled:
        first = result.results[0]
        lines.append(
            f"rank 1 is the anchor, rank {first.rank_before} of plain retrieval, whose own best is "
            f"{markup(result.overruled)}"
        )
    if result.verified and not result.anchors:
        lines.append(f"no anchor: none of {len(result.verified)} candidates was confirmed; the ranking is unchanged")
    return lines


def _table(result: "SearchRecord") -> Any:
    from rich.table import Table

    anchors = {anchor.sha256 for anchor in result.anchors}
    table = Table("rank", "score", "before", "score before", "image", box=None)
    for found in result.results:
        before = "-" if found.rank_before is None else str(found.rank_before)
        mark = " (anchor)" if found.sha256 in anchors else ""
        table.add_row(
            str(found.rank),
            f"{found.score:.4f}",
            before,
            f"{found.score_before:.4f}",
            markup(found.path) + mark,
        )
    return table
