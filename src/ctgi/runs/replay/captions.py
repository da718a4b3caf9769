"""`ctgi caption` replayed: an image of the trace through MTG again."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from ctgi.config import Settings
from ctgi.graphs.contexts import open_mtg
from ctgi.graphs.mtg import SPLIT_NODES, TOOLS, MtgContext, build_mtg
from ctgi.reading import Json
from ctgi.records import CaptionRecord
from ctgi.retrieval.images import ImageRef
from ctgi.runs.caption import copied, dialogue
from ctgi.runs.captions_file import CaptionsFile, open_captions
from ctgi.runs.replay.kind import Outcomes, Work
from ctgi.tools.traces.format import Header, Item
from ctgi.tools.traces.interceptor import Interceptor
from ctgi.tools.traces.player import MissError
from ctgi.tools.traces.reader import Trace


class Captions:
    """Runs that caption images."""

    def reads(self, header: Header) -> bool:
        """Whether it is a run of MTG."""
        return header.graph == "mtg"

    def nodes(self) -> list[str]:
        """Of MTG."""
        return [name for name in build_mtg().nodes if not name.startswith("__")]

    def former_nodes(self) -> Mapping[str, tuple[str, ...]]:
        """As the graph tells it."""
        return SPLIT_NODES

    @asynccontextmanager
    async def work(
        self, trace: Trace, settings: Settings, interceptor: Interceptor, gallery: Path | None
    ) -> AsyncIterator[Work]:
        """Captions one image again."""
        async with open_mtg(settings, interceptor) as context:
            yield _captioning(context, trace, settings)

    @contextmanager
    def outcomes(self, out: Path, trace: Trace, settings: Settings) -> Iterator[Outcomes]:
        """A captions.jsonl."""
        with open_captions(out, settings.without_locks) as captions:
            yield _Captioned(captions)


class _Captioned:
    def __init__(self, file: CaptionsFile) -> None:
        self._file = file

    def write(self, output: Json, *, cached: int) -> None:
        self._file.append(output)

    def copy_for(self, image: ImageRef) -> Json | None:
        original = self._file.find(image.sha256)
        return copied(original, image) if original else None


def _captioning(context: MtgContext, trace: Trace, settings: Settings) -> Work:
    graph = build_mtg()
    bindings = {name: str(settings.binding(name)) for name in TOOLS}

    async def work(item: Item) -> CaptionRecord:
        image = trace.values.images(item.input.get("image"))
        if not isinstance(image, ImageRef):
            raise MissError(f"item {item.item} names no image: the line was edited")
        return await dialogue(graph, context, image, bindings)

    return work
