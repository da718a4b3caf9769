"""`ctgi search` replayed: a query of the trace over its gallery again, plain, with MTI, or with a person."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from langgraph.checkpoint.memory import InMemorySaver

from ctgi.config import Settings
from ctgi.errors import CtgiError
from ctgi.graphs.contexts import open_mti, serve_gallery
from ctgi.graphs.mti import MtiContext, build_mti
from ctgi.graphs.mti_state import Steering
from ctgi.graphs.thread_data import PlainData
from ctgi.reading import Json, dump
from ctgi.records import SearchRecord
from ctgi.retrieval.images import ImageRef
from ctgi.runs.query import converse_in, search, search_plain
from ctgi.runs.replay.kind import Outcomes, Work
from ctgi.text import plain
from ctgi.tools.backends.human import ask_user
from ctgi.tools.traces.format import Header, Item
from ctgi.tools.traces.interceptor import Interceptor
from ctgi.tools.traces.player import MissError
from ctgi.tools.traces.reader import Trace

if TYPE_CHECKING:
    from ctgi.retrieval.gallery import Gallery


_ASKED = ("query", "length", "xi", "steering")


class Searches:
    """Runs that search a gallery."""

    def reads(self, header: Header) -> bool:
        """Whether it is a run of MTI."""
        return header.graph == "mti"

    def nodes(self) -> list[str]:
        """Of MTI."""
        return [name for name in build_mti().nodes if not name.startswith("__")]

    def former_nodes(self) -> Mapping[str, tuple[str, ...]]:
        """None."""
        return {}

    @asynccontextmanager
    async def work(
        self, trace: Trace, settings: Settings, interceptor: Interceptor, gallery: Path | None
    ) -> AsyncIterator[Work]:
        """Searches for one query again, in the gallery of the trace."""
        interactive = trace.header.input.get("interactive") is True
        opened = partial(gallery_of, trace, settings, gallery)
        async with open_mti(settings, opened, interactive=interactive, interceptor=interceptor) as context:
            yield _conversing(context) if interactive else searching(context)

    @contextmanager
    def outcomes(self, out: Path, trace: Trace, settings: Settings) -> Iterator[Outcomes]:
        """Searches as `ctgi search --json` prints them, one a line; a replay indexes nothing."""
        given = trace.values.load(trace.header.input)
        made_by = {name: given[name] for name in ("gallery", "encoder") if name in given}
        with lines_of(out, trace, settings, made_by, {"passed_over": {}, "not_indexed": []}) as lines:
            yield lines


class PlainSearches(Searches):
    """Runs that search a gallery without MTI."""

    def reads(self, header: Header) -> bool:
        """Whether it is plain retrieval."""
        return header.graph == "plain"

    def nodes(self) -> list[str]:
        """None: there is no graph."""
        return []

    @asynccontextmanager
    async def work(
        self, trace: Trace, settings: Settings, interceptor: Interceptor, gallery: Path | None
    ) -> AsyncIterator[Work]:
        """Searches for one query again, in the gallery of the trace."""
        tool = serve_gallery(settings, partial(gallery_of, trace, settings, gallery), interceptor)
        yield lambda item: search_plain(tool, *asked_of(item), interceptor)


@contextmanager
def lines_of(out: Path, trace: Trace, settings: Settings, before: Json, after: Json) -> Iterator[Outcomes]:
    """Searches in a new file, one a line, with the bindings of the replay and these fields around them.

    Raises:
        CtgiError: it cannot be written.
    """
    bindings = {tool: str(settings.binding(tool)) for tool in trace.header.bindings}
    try:
        with out.open("xb") as lines:
            try:
                yield _Lines(lines, {**before, "bindings": bindings, **after})
            finally:
                if lines.tell() == 0:
                    out.unlink()
    except OSError as error:
        raise CtgiError(f"{plain(str(out))}: cannot write here ({error.strerror}): choose another --out") from None


class _Lines:
    def __init__(self, lines: IO[bytes], made_by: Json) -> None:
        self._lines, self._made_by = lines, made_by

    def write(self, output: Json, *, cached: int) -> None:
        self._lines.write(dump(output | {"cached": cached} | self._made_by) + b"\n")

    def copy_for(self, image: ImageRef) -> Json | None:
        return None


def searching(context: MtiContext) -> Work:
    """Searches with MTI, as the item says."""

    async def work(item: Item) -> SearchRecord:
        query, length = asked_of(item)
        label = {name: value for name, value in item.input.items() if name not in _ASKED}
        if "user" in label:
            raise MissError(f"item {item.item} is an interview of {label['user']}, which only ctgi evaluate makes")
        mti = context.settings.model_copy(update={"xi": float(item.input.get("xi", context.settings.xi))})
        return await search(replace(context, settings=mti), query, length, steering=_steering(item), label=label)

    return work


def _conversing(context: MtiContext) -> Work:
    async def ask(question: str, left: int) -> str:
        return (await ask_user(f"{question} ({left} more)")).text

    async def work(item: Item) -> SearchRecord:
        if item.input.get("resumed"):
            raise MissError("it continues a dialogue of an earlier run: replay that run")
        saver = InMemorySaver(serde=PlainData())
        return await converse_in(
            saver, context, *asked_of(item), thread=str(item.item), ask=ask, steering=_steering(item)
        )

    return work


def asked_of(item: Item) -> tuple[str, int]:
    """The query of an item, and how many results it wants. Raises MissError where the line was edited."""
    query, length = item.input.get("query"), item.input.get("length")
    if not (isinstance(query, str) and isinstance(length, int)):
        raise MissError(f"item {item.item} names no query and length: the line was edited")
    return query, length


def _steering(item: Item) -> Steering:
    try:
        return Steering.from_json(item.input.get("steering", {}))
    except CtgiError as error:
        raise MissError(f"item {item.item}: {error}: the line was edited") from None


def gallery_of(trace: Trace, settings: Settings, path: Path | None) -> "Gallery":
    """The gallery of the recorded search.

    Raises:
        CtgiError: it is gone, or another one lies there now.
    """
    from ctgi.retrieval.encoder import load_encoder
    from ctgi.retrieval.gallery import open_gallery

    where = path or Path(trace.values.real(str(trace.header.input.get("gallery"))))
    gallery = open_gallery(where, load_encoder(str(settings.binding("search_gallery")), settings.retriever))
    recorded = trace.header.input.get("images")
    if isinstance(recorded, dict) and recorded.keys() & {"where", "group"}:
        gallery = gallery.narrowed(recorded.get("where"), recorded.get("group"))
    if gallery.identity != recorded:
        count = recorded.get("count") if isinstance(recorded, dict) else "?"
        raise CtgiError(
            f"{where}: run {trace.header.run} searched another gallery ({count} images then, {len(gallery)} now, or "
            "other ones, or another encoder), so its ranks cannot be compared: give the right one with --gallery"
        )
    return gallery
