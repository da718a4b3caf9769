"""Searches by an agent replayed: its decisions and its calls come from the trace."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ctgi.config import Settings
from ctgi.graphs.agent import Person, build_agent
from ctgi.graphs.contexts import open_agent
from ctgi.records import SearchRecord
from ctgi.runs.agent_query import search_with_agent
from ctgi.runs.replay.evaluations import not_searched
from ctgi.runs.replay.kind import Work
from ctgi.runs.replay.searches import Searches, asked_of, gallery_of
from ctgi.tools.protocols import SearchGallery
from ctgi.tools.search_gallery import GallerySearch
from ctgi.tools.traces.format import Header, Item
from ctgi.tools.traces.interceptor import Interceptor
from ctgi.tools.traces.reader import Trace


class Agents(Searches):
    """Runs in which a model decides what to call."""

    def reads(self, header: Header) -> bool:
        """Whether it is a run of the agent."""
        return header.graph == "agent"

    def nodes(self) -> list[str]:
        """Of the agent's graph."""
        return [name for name in build_agent().nodes if not name.startswith("__")]

    @asynccontextmanager
    async def work(
        self, trace: Trace, settings: Settings, interceptor: Interceptor, gallery: Path | None
    ) -> AsyncIterator[Work]:
        """Searches again, in the gallery of the trace; what a person said comes from the trace too."""
        given, searched = trace.header.input, trace.header.command != "evaluate"
        person = Person(given.get("goes_on") is True) if given.get("interactive") is True else None

        def opened() -> SearchGallery:
            return GallerySearch(gallery_of(trace, settings, gallery)) if searched else not_searched

        async with open_agent(settings, opened, interactive=person is not None, interceptor=interceptor) as context:

            async def work(item: Item) -> SearchRecord:
                label = {name: value for name, value in item.input.items() if name not in ("query", "length")}
                return await search_with_agent(context, *asked_of(item), person=person, label=label)

            yield work
