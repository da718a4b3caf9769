"""One search: plain, refined by MTI, or refined by a person, under its trace and with the user's cache."""

from collections.abc import Collection
from dataclasses import dataclass

from ctgi.agents.abilities import is_embedded, is_mostly_unknown, unknown_words
from ctgi.agents.assemble import Models
from ctgi.agents.splitting import ReadStored
from ctgi.config import Settings
from ctgi.footage.sources import with_origins
from ctgi.graphs.agent import TOOLS as AGENT_TOOLS
from ctgi.graphs.agent import Person
from ctgi.graphs.contexts import WITHOUT_ANCHOR, open_agent, open_mti, serve_gallery
from ctgi.graphs.mti import TOOLS as MTI_TOOLS
from ctgi.graphs.threads import FILE
from ctgi.records import NotIndexed, SearchRecord
from ctgi.retrieval.gallery import Gallery, GalleryReport
from ctgi.runs.agent_query import search_with_agent
from ctgi.runs.events import Events
from ctgi.runs.query import Ask, converse, search_plain
from ctgi.runs.query import search as search_refined
from ctgi.runs.recording import Act, Recording, recording
from ctgi.tools.protocols import AskUser
from ctgi.tools.search_gallery import GallerySearch
from ctgi.tools.tool_calls import AGENT


@dataclass(frozen=True)
class Conversation:
    """A search in which the person answers: a LangGraph thread, kept beside the gallery."""

    thread: str
    ask: Ask
    """Puts a question to the person."""


@dataclass(frozen=True)
class ByAgent:
    """A search in which a model decides which tools to call."""

    person: Person | None = None
    """Who may be asked."""
    ask: AskUser | None = None
    """Puts a question to the person."""


async def search(
    gallery: Gallery,
    query: str | None,
    length: int,
    settings: Settings,
    events: Events,
    *,
    mti: bool = True,
    conversation: Conversation | None = None,
    agent: ByAgent | None = None,
    trace: bool = True,
    models: Models | None = None,
    made: GalleryReport | None = None,
    stored: ReadStored | None = None,
) -> SearchRecord:
    """The record that `ctgi search --json` prints.

    Args:
        gallery: opened with its encoder.
        query: None goes on with the conversation's thread.
        length: results wanted.
        settings: bindings and numbers.
        events: hears what leaves the machine before anything does.
        mti: refine the query by a dialogue.
        conversation: let a person answer instead of the best match.
        agent: let a model decide what to call, instead of MTI.
        trace: record every call.
        models: kept open by the caller; None opens them for this search.
        made: what indexing did, where the gallery was made for this search.
        stored: captions of the images, so that MTI asks what tells the candidates apart.

    Raises:
        CtgiError: an empty query, a binding that cannot do its tool, or a server that is gone.
    """
    doing = _agents_act(gallery, agent) if agent else act(gallery, mti=mti, interactive=conversation is not None)
    with recording(doing, settings, events, trace=trace) as run:
        if agent:
            found = await _by_agent(gallery, query, length, settings, agent, run, models)
        elif mti:
            found = await _refined(gallery, query, length, settings, conversation, run, models, stored)
        else:
            tool = serve_gallery(settings, lambda: gallery, run.interceptor)
            found = await search_plain(tool, query or "", length, run.interceptor)
    cache = run.cache
    if cache.reused:
        events.tell(f"{cache.reused} of {cache.made + cache.reused} replies came from the cache")
    unknown = _unknown(settings, doing.tools, found.query, events)
    told: dict[str, object] = {
        "cached": cache.reused,
        **_made_by(gallery),
        **_narrowed(gallery),
        "bindings": {tool: str(settings.binding(tool)) for tool in doing.tools},
        "passed_over": made.passed_over if made else {},
        "not_indexed": tuple(NotIndexed(path=path, reason=reason) for path, reason in made.failed) if made else (),
    }
    _tell_faults(found, events)
    told |= {"results": with_origins(found.results), **({"unknown_words": unknown} if unknown else {})}
    return found.model_copy(update=told)


