"""What a kind of run has to say so that its traces can be replayed."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Protocol

from ctgi.config import Settings
from ctgi.reading import Json
from ctgi.records import CaptionRecord, PeopleRecord, SearchRecord
from ctgi.retrieval.images import ImageRef
from ctgi.tools.traces.format import Header, Item
from ctgi.tools.traces.interceptor import Interceptor
from ctgi.tools.traces.reader import Trace

Work = Callable[[Item], Awaitable[CaptionRecord | PeopleRecord | SearchRecord]]
"""Runs one item again."""


class Outcomes(Protocol):
    """A file that a replay writes, as the run itself would have."""

    def write(self, output: Json, *, cached: int) -> None:
        """Append what an item came to; `cached` of its calls were answered by a cache when they were recorded."""
        ...

    def copy_for(self, image: ImageRef) -> Json | None:
        """What was written for the same content under another path, as the outcome of this image; None: nothing."""
        ...


class Kind(Protocol):
    """One kind of run."""

    def reads(self, header: Header) -> bool:
        """Whether this is the head of such a run's trace."""
        ...

    def nodes(self) -> list[str]:
        """Of its graph."""
        ...

    def former_nodes(self) -> Mapping[str, tuple[str, ...]]:
        """Nodes of earlier versions, and those that do their work now."""
        ...

    def work(
        self, trace: Trace, settings: Settings, interceptor: Interceptor, gallery: Path | None
    ) -> AbstractAsyncContextManager[Work]:
        """What runs one item of this trace again; `gallery` is where the gallery lies now, if it was moved."""
        ...

    def outcomes(self, out: Path, trace: Trace, settings: Settings) -> AbstractContextManager[Outcomes]:
        """The new file `out`."""
        ...
