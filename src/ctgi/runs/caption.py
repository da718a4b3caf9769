"""A folder of images to captions.jsonl: many MTG dialogues at once, resumed where an earlier run stopped."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctgi.agents.assemble import Models
from ctgi.agents.languages import is_english
from ctgi.config import Settings
from ctgi.errors import ImageError, ToolError
from ctgi.graphs.contexts import open_mtg
from ctgi.graphs.mtg import TOOLS, MtgContext, build_mtg, caption
from ctgi.retrieval.finding import find_images
from ctgi.retrieval.images import ImageRef, digest
from ctgi.runs.batch import run_many
from ctgi.runs.captions_file import CaptionsFile, open_captions
from ctgi.runs.recording import root_of, tracing
from ctgi.text import plain
from ctgi.tools.chat_cache import open_user_cache
from ctgi.tools.traces.interceptor import Interceptor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, 1-based; images are dealt out by content, so copies fall into one shard."""

    index: int
    count: int

    def takes(self, sha256: str) -> bool:
        """Whether an image with this content belongs to the shard."""
        return int(sha256[:8], 16) % self.count == self.index - 1


@dataclass
class CaptionReport:
    """What a captioning run did, counted as it goes."""

    out: str
    captioned: int = 0
    copied: int = 0
    """Images whose content was captioned under another path."""
    already: int = 0
    """Images that an earlier run had captioned."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(path, reason) of the images without a caption."""
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Dropped answers by the first word of their reason."""
    tokens: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    """From the first image to the last record."""
    calls: int = 0
    """Requests that models answered."""
    cached: int = 0
    """Requests answered from the cache, without a model; they took no tokens."""
    thoughts: int = 0
    """Replies that came with thoughts, which were cut off."""
    not_english: int = 0
    """New records whose description or answers are not in English, as far as one can tell."""
    trace: str | None = None
    """The run's trace."""

    def count(self, record: dict[str, Any]) -> None:
        """Add a new record's turns and tokens."""
        self.captioned += 1
        self.tokens.update(record["tokens"])
        said = [record["initial_caption"], *(turn["answer"] for turn in record["turns"])]
        self.not_english += not all(map(is_english, said))
        for turn in record["turns"]:
            if turn["kept"]:
                self.kept += 1
            else:
                self.dropped[turn["reason"].partition(":")[0]] += 1


async def caption_images(
    inputs: Sequence[str],
    out: Path,
    settings: Settings,
    *,
    limit: int | None = None,
    shard: Shard | None = None,
    on_progress: Callable[[CaptionReport], None] = lambda report: None,
    trace: bool = True,
    models: Models | None = None,
) -> CaptionReport:
    """Caption the images that `out` does not hold yet, and append their records to it.

    With `trace` every call is recorded in a trace of this run, which the records name. `models` are kept open by the
    caller.

    Raises:
        CtgiError: set-up, a full disk, or a server that is gone (EndpointDownError); what is finished is in `out`.
    """
    report = CaptionReport(str(out))
    given = {"inputs": [*inputs], "limit": limit, "shard": f"{shard.index}/{shard.count}" if shard else None}
    with (
        open_captions(out, settings.without_locks) as file,
        tracing(
            settings, command="caption", graph="mtg", tools=TOOLS, given=given, root=root_of(inputs), wanted=trace
        ) as interceptor,
        open_user_cache(settings) as cache,
    ):
        report.trace = interceptor.run
        async with open_mtg(settings, interceptor, cache, models) as context:
            bindings = {name: str(settings.binding(name)) for name in TOOLS}
            if file.bindings and file.bindings != bindings:
                logger.warning(
                    "%s holds captions made with other bindings, which are kept; --out another file captions all anew",
                    plain(str(out)),
                )
            run = _Run(file, context, bindings, report, interceptor)
            started = time.perf_counter()
            todo = _todo(inputs, file, report, interceptor, limit=limit, shard=shard)
            try:
                async for ref, result in run_many(todo, run.caption, in_flight=in_flight(settings)):
                    if isinstance(result, ToolError):
                        report.failed.append((ref.path, getattr(result, "reason", str(result))))
                    on_progress(report)
            finally:
                report.seconds = time.perf_counter() - started
                report.calls, report.cached, report.thoughts = cache.made, cache.reused, cache.thoughts
    return report


def in_flight(settings: Settings) -> int:
    """Dialogues at once: as many as the endpoints take calls, and a few more whose image is being read."""
    return 4 + max(settings.endpoint(settings.binding(name)).concurrency for name in TOOLS) * 5 // 4


def _todo(
    inputs: Sequence[str],
    file: CaptionsFile,
    report: CaptionReport,
    interceptor: Interceptor,
    *,
    limit: int | None,
    shard: Shard | None,
) -> Iterator[ImageRef]:
    """Images without a caption; one that cannot be read is counted, and recorded, as failed here."""
    taken = 0
    for path in find_images(inputs):
        if limit is not None and taken >= limit:
            return
        try:
            sha256 = digest(path)
        except ImageError as error:
            report.failed.append((path, error.reason))
            with suppress(ImageError), interceptor.item({"image": ImageRef(path, "")}):
                raise
            continue
        if shard and not shard.takes(sha256):
            continue
        if file.holds(path, sha256):
            report.already += 1
            continue
        taken += 1
        yield ImageRef(path, sha256)


class _Run:
    """Captions images; the same content is captioned once, whatever its paths."""

    def __init__(
        self,
        file: CaptionsFile,
        context: MtgContext,
        bindings: dict[str, str],
        report: CaptionReport,
        interceptor: Interceptor,
    ) -> None:
        self._file, self._context, self._report, self._interceptor = file, context, report, interceptor
        self._graph = build_mtg()
        self._bindings = bindings
        self._in_flight: dict[str, asyncio.Lock] = {}

    async def caption(self, image: ImageRef) -> None:
        """Append the image's record: a copy where its content has one, else a new dialogue's.

        Raises:
            ToolError: no caption for this image.
        """
        lock = self._in_flight.setdefault(image.sha256, asyncio.Lock())
        async with lock:
            known = self._file.find(image.sha256)
            with self._interceptor.item({"image": image}) as done:
                if known:
                    done(record := copied(known, image))
                    self._file.append(record)
                    self._report.copied += 1
                    return
                try:
                    record = await caption(self._graph, self._context, image)
                finally:
                    self._in_flight.pop(image.sha256, None)
                done(record := record | {"bindings": self._bindings, "trace": self._interceptor.run})
            self._file.append(record)
            self._report.count(record)


def copied(known: dict[str, Any], image: ImageRef) -> dict[str, Any]:
    """The record of an image whose content was captioned under another path."""
    return known | {"path": image.path, "same_as": known.get("same_as") or known["path"], "seconds": 0.0, "tokens": {}}
