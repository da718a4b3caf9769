"""A query through the MTI graph, and its outcome as the one JSON object that every output is made from."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph.types import Command

from ctgi.agents.assemble import open_tools
from ctgi.agents.judge import Judge
from ctgi.agents.pool import load_pool
from ctgi.config import Settings
from ctgi.errors import CtgiError
from ctgi.graphs.mti import TOOLS, Found, MtiContext, MtiState, build_mti
from ctgi.tools.search_gallery import GallerySearch

if TYPE_CHECKING:
    from ctgi.retrieval.gallery import Gallery

_STEPS_PER_ROUND = 12  # waves of verification and the nodes around them, rounded up


@asynccontextmanager
async def open_mti(settings: Settings, gallery: "Gallery", *, interactive: bool = False) -> AsyncIterator[MtiContext]:
    """The MTI graph's context: its tools as bound, over this gallery."""
    pool = load_pool(settings.mtg.question_pool)
    names = ("propose_questions", "aggregate_query") if interactive else TOOLS
    async with open_tools(settings, names, pool) as tools:
        yield MtiContext(
            **dict.fromkeys(TOOLS, _not_called) | tools,
            search_gallery=GallerySearch(gallery),
            pool=pool,
            judge=Judge(settings.mtg),
            settings=settings.mti,
            interactive=interactive,
        )


async def _not_called(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("an interactive search asks the person, not an anchor")


async def search(context: MtiContext, query: str, length: int) -> dict[str, Any]:
    """One query with MTI.

    Raises:
        CtgiError: an empty query.
        EndpointDownError: a server is gone.
    """
    started = time.perf_counter()
    state = await build_mti().ainvoke(_start(query, length), _config(context), context=context)
    return outcome(state, started)


async def search_plain(gallery: "Gallery", query: str, length: int) -> dict[str, Any]:
    """One query without MTI: the ranking by S(q, v)."""
    started = time.perf_counter()
    ranking = await GallerySearch(gallery)(_start(query, length)["query"], length)
    found = [
        Found(
            path=c.image.path,
            sha256=c.image.sha256,
            score=c.score,
            score_before=c.score_before,
            rank_before=c.rank_before,
        )
        for c in ranking.candidates
    ]
    state = {"query": query, "length": length, "ranking": found, "truncated_tokens": ranking.truncated_tokens}
    return outcome(state | {"calls": {"search_gallery": 1}}, started)


async def converse(
    context: MtiContext,
    query: str | None,
    length: int,
    *,
    threads: Path,
    thread: str,
    ask: Callable[[str, int], Awaitable[str]],
) -> dict[str, Any]:
    """An interactive search: `ask(question, questions left)` puts each question to the person.

    The dialogue is a LangGraph thread in the SQLite file `threads`: stopped anywhere, it goes on from its last
    question under the same `thread` name, with `query` left out.

    Raises:
        CtgiError: no query for a new thread, or another query for an old one.
    """
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    started = time.perf_counter()
    threads.parent.mkdir(parents=True, exist_ok=True)
    async with AsyncSqliteSaver.from_conn_string(str(threads)) as saver:
        graph = build_mti(saver)
        config = _config(context) | {"configurable": {"thread_id": thread}}
        known = (await graph.aget_state(config)).values
        if known and query not in (None, known["query"]):
            raise CtgiError(
                f"thread {thread!r} is a search for {known['query']!r}: leave the query out to go on with it"
            )
        if not known:
            if query is None:
                raise CtgiError(f"no thread {thread!r} to go on with: give a query to start one")
            await graph.ainvoke(_start(query, length), config, context=context)
        while (snapshot := await graph.aget_state(config)).next:
            command: Command[Any] | None = None  # a run killed between questions goes on by itself
            if snapshot.interrupts:
                put = snapshot.interrupts[0].value
                command = Command(resume=await ask(put["question"], put["left"]))
            await graph.ainvoke(command, config, context=context)
    return outcome(snapshot.values, started)


def _start(query: str, length: int) -> MtiState:
    if not query.strip():
        raise CtgiError('the query is empty: describe the person, like "woman with red bag"')
    valid = query.encode(errors="replace").decode()  # bytes of a command line that are no UTF-8
    return {"query": valid, "length": length}


def _config(context: MtiContext) -> Any:
    waves = context.settings.k if context.settings.wave_growth == 1 else 0
    asked = context.settings.questions
    return {"recursion_limit": context.settings.rounds * (_STEPS_PER_ROUND + waves + asked) + 10}


def outcome(state: Any, started: float) -> dict[str, Any]:
    """A finished search as the fields of `ctgi search --json` (DESIGN, section 6)."""
    ranking = state["ranking"][: state["length"]]
    anchors = {anchor["sha256"]: anchor for anchor in state.get("anchors", [])}
    return {
        "query": state["query"],
        "refined_query": state.get("refined_query"),
        "anchors": [
            {key: anchor[key] for key in ("path", "sha256", "rank", "probability")} for anchor in anchors.values()
        ],
        "dialogue": state.get("dialogue", []),
        "verified": state.get("verified", []),
        "early_stop": state.get("early_stop", False),
        "rounds": state.get("round", 0),
        "calls": state["calls"],
        "results": [{**found, "rank": rank} for rank, found in enumerate(ranking, 1)],
        "truncated_tokens": state["truncated_tokens"],
        "seconds": round(time.perf_counter() - started, 3),
        "trace": None,
    }
