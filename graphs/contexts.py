"""The contexts of both graphs: their tools, opened as bound and closed at the end."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ctgi.agents.abilities import askable
from ctgi.agents.assemble import Models, open_tools
from ctgi.agents.judge import Judge
from ctgi.agents.pool import load_pool
from ctgi.config import Settings
from ctgi.graphs.mtg import TOOLS as MTG_TOOLS
from ctgi.graphs.mtg import MtgContext
from ctgi.graphs.mti import TOOLS as MTI_TOOLS
from ctgi.graphs.mti import MtiContext
from ctgi.tools.chat_cache import ChatCache
from ctgi.tools.protocols import SearchGallery
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
    pool = askable(load_pool(settings.mtg.question_pool), settings)
    async with open_tools(settings, MTG_TOOLS, pool, interceptor=interceptor, cache=cache, models=models) as tools:
        judge = Judge(settings.mtg, None if settings.mtg.judge == "words" else open_similarity(settings, interceptor))
        yield MtgContext(**tools, pool=pool, judge=judge, settings=settings.mtg, interceptor=interceptor)


@asynccontextmanager
async def open_mti(
    settings: Settings,
    open_gallery: Callable[[], "Gallery"],
    *,
    interactive: bool = False,
    interceptor: Interceptor = DIRECT,
    cache: ChatCache | None = None,
    models: Models | None = None,
) -> AsyncIterator[MtiContext]:
    """The MTI graph's context: its tools as bound, behind the interceptor, which opens the gallery when needed."""
    pool = load_pool(settings.mtg.question_pool)
    pool = pool if interactive else askable(pool, settings)
    names = WITHOUT_ANCHOR if interactive else MTI_TOOLS
    async with open_tools(settings, names, pool, interceptor=interceptor, cache=cache, models=models) as tools:
        yield MtiContext(
            **dict.fromkeys(MTI_TOOLS, _not_called) | tools,
            search_gallery=serve_gallery(settings, open_gallery, interceptor),
            pool=pool,
            judge=Judge(settings.mtg),
            settings=settings.mti,
            interactive=interactive,
            interceptor=interceptor,
        )


def serve_gallery(settings: Settings, open_gallery: Callable[[], "Gallery"], interceptor: Interceptor) -> SearchGallery:
    """search_gallery over a gallery, behind the interceptor."""
    tool: SearchGallery = interceptor.serve(
        "search_gallery", settings.binding("search_gallery"), lambda: GallerySearch(open_gallery())
    )
    return tool


async def _not_called(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("an interactive search asks the person, not an anchor")
