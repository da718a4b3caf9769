"""`ctgi evaluate --mti` replayed: the dialogues about its queries; the data set is not part of a trace."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from ctgi.config import Settings
from ctgi.runs.interactions import open_evaluation
from ctgi.runs.replay.kind import Outcomes, Work
from ctgi.runs.replay.searches import Searches, lines_of, searching
from ctgi.tools.traces.format import Header
from ctgi.tools.traces.interceptor import Interceptor
from ctgi.tools.traces.player import MissError
from ctgi.tools.traces.reader import Trace
from ctgi.tools.types import Ranking, Refinement


class Evaluations(Searches):
    """Runs that refine every query of a data set."""

    def reads(self, header: Header) -> bool:
        """Whether it is MTI over a data set."""
        return header.graph == "mti" and header.command == "evaluate"

    @asynccontextmanager
    async def work(
        self, trace: Trace, settings: Settings, interceptor: Interceptor, gallery: Path | None
    ) -> AsyncIterator[Work]:
        """Searches for one query again, as far as its searches were recorded."""
        variant = str(trace.header.input.get("variant"))
        async with open_evaluation(settings, not_searched, None, variant, interceptor) as context:
            yield searching(context)

    @contextmanager
    def outcomes(self, out: Path, trace: Trace, settings: Settings) -> Iterator[Outcomes]:
        """Searches as `ctgi search --json` prints them, one a line."""
        with lines_of(out, trace, settings, {}, {}) as lines:
            yield lines


async def not_searched(
    query: str, k: int, *, refinement: Refinement | None = None, where: str | None = None
) -> Ranking:
    """The search over a data set, which a replay does not have. Raises MissError."""
    raise MissError(
        "this search was not recorded, and the data set is not in the trace: run "
        "ctgi evaluate with the new binding instead, and compare the two with ctgi trace diff"
    )
