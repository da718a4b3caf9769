"""The contexts of both graphs: their tools, opened as bound and closed at the end."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from langchain_core.utils.function_calling import convert_to_openai_tool

from ctgi.agents.abilities import askable, trust_in
from ctgi.agents.assemble import Models, kept_open, serve_tools
from ctgi.agents.decider import serve_decider
from ctgi.agents.judge import Judge
from ctgi.agents.pool import QuestionPool, load_pool
from ctgi.agents.splitting import ReadStored, SplittingQuestioner
from ctgi.config import Settings
from ctgi.graphs.agent import TOOLS as AGENT_TOOLS
from ctgi.graphs.agent import AgentContext, toolbox
from ctgi.graphs.mtg import TOOLS as MTG_TOOLS
from ctgi.graphs.mtg import MtgContext
from ctgi.graphs.mti import TOOLS as MTI_TOOLS
from ctgi.graphs.mti import MtiContext
from ctgi.tools.chat_cache import ChatCache
from ctgi.tools.protocols import AskUser, SearchGallery
from ctgi.tools.search_gallery import GallerySearch
from ctgi.tools.similarity import open_similarity
from ctgi.tools.traces.interceptor import DIRECT, Interceptor

if TYPE_CHECKING:
    from ctgi.retrieval.gallery import Gallery

WITHOUT_ANCHOR = ("propose_questions", "aggregate_query")
"""The tools of an interactive search, in which the person answers; they see no image."""


@asynccontextmanager
async def open_mtg(
    settings: Settings, interceptor: Interceptor, cache: ChatCache | None = None, models: Models | None = None
) -> AsyncIterator[MtgContext]:
    """The MTG graph's context: its tools as bound, behind the interceptor, with the cache in front of their models.

    Raises:
        CtgiError: a binding that cannot do its tool, or an unreadable question pool.
    """
    async with kept_open(models) as opened:
        yield mtg_context(settings, opened, interceptor, cache)


def mtg_context(
    settings: Settings, models: Models, interceptor: Interceptor = DIRECT, cache: ChatCache | None = None
) -> MtgContext:
    """The same over models that the caller closes; needs no event loop."""
    pool = askable(load_pool(settings.mtg.question_pool), settings)
    tools = serve_tools(settings, MTG_TOOLS, pool, models, interceptor=interceptor, cache=cache)
    judge = Judge(settings.mtg, None if settings.mtg.judge == "words" else open_similarity(settings, interceptor))
    return MtgContext(**tools, pool=pool, judge=judge, settings=settings.mtg, interceptor=interceptor)


@asynccontextmanager
async def open_mti(
    settings: Settings,
    open_gallery: Callable[[], "Gallery"],
    *,
    interactive: bool = False,
    interceptor: Interceptor = DIRECT,
    cache: ChatCache | None = None,
    models: Models | None = None,
    stored: ReadStored | None = None,
) -> AsyncIterator[MtiContext]:
    """The MTI graph's context: its tools as bound, behind the interceptor, which opens the gallery when needed.

    With captions `stored` of the images, the questions are those that tell the candidates apart; see `splitting`.
    """
    async with kept_open(models) as opened:
        yield mti_context(
            settings, open_gallery, opened,
            interactive=interactive, interceptor=interceptor, cache=cache, stored=stored,
        )  # fmt: skip


def mti_context(
    settings: Settings,
    open_gallery: Callable[[], "Gallery"],
    models: Models,
    *,
    interactive: bool = False,
    interceptor: Interceptor = DIRECT,
    cache: ChatCache | None = None,
    stored: ReadStored | None = None,
) -> MtiContext:
    """The same over models that the caller closes; needs no event loop."""
    pool = load_pool(settings.mtg.question_pool)
    pool = pool if interactive else askable(pool, settings)
    names = WITHOUT_ANCHOR if interactive else MTI_TOOLS
    tools = serve_tools(settings, names, pool, models, interceptor=interceptor, cache=cache)
    if stored:
        tools |= splitting(settings, pool, stored, lambda: GallerySearch(open_gallery()), interceptor)
    return MtiContext(
        **dict.fromkeys(MTI_TOOLS, _not_called) | tools,
        search_gallery=serve_gallery(settings, open_gallery, interceptor),
        pool=pool,
        judge=Judge(settings.mtg),
        settings=settings.mti,
        trust=trust_in(settings),
        interactive=interactive,
        interceptor=interceptor,
    )


def splitting(
    settings: Settings,
    pool: QuestionPool,
    stored: ReadStored,
    open_search: Callable[[], SearchGallery],
    interceptor: Interceptor,
) -> dict[str, Any]:
    """propose_questions by what tells the candidates apart; nothing where it is switched off, or a model proposes."""
    binding = settings.binding("propose_questions")
    if not settings.mti.split or binding.endpoint != "templates":
        return {}
    proposing = interceptor.serve(
        "propose_questions", binding, lambda: SplittingQuestioner(pool, stored, open_search())
    )
    return {"propose_questions": proposing}


@asynccontextmanager
async def open_agent(
    settings: Settings,
    open_search: Callable[[], SearchGallery],
    *,
    interactive: bool = False,
    ask: AskUser | None = None,
    interceptor: Interceptor = DIRECT,
    cache: ChatCache | None = None,
    models: Models | None = None,
) -> AsyncIterator[AgentContext]:
    """The agent's context: its model and its tools as bound, behind the interceptor.

    Args:
        settings: bindings, and the agent's budget.
        open_search: called when the gallery is first searched.
        interactive: a person may be asked.
        ask: puts a question to the person; None does it as `ask_user` is bound.
        interceptor: stands before model and tools.
        cache: where replies of models are looked up and kept.
        models: kept open by the caller; None opens and closes them here.

    Raises:
        CtgiError: no model is bound to the agent, or one that cannot call tools.
    """
    async with kept_open(models) as opened:
        yield agent_context(
            settings, open_search, opened, interactive=interactive, ask=ask, interceptor=interceptor, cache=cache
        )


def agent_context(
    settings: Settings,
    open_search: Callable[[], SearchGallery],
    models: Models,
    *,
    interactive: bool = False,
    ask: AskUser | None = None,
    interceptor: Interceptor = DIRECT,
    cache: ChatCache | None = None,
) -> AgentContext:
    """The same over models that the caller closes; needs no event loop."""
    pool = askable(load_pool(settings.mtg.question_pool), settings)
    names = (*AGENT_TOOLS, "ask_user") if interactive and ask is None else AGENT_TOOLS
    tools = serve_tools(settings, names, pool, models, interceptor=interceptor, cache=cache)
    search: SearchGallery = interceptor.serve("search_gallery", settings.binding("search_gallery"), open_search)
    asking = {"ask_user": interceptor.serve("ask_user", settings.binding("ask_user"), lambda: ask)} if ask else {}
    callables = {"search_gallery": search, **tools, **asking}
    known = toolbox(callables, pictures=settings.agent.pictures)
    defined = [convert_to_openai_tool(tool) for tool in known.values()]
    decide = serve_decider(settings, defined, models, interceptor=interceptor, cache=cache)
    return AgentContext(decide, search, callables, known, settings.agent, interceptor=interceptor)


def serve_gallery(settings: Settings, open_gallery: Callable[[], "Gallery"], interceptor: Interceptor) -> SearchGallery:
    """search_gallery over a gallery, behind the interceptor."""
    tool: SearchGallery = interceptor.serve(
        "search_gallery", settings.binding("search_gallery"), lambda: GallerySearch(open_gallery())
    )
    return tool


async def _not_called(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("an interactive search asks the person, not an anchor")
