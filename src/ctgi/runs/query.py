"""A query through the MTI graph, and its outcome as the one record that every output is made from."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from langgraph.types import Command

from ctgi.agents.languages import is_english
from ctgi.config import Binding
from ctgi.errors import CtgiError
from ctgi.graphs.anchor_trust import no_match, overruled, weakness
from ctgi.graphs.mti import MtiContext, build_mti
from ctgi.graphs.mti_state import MtiState, Steering, anchors, dialogue, found_in, plainly_ranked, ranked, verified
from ctgi.records import Anchor, Found, Match, SearchRecord, VerdictRecord
from ctgi.retrieval.images import ImageRef
from ctgi.text import joined
from ctgi.tools.protocols import AskUser, SearchGallery
from ctgi.tools.traces.interceptor import DIRECT, Interceptor
from ctgi.tools.types import Reply

Ask = Callable[[str, int], Awaitable[str]]
FREE = Steering()
"""Nothing settled beforehand."""
_STEPS_PER_ROUND = 12  # waves of verification and the nodes around them, rounded up


async def search(
    context: MtiContext,
    query: str,
    length: int,
    *,
    steering: Steering = FREE,
    label: Mapping[str, Any] | None = None,
) -> SearchRecord:
    """One query with MTI, as far as `steering` leaves it open; `label` is what the trace is to say about it besides.

    Raises:
        CtgiError: an empty query.
        EndpointDownError: a server is gone.
    """
    given = start(query, length)
    told = {**given, "xi": context.settings.xi, **told_of(steering), **(label or {})}
    with context.interceptor.item(told) as done:
        started = time.perf_counter()
        config = graph_config(context, steering)
        state = await _compiled().ainvoke({**given, **steering.state()}, config, context=context)
        found = outcome(state, started, context.interceptor)
        done(found.to_json())
    return found


@cache
def _compiled() -> Any:
    """The graph without a checkpointer; making it takes as long as running it."""
    return build_mti()


async def search_plain(
    search_gallery: SearchGallery, query: str, length: int, interceptor: Interceptor = DIRECT
) -> SearchRecord:
    """One query without MTI: the ranking by S(q, v)."""
    given = start(query, length)
    with interceptor.item(given) as done:
        started = time.perf_counter()
        ranking = await search_gallery(given["query"], length)
        state: MtiState = {
            **given,
            "ranking": found_in(ranking),
            "truncated_tokens": ranking.truncated_tokens,
            "calls": {"search_gallery": 1},
        }
        found = outcome(state, started, interceptor)
        done(found.to_json())
    return found


async def converse(
    context: MtiContext,
    query: str | None,
    length: int,
    *,
    threads: Path,
    thread: str,
    ask: Ask,
    steering: Steering = FREE,
) -> SearchRecord:
    """An interactive search: `ask(question, questions left)` puts each question to the person.

    The dialogue is a LangGraph thread in the SQLite file `threads`: stopped anywhere, it goes on from its last
    question under the same `thread` name, with `query` left out. A new thread begins from `steering`.

    Raises:
        CtgiError: no query for a new thread, or another query for an old one; `threads` is damaged or cannot be
            written.
    """
    from ctgi.graphs.thread_file import threads_to_write

    async with threads_to_write(threads) as saver:
        return await converse_in(saver, context, query, length, thread=thread, ask=ask, steering=steering)


async def converse_in(
    saver: Any,
    context: MtiContext,
    query: str | None,
    length: int,
    *,
    thread: str,
    ask: Ask,
    steering: Steering = FREE,
) -> SearchRecord:
    """The same with a LangGraph checkpointer of any kind."""
    started = time.perf_counter()
    graph = build_mti(saver)
    config = graph_config(context, steering) | {"configurable": {"thread_id": thread}}
    known = (await graph.aget_state(config)).values
    if known and query not in (None, known["query"]):
        raise CtgiError(f"thread {thread!r} is a search for {known['query']!r}: to resume it, leave the query out")
    if not known and query is None:
        raise CtgiError(f"no thread {thread!r} to resume: give a query to start one")
    given = start(known.get("query") or query or "", length)
    with context.interceptor.item({**given, "resumed": bool(known), **told_of(steering)}) as done:
        if not known:
            await graph.ainvoke({**given, **steering.state()}, config, context=context)
        values = await _talk(graph, config, context, ask)
        found = outcome(values, started, context.interceptor)
        done(found.to_json())
    return found


async def _talk(graph: Any, config: Any, context: MtiContext, ask: Ask) -> Any:
    """Ask the person question after question; returns the final state."""
    left = 0

    async def ask_user(question: str, image: ImageRef | None = None) -> Reply:
        return Reply(await ask(question, left))

    asked: AskUser = context.interceptor.serve("ask_user", Binding("human", "", None), lambda: ask_user)
    while (snapshot := await graph.aget_state(config)).next:
        command: Command[Any] | None = None  # a run killed between questions goes on by itself
        if snapshot.interrupts:
            put = snapshot.interrupts[0].value
            left = put["left"]
            command = Command(resume=(await asked(put["question"])).text)
        await graph.ainvoke(command, config, context=context)
    return snapshot.values


def start(query: str, length: int) -> MtiState:
    """What a search begins with: the query as one line, and how many results are wanted.

    Raises:
        CtgiError: the query is empty.
    """
    if not query.strip():
        raise CtgiError('the query is empty: describe the person, like "woman with red bag"')
    return {"query": joined(query), "length": length}


def told_of(steering: Steering) -> dict[str, Any]:
    """What the trace says of a search that was steered."""
    return {"steering": steering.to_json()} if steering.state() else {}


def graph_config(context: MtiContext, steering: Steering) -> Any:
    """As many steps as the search may take."""
    waves = context.settings.k if context.settings.wave_growth == 1 else 0
    asked = max(context.settings.questions, len(steering.questions))
    return {"recursion_limit": context.settings.rounds * (_STEPS_PER_ROUND + waves + asked) + 10}


def outcome(state: MtiState, started: float, interceptor: Interceptor = DIRECT) -> SearchRecord:
    """A finished search, without what the command adds (DESIGN, section 6)."""
    ranking, turns = ranked(state), dialogue(state)
    results = matches(ranking[: state["length"]])
    shown = {one.path for one in results}
    confirmed = {anchor.sha256: anchor for anchor in anchors(state)}
    return SearchRecord(
        query=state["query"],
        refined_query=state.get("refined_query"),
        anchors=tuple(_anchor(one) for one in confirmed.values()),
        overruled=overruled(ranking, confirmed),
        no_match=no_match(verified(state), confirmed),
        dialogue=tuple(turns),
        verified=tuple(verified(state)),
        early_stop=state.get("early_stop", False),
        rounds=state.get("round", 0),
        calls=state["calls"],
        results=results,
        left=tuple(one for one in matches(plainly_ranked(state)[: state["length"]]) if one.path not in shown),
        truncated_tokens=state["truncated_tokens"],
        not_english=sum(not is_english(turn.answer) for turn in turns),
        seconds=round(time.perf_counter() - started, 3),
        trace=interceptor.run,
    )


def matches(ranking: Sequence[Found]) -> tuple[Match, ...]:
    """A ranking as a record holds it, each image with its rank."""
    return tuple(Match(**vars(found), rank=rank) for rank, found in enumerate(ranking, 1))


def _anchor(one: VerdictRecord) -> Anchor:
    return Anchor(
        path=one.path, sha256=one.sha256, rank=one.rank, probability=one.probability, weak=weakness(one),
        by_person=one.by_person,
    )  # fmt: skip