def act(gallery: Gallery, *, mti: bool, interactive: bool) -> Act:
    """A search as its trace says it. Where a person answers no anchor is looked at: no image is given to a tool."""
    given = {**_made_by(gallery), "images": gallery.identity, "interactive": interactive}
    return Act(
        "search",
        "mti" if mti else "plain",
        ("search_gallery", *MTI_TOOLS) if mti else ("search_gallery",),
        given,
        gallery.root,
        told=WITHOUT_ANCHOR if interactive else None,
        given_images=() if interactive else None,
    )


def _agents_act(gallery: Gallery, agent: ByAgent) -> Act:
    person = agent.person
    given = {**_made_by(gallery), "images": gallery.identity, "interactive": person is not None}
    tools = (AGENT, "search_gallery", *AGENT_TOOLS, *(("ask_user",) if person else ()))
    return Act("search", "agent", tools, given | {"goes_on": bool(person and person.goes_on)}, gallery.root)


def _made_by(gallery: Gallery) -> dict[str, str]:
    return {"gallery": gallery.name, "encoder": gallery.made_with}


def _narrowed(gallery: Gallery) -> dict[str, object]:
    narrowing = gallery.narrowing
    return {"where": narrowing.where, "group": narrowing.group, "searched": narrowing.images} if narrowing else {}


def _tell_faults(found: SearchRecord, events: Events) -> None:
    """Report parts of the query or dialogue that were lost."""
    if found.truncated_tokens:
        events.warn(f"{found.truncated_tokens} tokens of the query were beyond the encoder's length: shorten the query")
    if found.not_english:
        events.warn(
            f"{found.not_english} of {len(found.dialogue)} answers are not English, which CLIP's tokenizer "
            "reads badly: bind a model that answers in English"
        )
    for asked in found.verified:
        if asked.error:
            events.warn(f"not verified: {asked.error}")
    if found.stopped:
        events.warn(f"the agent was stopped before it answered ({found.stopped}): this is the best ranking so far")


def unknown_to_models(settings: Settings, tools: Collection[str], query: str) -> tuple[str, ...]:
    """Words of the query that the embedded models do not know, if these rank or judge."""
    return tuple(unknown_words(query)) if any(is_embedded(settings, tool) for tool in tools) else ()


def _unknown(settings: Settings, tools: Collection[str], query: str, events: Events) -> tuple[str, ...]:
    unknown = unknown_to_models(settings, tools, query)
    if unknown:
        most = "most words" if is_mostly_unknown(query) else "words"
        events.warn(
            f"{most} of this query are unknown to the embedded models, which know only people: {', '.join(unknown)}"
        )
    return unknown


async def _by_agent(
    gallery: Gallery,
    query: str | None,
    length: int,
    settings: Settings,
    agent: ByAgent,
    run: Recording,
    models: Models | None,
) -> SearchRecord:
    opening = open_agent(
        settings,
        lambda: GallerySearch(gallery),
        interactive=agent.person is not None,
        ask=agent.ask,
        interceptor=run.interceptor,
        cache=run.cache,
        models=models,
    )
    async with opening as context:
        return await search_with_agent(context, query or "", length, person=agent.person)


async def _refined(
    gallery: Gallery,
    query: str | None,
    length: int,
    settings: Settings,
    conversation: Conversation | None,
    run: Recording,
    models: Models | None,
    stored: ReadStored | None,
) -> SearchRecord:
    opening = open_mti(
        settings,
        lambda: gallery,
        interactive=conversation is not None,
        interceptor=run.interceptor,
        cache=run.cache,
        models=models,
        stored=stored,
    )
    async with opening as context:
        if conversation is None:
            return await search_refined(context, query or "", length)
        return await converse(
            context, query, length, threads=gallery.home / FILE, thread=conversation.thread, ask=conversation.ask
        )
