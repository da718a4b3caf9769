"""MTI over all queries of a data set, once; after that any lambda and xi is arithmetic on what was stored."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ctgi.agents.abilities import askable, trust_in
from ctgi.agents.assemble import open_tools
from ctgi.agents.judge import Judge
from ctgi.agents.pool import load_pool
from ctgi.agents.splitting import ReadStored
from ctgi.agents.thi import FixedQuestions, Interviewer, keep_all, thi_anchor, thi_asked
from ctgi.agents.trust import EVERY_YES
from ctgi.config import Settings
from ctgi.errors import CtgiError, ToolError
from ctgi.graphs.agent import TOOLS as AGENT_TOOLS
from ctgi.graphs.agent import AgentContext
from ctgi.graphs.contexts import splitting
from ctgi.graphs.mti import TOOLS, MtiContext
from ctgi.reading import Json
from ctgi.records import SearchRecord
from ctgi.retrieval.fusion import blend, fuse
from ctgi.retrieval.metrics import row_slices
from ctgi.runs.agent_query import search_with_agent
from ctgi.runs.batch import run_many
from ctgi.runs.query import search
from ctgi.runs.split_search import SplitSearch
from ctgi.tools.chat_cache import ChatCache
from ctgi.tools.protocols import SearchGallery
from ctgi.tools.tool_calls import AGENT
from ctgi.tools.traces.interceptor import DIRECT, Interceptor

VARIANTS = ("ctgi", "icl", "agent")
ICL_K = 5
ICL_XI = 0.5
_NEVER, _ALWAYS = 2.0, -2.0  # thresholds that no cosine, or every one, is above
_SHOWN = 10
_ABOVE_ALL = 1_000.0  # what an agent names first; fused cosines end at 1, and ten are shown


def check_variant(variant: str) -> None:
    """Check that the variant is known.

    Raises:
        CtgiError: an unknown one.
    """
    if variant not in VARIANTS:
        raise CtgiError(f"MTI variant {variant!r}: expected one of {', '.join(VARIANTS)}")


@asynccontextmanager
async def open_evaluation(
    settings: Settings,
    gallery: SearchGallery,
    cache: ChatCache | None,
    variant: str,
    interceptor: Interceptor = DIRECT,
    stored: ReadStored | None = None,
) -> AsyncIterator[MtiContext]:
    """MTI's context for an evaluation: every reply kept, candidates verified one by one (queries run side by side).

    `interceptor` stands before all its tools, and before `gallery`; captions `stored` of its images choose questions.

    Raises:
        CtgiError: an unknown variant.
    """
    check_variant(variant)
    pool, icl = askable(load_pool(settings.mtg.question_pool), settings), variant == "icl"
    roles = {"answer_question": Interviewer} if icl else None
    mti = settings.mti.model_copy(update={"wave_growth": 1} | ({"max_anchors": 1, "rounds": 1} if icl else {}))
    async with open_tools(settings, TOOLS, pool, cache=cache, roles=roles, interceptor=interceptor) as tools:
        if icl:
            tools["propose_questions"] = FixedQuestions()
        elif stored:
            tools |= splitting(settings, pool, stored, lambda: gallery, interceptor)
        yield MtiContext(
            **tools,
            search_gallery=interceptor.serve("search_gallery", settings.binding("search_gallery"), lambda: gallery),
            pool=pool,
            trust=EVERY_YES if icl else trust_in(settings),
            judge=keep_all if icl else Judge(settings.mtg),
            settings=mti,
            interceptor=interceptor,
        )


@dataclass(frozen=True)
class Interaction:
    """One query's dialogue, with enough to derive its outcome under any xi."""

    full: SearchRecord
    """Where nothing ends the verification early."""
    early: SearchRecord | None
    """Where a confirmed top result does; None where it was not confirmed."""

    @property
    def verdicts(self) -> list[bool]:
        """Yes or no of the candidates in rank order, as far as they were asked about in the first round."""
        return [asked.match for asked in self.full.verified if asked.round == 1]

    @property
    def top(self) -> float:
        """S of the best image."""
        return self.full.verified[0].score


async def interact_all(
    context: MtiContext | AgentContext,
    queries: Sequence[str],
    *,
    in_flight: int,
    on_progress: Callable[[int], None],
    label: Callable[[int], Json] = lambda query: {"caption": query},
) -> tuple[list[Interaction | None], list[tuple[int, str]]]:
    """MTI of every query, many at once; None where a tool failed, with (query, reason) of each failure.

    `label` gives what the trace is to say about a query besides.

    Raises:
        EndpointDownError: a server is gone; what was answered is in the cache.
    """
    found: list[Interaction | None] = [None] * len(queries)
    failed: list[tuple[int, str]] = []

    async def work(query: int) -> Interaction:
        return await _interact(context, queries[query], label(query))

    done = 0
    async for query, result in run_many(range(len(queries)), work, in_flight=in_flight):
        if isinstance(result, ToolError):
            failed.append((query, str(result)))
        else:
            found[query] = result
        done += 1
        on_progress(done)
    return found, sorted(failed)


