"""A search that somebody watches and steers: a LangGraph thread that tells each step, waits for a person, and lasts."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

from langgraph.types import Command

from ctgi.agents.assemble import Models
from ctgi.agents.splitting import ReadStored
from ctgi.captions_index import CaptionsIndex
from ctgi.config import Binding, Settings
from ctgi.errors import CtgiError
from ctgi.graphs.contexts import open_mti
from ctgi.graphs.mti import MtiContext, build_mti
from ctgi.graphs.mti_state import ALL, Filter, MtiState, Steering, filter_of
from ctgi.reading import Json
from ctgi.records import SearchRecord
from ctgi.retrieval.gallery import Gallery
from ctgi.retrieval.images import ImageRef
from ctgi.runs.captioned import read_index
from ctgi.runs.columns import narrowed
from ctgi.runs.events import Events
from ctgi.runs.live_gallery import LiveGallery
from ctgi.runs.query import FREE, Ask, graph_config, outcome, start, told_of
from ctgi.runs.recording import recording
from ctgi.runs.search import act
from ctgi.tools.protocols import AskUser
from ctgi.tools.traces.interceptor import DIRECT, Interceptor
from ctgi.tools.types import Reply

Asks = Literal["model", "person", "nobody"]
"""Who answers the questions; nobody: plain retrieval."""


@dataclass(frozen=True)
class Beginning:
    """What a search begins with."""

    query: str
    length: int
    """Results wanted."""
    steering: Steering = FREE
    """What a person has settled beforehand."""
    filter: Filter = ALL
    """Which images are ranked."""


@dataclass(frozen=True)
class Moment:
    """A search after one of its steps."""

    state: MtiState
    """What is known so far, as the graph keeps it, for a search that goes on from here."""
    node: str | None
    """The step that comes next; None at the end."""
    question: str | None = None
    """What a person is asked now."""
    left: int = 0
    """Questions after this one."""
    begun: float = field(default_factory=time.perf_counter)
    """When the search was begun or resumed, by the performance counter."""

    @cached_property
    def found(self) -> SearchRecord:
        """The same as a record, made when somebody looks: most steps pass unseen where many search."""
        return outcome(self.state, self.begun, DIRECT)

    @property
    def rests(self) -> bool:
        """Whether it stands still: at its end, or at a question."""
        return self.node is None or self.question is not None


@dataclass(frozen=True)
class Steered:
    """The searches of one gallery, by the names of their threads."""

    live: LiveGallery
    """Searched as it stands when a search is begun or resumed."""
    settings: Settings
    events: Events
    saver: Any
    """Keeps the threads: a checkpointer of LangGraph."""
    models: Models
    trace: bool = True
    """Record every call."""
    captions: CaptionsIndex | None = None
    """Captions of the images: what tells the candidates apart is asked first."""

    async def look(self, thread: str) -> Moment | None:
        """Where the search stands; None where there is no such thread."""
        snapshot = await self._graph.aget_state(_thread(thread))
        return _moment(snapshot.values, snapshot.next, snapshot.interrupts) if snapshot.values else None

    async def run(
        self, thread: str, asks: Asks, ask: Ask, show: Callable[[Moment], None], beginning: Beginning | None = None
    ) -> None:
        """Begin a search, or go on with it, to its end.

        Args:
            thread: its name.
            asks: who answers the questions.
            ask: puts a question to the person.
            show: hears each step.
            beginning: what it begins with; None goes on.

        Raises:
            CtgiError: an empty query, a binding that cannot do its tool, a gallery or a server that is gone.
        """
        begun = time.perf_counter()
        first = beginning and _first(beginning)
        known = first or (await self._graph.aget_state(_thread(thread))).values
        gallery = await asyncio.to_thread(self._gallery, filter_of(known))
        steering = beginning.steering if beginning else FREE
        async with self._context(asks, gallery) as context:
            config = {**graph_config(context, steering), **_thread(thread)}
            given = {"query": known["query"], "length": known["length"], "resumed": first is None}
            with context.interceptor.item(given | told_of(steering)) as done:
                last = await self._advance(context, config, asks, ask, show, first, begun)
                done(outcome(last.state, begun, context.interceptor).to_json())

    def _gallery(self, given: Filter) -> Gallery:
        return narrowed(self.live.renewed(), given.where, given.group, self.events)

    @cached_property
    def _read(self) -> ReadStored | None:
        return partial(read_index, self.captions, self.events) if self.captions else None

    @asynccontextmanager
    async def _context(self, asks: Asks, gallery: Gallery) -> AsyncIterator[MtiContext]:
        """Where nobody answers, no model is opened: retrieval is all there is."""
        doing = act(gallery, mti=asks != "nobody", interactive=asks == "person")
        with recording(doing, self.settings, self.events, trace=self.trace) as run:
            opening = open_mti(
                self.settings, lambda: gallery, interactive=asks != "model",
                interceptor=run.interceptor, cache=run.cache, models=self.models, stored=self._read,
            )  # fmt: skip
            async with opening as context:
                yield context

    async def _advance(
        self, context: MtiContext, config: Any, asks: Asks, ask: Ask, show: Callable[[Moment], None],
        first: Any, begun: float,
    ) -> Moment:  # fmt: skip
        asked, given = _person(context.interceptor, ask), first
        last = {"interrupt_after": ["retrieve"]} if asks == "nobody" else {}
        while True:
            steps = self._graph.astream(given, config, context=context, stream_mode="checkpoints", **last)
            moment = None
            async for step in steps:
                moment = _moment(step["values"], step["next"], (), begun)
                if moment and _leads_on(step["next"]):
                    show(moment)
            if moment is None or moment.node:  # it was stopped, perhaps by a question, which only the thread has
                snapshot = await self._graph.aget_state(config)
                moment = _moment(snapshot.values, snapshot.next, snapshot.interrupts, begun)
            if moment is None:
                raise CtgiError("this search was never begun: search again")
            show(moment)
            if moment.question is None:
                return moment
            given = Command(resume=(await asked(moment.question, moment.left)).text)

    @cached_property
    def _graph(self) -> Any:
        return build_mti(self.saver)


def _first(beginning: Beginning) -> MtiState:
    """The input of a new thread."""
    given = start(beginning.query, beginning.length) | beginning.steering.state()
    return given if beginning.filter == ALL else given | {"filter": beginning.filter}


def _person(interceptor: Interceptor, ask: Ask) -> Callable[[str, int], Awaitable[Reply]]:
    """The person behind the interceptor, so that the trace has what they said."""
    left = 0

    async def ask_user(question: str, image: ImageRef | None = None) -> Reply:
        return Reply(await ask(question, left))

    tool: AskUser = interceptor.serve("ask_user", Binding("human", "", None), lambda: ask_user)

    async def asked(question: str, more: int) -> Reply:
        nonlocal left
        left = more
        return await tool(question)

    return asked


def _leads_on(following: Sequence[str]) -> bool:
    """Whether something goes on; before a question the search only stops to put it."""
    return bool(following) and following[0] != "ask_person"


def _thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


def _moment(
    values: Any, following: Sequence[str], interrupts: Sequence[Any], begun: float | None = None
) -> Moment | None:
    if "ranking" not in values:
        return None
    put: Json = interrupts[0].value if interrupts else {}
    node = following[0] if following else None
    started = time.perf_counter() if begun is None else begun
    return Moment(values, node, put.get("question"), put.get("left", 0), started)
