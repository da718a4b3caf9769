"""`ctgi crop` replayed: the people of each photograph and frame of the trace, found once more."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from ctgi.agents.assemble import open_tools
from ctgi.agents.grounder import for_scenes
from ctgi.agents.pool import load_pool
from ctgi.config import Settings
from ctgi.errors import CtgiError
from ctgi.records import PeopleRecord
from ctgi.retrieval.images import ImageRef
from ctgi.runs.crop import GRAPH, TOOL, people_of
from ctgi.runs.replay.kind import Outcomes, Work
from ctgi.tools.traces.format import Header, Item
from ctgi.tools.traces.interceptor import Interceptor
from ctgi.tools.traces.player import MissError
from ctgi.tools.traces.reader import Trace


class Crops:
    """Runs that find people in footage."""

    def reads(self, header: Header) -> bool:
        """Whether it is a run of ctgi crop."""
        return header.graph == GRAPH

    def nodes(self) -> list[str]:
        """It has no graph."""
        return []

    def former_nodes(self) -> Mapping[str, tuple[str, ...]]:
        """It never had one."""
        return {}

    @asynccontextmanager
    async def work(
        self, trace: Trace, settings: Settings, interceptor: Interceptor, gallery: Path | None
    ) -> AsyncIterator[Work]:
        """Finds the people of one picture again."""
        async with open_tools(for_scenes(settings), [TOOL], load_pool(), interceptor=interceptor) as tools:

            async def work(item: Item) -> PeopleRecord:
                image = trace.values.images(item.input.get("image"))
                if not isinstance(image, ImageRef):
                    raise MissError(f"item {item.item} names no image: the line was edited")
                with interceptor.item({"image": image}) as done:
                    record = people_of(await tools[TOOL](image))
                    done(record.to_json())
                return record

            yield work

    @contextmanager
    def outcomes(self, out: Path, trace: Trace, settings: Settings) -> Iterator[Outcomes]:
        """None: a replay cuts nothing out.

        Raises:
            CtgiError: always.
        """
        raise CtgiError("--out: a replay of ctgi crop compares what was found, and cuts nothing out: run ctgi crop")
        yield