async def _interact(context: MtiContext | AgentContext, query: str, label: Json) -> Interaction:
    if isinstance(context, AgentContext):
        return Interaction(await search_with_agent(context, query, _SHOWN, label=label), None)
    return await _interact_mti(context, query, label)


async def _interact_mti(context: MtiContext, query: str, label: Json) -> Interaction:
    """With one anchor, stopping early changes nothing that is asked, so one search tells all."""
    full = await search(_at_xi(context, _NEVER), query, _SHOWN, label=label)
    confirmed = full.verified[0].confirmed
    if context.settings.max_anchors == 1 and context.settings.rounds == 1:
        return Interaction(full, full if confirmed else None)
    early = await search(_at_xi(context, _ALWAYS), query, _SHOWN, label=label) if confirmed else None
    return Interaction(full, early)


def _at_xi(context: MtiContext, xi: float) -> MtiContext:
    return replace(context, settings=context.settings.model_copy(update={"xi": xi}))


@dataclass(frozen=True)
class Choice:
    """The outcome of one query's dialogue under one xi."""

    refined_query: str | None
    """None where the query is left as it is; its anchors are promoted all the same."""
    anchors: tuple[str, ...] = ()
    """sha256 of the images whose refined similarity counts as 1."""
    early: bool = False
    """Whether the confirmed top result ended the verification."""
    calls: dict[str, int] = field(default_factory=dict)
    """By tool, as this dialogue needs them."""
    search: SearchRecord | None = None
    """The search that had this dialogue."""
    weight: float | None = None
    """Lambda, where an agent chose it."""
    named: tuple[str, ...] = ()
    """sha256 of the images that an agent named, the best first."""

    @property
    def is_reranked(self) -> bool:
        """Whether Eq. 7 changes its ranking."""
        return self.refined_query is not None or bool(self.anchors)


def choose(interaction: Interaction, xi: float, variant: str, k: int) -> Choice:
    """The dialogue under this xi, out of what was said."""
    if variant == AGENT:
        full = interaction.full
        named = tuple(found.sha256 for found in full.results[: full.named])
        anchors = tuple(anchor.sha256 for anchor in full.anchors)
        return Choice(full.refined_query, anchors, False, full.calls, full, full.weight, named)
    if variant == "icl":
        anchor = thi_anchor(interaction.verdicts, interaction.top, xi)
        asked = {"verify_match": thi_asked(anchor, k)}
        calls = asked if anchor is None else interaction.full.calls | asked
        if anchor is None:
            return Choice(None, calls=calls, search=interaction.full)
        return _choice(interaction.full, interaction.full.refined_query, anchor == 0, calls)
    early = interaction.early if interaction.top > xi else None
    outcome = early or interaction.full
    return _choice(outcome, outcome.refined_query, early is not None, outcome.calls)


def _choice(search: SearchRecord, refined: str | None, early: bool, calls: dict[str, int]) -> Choice:
    anchors = tuple(anchor.sha256 for anchor in search.anchors)
    return Choice(refined, anchors, early, calls, search)


def fused_blocks(
    queries: NDArray[np.float32], gallery: SplitSearch, choices: Sequence[Choice | None], lam: float, mode: str
) -> Iterator[NDArray[np.float32]]:
    """Eq. 7 for all queries, [Q, G], in blocks of rows; queries without an anchor keep S."""
    refined, anchors = queries.copy(), [_anchors(gallery, choice) for choice in choices]
    for row, choice in enumerate(choices):
        if choice and choice.refined_query is not None:
            refined[row] = gallery.known_vector(choice.refined_query)
    for rows in row_slices(len(queries), len(gallery.features)):
        scores, second = queries[rows] @ gallery.features.T, refined[rows] @ gallery.features.T
        fused = fuse(scores, second, anchors[rows], lam, mode)
        for row, choice in enumerate(choices[rows]):
            if choice and choice.weight is not None:
                fused[row] = blend(scores[row], second[row], anchors[rows][row] or [], choice.weight, mode)
            for place, sha256 in enumerate(choice.named if choice else ()):
                fused[row, gallery.columns([sha256])] = _ABOVE_ALL - place
        yield fused


def _anchors(gallery: SplitSearch, choice: Choice | None) -> list[int] | None:
    """Columns set to 1; None for a query that keeps S."""
    return gallery.columns(choice.anchors) if choice and choice.is_reranked else None


def calls_per_query(choices: Sequence[Choice | None], settings: Settings, variant: str) -> dict[str, float]:
    """Mean calls per answered query, by the tools that a model serves and all together."""
    callable_tools = (AGENT, *AGENT_TOOLS) if variant == AGENT else TOOLS
    tools = [tool for tool in callable_tools if settings.binding(tool).endpoint != "templates"]
    if variant == "icl" and "propose_questions" in tools:
        tools.remove("propose_questions")
    answered = [choice for choice in choices if choice]
    counts = {tool: sum(c.calls.get(tool, 0) for c in answered) / max(1, len(answered)) for tool in tools}
    return counts | {"all": sum(counts.values())}
