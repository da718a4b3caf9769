"""One search: plain, refined by MTI, or refined by a person, under its trace and with the user's cache."""

from collections.abc import Collection
from dataclasses import dataclass

from ctgi.agents.abilities import is_embedded, is_mostly_unknown, unknown_words
from ctgi.agents.assemble import Models
from ctgi.config import Settings
from ctgi.graphs.contexts import WITHOUT_ANCHOR, open_mti, serve_gallery
from ctgi.graphs.mti import TOOLS as MTI_TOOLS
from ctgi.graphs.threads import FILE
from ctgi.records import NotIndexed, SearchRecord
from ctgi.retrieval.gallery import Gallery, GalleryReport
from ctgi.runs.events import Events
from ctgi.runs.query import Ask, converse, search_plain
from ctgi.runs.query import search as search_refined
from ctgi.runs.recording import Act, Recording, recording


@dataclass(frozen=True)
class Conversation:
    """A search in which the person answers: a LangGraph thread, kept beside the gallery."""

    thread: str
    ask: Ask
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
    trace: bool = True,
    models: Models | None = None,
    made: GalleryReport | None = None,
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
        trace: record every call.
        models: kept open by the caller; None opens them for this search.
        made: what indexing did, where the gallery was made for this search.

    Raises:
        CtgiError: an empty query, a binding that cannot do its tool, or a server that is gone.
    """
    doing = act(gallery, mti=mti, interactive=conversation is not None)
    with recording(doing, settings, events, trace=trace) as run:
        if mti:
            found = await _refined(gallery, query, length, settings, conversation, run, models)
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
        "bindings": {tool: str(settings.binding(tool)) for tool in doing.tools},
        "passed_over": made.passed_over if made else {},
        "not_indexed": tuple(NotIndexed(path=path, reason=reason) for path, reason in made.failed) if made else (),
    }
    _tell_faults(found, events)
    return found.model_copy(update=({"unknown_words": unknown} if unknown else {}) | told)


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


def _made_by(gallery: Gallery) -> dict[str, str]:
    return {"gallery": str(gallery.name), "encoder": gallery.header.spec}


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


async def _refined(
    gallery: Gallery,
    query: str | None,
    length: int,
    settings: Settings,
    conversation: Conversation | None,
    run: Recording,
    models: Models | None,
) -> SearchRecord:
    opening = open_mti(
        settings,
        lambda: gallery,
        interactive=conversation is not None,
        interceptor=run.interceptor,
        cache=run.cache,
        models=models,
    )
    async with opening as context:
        if conversation is None:
            return await search_refined(context, query or "", length)
        return await converse(
            context, query, length, threads=gallery.home / FILE, thread=conversation.thread, ask=conversation.ask
        )
