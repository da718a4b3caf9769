"""A folder of images to captions.jsonl: many MTG dialogues at once, resumed where an earlier run stopped."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctgi.agents.assemble import open_tools
from ctgi.agents.judge import Judge
from ctgi.agents.pool import load_pool
from ctgi.config import Settings
from ctgi.errors import ImageError, ToolError
from ctgi.graphs.batch import run_many
from ctgi.graphs.captions_file import CaptionsFile, open_captions
from ctgi.graphs.mtg import TOOLS, MtgContext, build_mtg, caption
from ctgi.retrieval.images import ImageRef, digest, find_images
from ctgi.text import plain
from ctgi.tools.similarity import EncoderSimilarity

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

    def count(self, record: dict[str, Any]) -> None:
        """Add a new record's turns and tokens."""
        self.captioned += 1
        self.tokens.update(record["tokens"])
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
) -> CaptionReport:
    """Caption the images that `out` does not hold yet, and append their records to it.

    Raises:
        CtgiError: set-up, a full disk, or a server that is gone (EndpointDownError); what is finished is in `out`.
    """
    report = CaptionReport(str(out))
    pool = load_pool(settings.mtg.question_pool)
    with open_captions(out) as file:
        async with open_tools(settings, TOOLS, pool) as tools:
            judge = Judge(settings.mtg, _similarity(settings))
            context = MtgContext(**tools, pool=pool, judge=judge, settings=settings.mtg)
            bindings = {name: str(settings.binding(name)) for name in TOOLS}
            if file.bindings and file.bindings != bindings:
                logger.warning("%s holds captions made with other bindings; each record says which", plain(str(out)))
            run = _Run(file, context, bindings, report)
            started = time.perf_counter()
            todo = _todo(inputs, file, report, limit=limit, shard=shard)
            try:
                async for ref, result in run_many(todo, run.caption, in_flight=_in_flight(settings)):
                    if isinstance(result, ToolError):
                        report.failed.append((ref.path, getattr(result, "reason", str(result))))
                    on_progress(report)
            finally:
                report.seconds = time.perf_counter() - started
    return report


def _similarity(settings: Settings) -> EncoderSimilarity | None:
    if settings.mtg.judge == "words":
        return None
    from ctgi.retrieval.encoder import load_encoder

    return EncoderSimilarity(load_encoder(str(settings.binding("search_gallery")), settings.retriever))


def _in_flight(settings: Settings) -> int:
    """Dialogues at once: as many as the endpoints take calls, and a few more whose image is being read."""
    return 4 + max(settings.endpoint(settings.binding(name)).concurrency for name in TOOLS) * 5 // 4


def _todo(
    inputs: Sequence[str],
    file: CaptionsFile,
    report: CaptionReport,
    *,
    limit: int | None,
    shard: Shard | None,
) -> Iterator[ImageRef]:
    """Images without a caption; one that cannot be read is counted as failed here."""
    taken = 0
    for path in find_images(inputs):
        if limit is not None and taken >= limit:
            return
        try:
            sha256 = digest(path)
        except ImageError as error:
            report.failed.append((path, error.reason))
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
        self, file: CaptionsFile, context: MtgContext, bindings: dict[str, str], report: CaptionReport
    ) -> None:
        self._file, self._context, self._report = file, context, report
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
            if known:
                self._file.append(known | {"path": image.path, "same_as": known["path"], "seconds": 0.0, "tokens": {}})
                self._report.copied += 1
                return
            try:
                record = await caption(self._graph, self._context, image)
            finally:
                self._in_flight.pop(image.sha256, None)
            self._file.append(record | {"bindings": self._bindings, "trace": None})
            self._report.count(record)
