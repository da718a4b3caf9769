"""The graphs for LangGraph's own server and Studio: `langgraph dev` finds these factories through langgraph.json.

A server's clients send JSON, so the tools cannot come with a run: they are opened by the first run of an event loop, as
ctgi.toml and the environment bind them, for all runs, and stay open until the process ends.
"""

import asyncio
import atexit
import logging
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from langchain_core.runnables import RunnableConfig
from typing_extensions import TypedDict

from ctgi.agents.assemble import Models
from ctgi.agents.languages import is_english
from ctgi.agents.prompts import prompt, prompt_names
from ctgi.agents.senders import senders
from ctgi.config import Settings, load_settings
from ctgi.errors import ArgumentError, CtgiError
from ctgi.graphs.agent import TOOLS as agent_tools
from ctgi.graphs.agent import AgentContext, build_agent
from ctgi.graphs.contexts import WITHOUT_ANCHOR, agent_context, mtg_context, mti_context
from ctgi.graphs.mtg import TOOLS as mtg_tools
from ctgi.graphs.mtg import MtgContext, MtgState, build_mtg
from ctgi.graphs.mti import TOOLS as mti_tools
from ctgi.graphs.mti import MtiContext, build_mti
from ctgi.graphs.mti_state import MtiState
from ctgi.graphs.steps import Host
from ctgi.retrieval.encoder import load_encoder
from ctgi.retrieval.gallery import Gallery, open_gallery
from ctgi.retrieval.images import ImageRef, ref
from ctgi.tools.chat_cache import ChatCache, open_user_cache
from ctgi.tools.search_gallery import GallerySearch
from ctgi.tools.tool_calls import AGENT

Graph = Any  # compiled; its four type parameters say nothing to a server
_LENGTH = 10
_STEPS = RunnableConfig(recursion_limit=1000)
"""More steps than any run of ours takes: the graphs end by their own settings, and LangGraph's 25 are too few."""
logger = logging.getLogger(__name__)
_opened: "MutableMapping[asyncio.AbstractEventLoop, dict[Callable[[], Any], asyncio.Task[Any]]]" = WeakKeyDictionary()


class ImageFile(TypedDict, total=False):
    """An image on the server's machine."""

    path: str
    sha256: str
    """Of its content; computed if left out."""


class MtgInput(TypedDict):
    """The input of an MTG run."""

    image: ImageFile


class MtiInput(TypedDict, total=False):
    """The input of an MTI run."""

    query: str
    length: int
    """Results wanted; 10 if left out."""


async def mtg() -> Graph:
    """The MTG graph with the configured tools: `{"image": {"path": FILE}}` in, the state with its `caption` out.

    Here and below, a run raises CtgiError if the configuration, or what it binds, is not usable.
    """
    return build_mtg(Host(partial(_once, _open_mtg), MtgInput, _one_image)).with_config(_STEPS)


async def mti() -> Graph:
    """The MTI graph with the configured tools and gallery: `{"query": TEXT}` in, the state with its `ranking` out.

    With answer_question bound to human, the questions are interrupts that the client resumes with the answer.
    A run raises CtgiError also if no gallery is named.
    """
    return build_mti(host=Host(partial(_once, _open_mti), MtiInput, _one_query)).with_config(_STEPS)


async def agent() -> Graph:
    """The agent's graph with the configured model, tools and gallery: `{"query": TEXT}` in, the `ranking` out.

    A run raises CtgiError also if no gallery is named, or no agent bound.
    """
    return build_agent(host=Host(partial(_once, _open_agent), MtiInput, _one_query)).with_config(_STEPS)


async def _once(open_context: Callable[[], Any]) -> Any:
    """The context, opened in a thread for the running loop, if it is not open already."""
    tasks = _opened.setdefault(asyncio.get_running_loop(), {})
    task = tasks.get(open_context)
    if task is None or (task.done() and task.exception()):  # the cause may have been fixed meanwhile
        task = tasks[open_context] = asyncio.ensure_future(asyncio.to_thread(open_context))
    return await asyncio.shield(task)


def _open_mtg() -> MtgContext:
    settings = _settings()
    _tell_senders(settings, mtg_tools)
    return mtg_context(settings, Models(), cache=_cache(settings))


def _open_mti() -> MtiContext:
    settings = _settings()
    asks = settings.binding("answer_question").endpoint == "human"
    _tell_senders(settings, WITHOUT_ANCHOR if asks else mti_tools)
    gallery = partial(_open_gallery, settings)
    return mti_context(settings, gallery, Models(), interactive=asks, cache=_cache(settings))


def _open_agent() -> AgentContext:
    settings = _settings()
    _tell_senders(settings, (AGENT, *agent_tools))
    search = partial(_open_search, settings)
    return agent_context(settings, search, Models(), cache=_cache(settings))


def _settings() -> Settings:
    for name in prompt_names():  # read here once: the server refuses to read files in its event loop
        prompt(name)
    is_english("yes")
    return load_settings()


def _tell_senders(settings: Settings, tools: Sequence[str]) -> None:
    for line in senders(settings, tools, images=() if tools == WITHOUT_ANCHOR else None):
        logger.warning("%s", line)


def _cache(settings: Settings) -> ChatCache:
    process = ExitStack()
    atexit.register(process.close)
    return process.enter_context(open_user_cache(settings))


def _open_gallery(settings: Settings) -> Gallery:
    if settings.gallery is None:
        raise CtgiError("no gallery: name one in ctgi.toml (gallery = FOLDER) or in CTGI_GALLERY, made by ctgi index")
    return open_gallery(settings.gallery, load_encoder(str(settings.binding("search_gallery")), settings.retriever))


def _open_search(settings: Settings) -> GallerySearch:
    return GallerySearch(_open_gallery(settings))


async def _one_image(state: Any) -> MtgState:
    """The image that a client named, with the hash of its content."""
    image = state.get("image")
    path, sha256 = (image.get("path"), image.get("sha256")) if isinstance(image, dict) else (None, None)
    if not (isinstance(path, str) and path and isinstance(sha256, str | None)):
        raise ArgumentError(f'image is {_told(image)}: expected {{"image": {{"path": "people/0001.jpg"}}}}')
    found = ImageRef(path, sha256) if sha256 else await asyncio.to_thread(ref, path)
    return {"image": found}


async def _one_query(state: Any) -> MtiState:
    """The query that a client gave, and how many results it wants."""
    query, length = state.get("query"), state.get("length", _LENGTH)
    if not (isinstance(query, str) and query.strip()):
        raise ArgumentError(f'query is {_told(query)}: expected {{"query": "woman with red bag"}}')
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise ArgumentError(f"length is {_told(length)}: expected a whole number of results, at least 1")
    return {"query": query.encode(errors="replace").decode(), "length": length}


def _told(value: object) -> str:
    return "missing" if value is None else f"{value!r:.80}"
