"""One recorded item through its graph again; what differs between captioning, searching and evaluating."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.memory import InMemorySaver

from ctgi.config import Settings
from ctgi.errors import CtgiError, ToolError
from ctgi.graphs.contexts import open_mtg, open_mti, serve_gallery
from ctgi.graphs.mtg import TOOLS as MTG_TOOLS
from ctgi.graphs.mtg import MtgContext, build_mtg
from ctgi.graphs.mti import MtiContext, build_mti
from ctgi.graphs.thread_data import PlainData
from ctgi.reading import Json
from ctgi.records import CaptionRecord, SearchRecord
from ctgi.retrieval.images import ImageRef
from ctgi.runs.caption import dialogue
from ctgi.runs.interactions import open_evaluation
from ctgi.runs.query import converse_in, search, search_plain
from ctgi.tools.backends.human import ask_user
from ctgi.tools.traces.format import Item
from ctgi.tools.traces.interceptor import Interceptor
from ctgi.tools.traces.player import MissError, Replay
from ctgi.tools.traces.reader import Trace
from ctgi.tools.types import Ranking, Refinement

if TYPE_CHECKING:
    from ctgi.retrieval.gallery import Gallery

Work = Callable[[Item], Awaitable[CaptionRecord | SearchRecord]]


@dataclass(frozen=True)
class Replayed:
    """What an item came to this time."""

    output: Json | None
    """None where it failed, and for an image whose caption is a copy: that is made when its original is there."""
    error: str | None
    served: int
    live: int
    unused: int
    """Recorded calls that were not asked for."""
    cached: int
    """Recorded calls that a cache had answered when they were recorded."""


async def replay_one(trace: Trace, replay: Replay, work: Work, number: int) -> Replayed:
    """Run one recorded item again."""
    recorded = trace.done(number)
    output, error = None, None
    with replay.at(number) as pending:
        if recorded and recorded.error and not pending.calls:  # such as an image that could not even be read
            error = recorded.error.message
        elif not (recorded and recorded.output and "same_as" in recorded.output):
            try:
                output = (await work(trace.items[number].item)).to_json()
            except (ToolError, MissError) as failure:
                error = str(failure)
    cached = sum(call.src == "cache" for call in pending.calls)
    return Replayed(output, error, pending.served, pending.live, len(pending.unused), cached)


def graph_nodes(graph: str) -> list[str]:
    """The nodes of a graph by its name in a trace."""
    builders: dict[str, Callable[[], Any]] = {"mtg": build_mtg, "mti": build_mti}
    return [name for name in builders[graph]().nodes if not name.startswith("__")] if graph in builders else []


@asynccontextmanager
async def open_work(
    trace: Trace, settings: Settings, interceptor: Interceptor, gallery: Path | None
) -> AsyncIterator[Work]:
    """What runs one item of this trace again; it gives a captions.jsonl record or a search.

    Raises:
        CtgiError: no graph of this ctgi makes such items.
    """
    header = trace.header
    if header.graph == "mtg":
        async with open_mtg(settings, interceptor) as captioning:
            yield _captioning(captioning, trace, settings)
    elif header.graph == "plain":
        tool = serve_gallery(settings, lambda: _open_gallery(trace, settings, gallery), interceptor)
        yield lambda item: search_plain(tool, *_asked(item), interceptor)
    elif header.graph == "mti" and header.command == "evaluate":
        variant = str(header.input.get("variant"))
        async with open_evaluation(settings, _not_searched, None, variant, interceptor) as context:
            yield _searching(context)
    elif header.graph == "mti":
        interactive = header.input.get("interactive") is True
        opened = open_mti(
            settings, lambda: _open_gallery(trace, settings, gallery), interactive=interactive, interceptor=interceptor
        )
        async with opened as context:
            yield _conversing(context) if interactive else _searching(context)
    else:
        raise CtgiError(f"run {header.run} is of the graph {header.graph!r}, which this ctgi does not have")


def _captioning(context: MtgContext, trace: Trace, settings: Settings) -> Work:
    graph = build_mtg()
    bindings = {name: str(settings.binding(name)) for name in MTG_TOOLS}

    async def work(item: Item) -> CaptionRecord:
        image = trace.values.images(item.input.get("image"))
        if not isinstance(image, ImageRef):
            raise MissError(f"item {item.item} names no image: the line was edited")
        return await dialogue(graph, context, image, bindings)

    return work


def _searching(context: MtiContext) -> Work:
    async def work(item: Item) -> SearchRecord:
        query, length = _asked(item)
        label = {name: value for name, value in item.input.items() if name not in ("query", "length", "xi")}
        if "user" in label:
            raise MissError(f"item {item.item} is an interview of {label['user']}, which only ctgi evaluate makes")
        mti = context.settings.model_copy(update={"xi": float(item.input.get("xi", context.settings.xi))})
        return await search(replace(context, settings=mti), query, length, label=label)

    return work


def _conversing(context: MtiContext) -> Work:
    async def ask(question: str, left: int) -> str:
        return (await ask_user(f"{question} ({left} more)")).text

    async def work(item: Item) -> SearchRecord:
        if item.input.get("resumed"):
            raise MissError("it goes on with a dialogue of an earlier run: replay that one")
        saver = InMemorySaver(serde=PlainData())
        return await converse_in(saver, context, *_asked(item), thread=str(item.item), ask=ask)

    return work


def _asked(item: Item) -> tuple[str, int]:
    query, length = item.input.get("query"), item.input.get("length")
    if not (isinstance(query, str) and isinstance(length, int)):
        raise MissError(f"item {item.item} names no query and length: the line was edited")
    return query, length


async def _not_searched(query: str, k: int, *, refinement: Refinement | None = None) -> Ranking:
    raise MissError(
        "this search was not recorded, and the data set that it would go over is not part of the trace: run "
        "ctgi evaluate with the new binding instead, and compare the two with ctgi trace diff"
    )


def _open_gallery(trace: Trace, settings: Settings, path: Path | None) -> "Gallery":
    """The gallery of the recorded search.

    Raises:
        CtgiError: it is gone, or another one lies there now.
    """
    from ctgi.retrieval.encoder import load_encoder
    from ctgi.retrieval.gallery import open_gallery

    where = path or Path(trace.values.real(str(trace.header.input.get("gallery"))))
    gallery = open_gallery(where, load_encoder(str(settings.binding("search_gallery")), settings.retriever))
    recorded = trace.header.input.get("images")
    if gallery.identity != recorded:
        count = recorded.get("count") if isinstance(recorded, dict) else "?"
        raise CtgiError(
            f"{where}: run {trace.header.run} searched another gallery ({count} images then, {len(gallery)} now, or "
            "other ones, or another encoder), so its ranks cannot be compared: give the right one with --gallery"
        )
    return gallery
