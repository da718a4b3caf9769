"""A folder of images to captions.jsonl: many MTG dialogues at once, resumed where an earlier run stopped."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ctgi.agents.assemble import Models
from ctgi.agents.languages import is_english
from ctgi.captions import CaptionLine
from ctgi.config import Settings
from ctgi.errors import ImageError, ToolError
from ctgi.graphs.contexts import open_mtg
from ctgi.graphs.mtg import TOOLS, MtgContext, build_mtg, caption
from ctgi.reading import Json
from ctgi.records import CaptionRecord
from ctgi.retrieval.finding import find_sources, is_streamed
from ctgi.retrieval.images import ImageRef, ref
from ctgi.retrieval.passed_over import PassedOver
from ctgi.retrieval.sources.found import Found
from ctgi.retrieval.sources.reading import read_ahead
from ctgi.runs.batch import run_many
from ctgi.runs.captions_file import Captioned, CaptionsFile, open_captions
from ctgi.runs.events import Events, Update
from ctgi.runs.origin import root_of
from ctgi.runs.recording import Act, recording
from ctgi.runs.scene_hint import LOOKED_AT, tell_scenes
from ctgi.spool import Spool
from ctgi.tools.traces.interceptor import Interceptor

_FIRST = 16
"""Images from the network of which it is looked first whether they show scenes."""


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
    """Input and output tokens of all calls, including those of images that failed."""
    seconds: float = 0.0
    """Duration from the first image to the last record."""
    calls: int = 0
    """Requests to models, including those that failed."""
    cached: int = 0
    """Requests answered from the cache, without a model; they took no tokens."""
    thoughts: int = 0
    """Replies whose thoughts were cut off."""
    not_english: int = 0
    """New records whose description or answers are not in English, as far as one can tell."""
    trace: str | None = None
    """The run's trace."""
    passed: PassedOver = field(default_factory=PassedOver)
    """Files beside the images."""
    shards: int = 0
    """Into how many part files of `out` the captions went; 0: into `out` itself."""

    @property
    def done(self) -> int:
        """Images that are finished or failed."""
        return self.captioned + self.copied + self.already + len(self.failed)

    @property
    def in_words(self) -> str:
        """The counts in words, for a progress bar."""
        return f"kept {self.kept}, dropped {self.dropped.total()}, failed {len(self.failed)}"

    @property
    def images_per_s(self) -> float:
        """New captions a second."""
        return self.captioned / self.seconds if self.seconds else 0.0

    def to_json(self) -> Json:
        """As `ctgi caption --json` prints it."""
        return {
            "out": self.out,
            "captioned": self.captioned,
            "copied": self.copied,
            "already": self.already,
            "failed": [{"path": path, "reason": reason} for path, reason in self.failed],
            "passed_over": self.passed.endings,
            "kept": self.kept,
            "dropped": dict(self.dropped),
            "calls": self.calls,
            "cached": self.cached,
            "thoughts": self.thoughts,
            "not_english": self.not_english,
            "tokens": dict(self.tokens),
            "seconds": round(self.seconds, 3),
            "images_per_s": round(self.images_per_s, 3),
            "shards": self.shards,
        }

    def take_in(self, part: "CaptionReport") -> None:
        """Add what another report counts: that of a part, whose images no other part has."""
        for name in ("captioned", "copied", "already", "kept", "calls", "cached", "thoughts", "not_english"):
            setattr(self, name, getattr(self, name) + getattr(part, name))
        self.failed += part.failed
        self.dropped += part.dropped
        self.tokens += part.tokens

    def count(self, record: CaptionRecord) -> None:
        """Add a new record's turns."""
        self.captioned += 1
        said = [record.initial_caption, *(turn.answer for turn in record.turns)]
        self.not_english += not all(map(is_english, said))
        for turn in record.turns:
            if turn.kept:
                self.kept += 1
            else:
                self.dropped[str(turn.reason).partition(":")[0]] += 1


async def caption_image(
    image: ImageRef, settings: Settings, events: Events, *, trace: bool = True, models: Models | None = None
) -> CaptionRecord:
    """One image's record; nothing is written.

    Raises:
        ToolError: a call failed for good.
        CtgiError: set-up, or a server that is gone.
    """
    with recording(_act([image.path], {"inputs": [image.path]}), settings, events, trace=trace) as run:
        async with open_mtg(settings, run.interceptor, run.cache, models) as context:
            return await dialogue(build_mtg(), context, image, _bindings(settings))


@dataclass(frozen=True)
class Images:
    """What a run is to caption."""

    each: Iterable[ImageRef | ImageError]
    """An error stands for an image that cannot be read."""
    count: int | None
    """None where they are read while they are listed, and so not counted beforehand."""
    given: Json
    """How the user named them, for the trace: `inputs` and more."""
    elsewhere: Captioned = field(default_factory=Captioned)
    """Images that another file holds captions of."""


async def caption_images(
    inputs: Sequence[str],
    out: Path,
    settings: Settings,
    events: Events,
    *,
    limit: int | None = None,
    trace: bool = True,
    models: Models | None = None,
    split_of: tuple[str, str] | None = None,
) -> CaptionReport:
    """Caption the images that `out` does not hold yet, and append their records to it.

    With `trace` every call is recorded in a trace of this run, which the records name. `models` are kept open by the
    caller; `events` hears what is passed over, how far the run is, and what failed. `split_of` is the data set and
    split whose images `inputs` lists; the trace then names those.

    Raises:
        CtgiError: set-up, a full disk, or a server that is gone (EndpointDownError); what is finished is in `out`.
    """
    report = CaptionReport(str(out))
    given = {**as_given(inputs, split_of), "limit": limit, "shard": None}
    if any(map(is_streamed, inputs)):
        await asyncio.to_thread(next, find_sources(inputs), None)  # says what is missing before a model is loaded
        images = Images(_read(_drawn(inputs, report.passed, events)), None, given)
    else:
        listed = await asyncio.to_thread(found, inputs, report.passed, events)
        images = Images(_read(listed), len(listed), given)
    return await caption_each(images, report, settings, events, limit=limit, trace=trace, models=models)


def as_given(inputs: Sequence[str], split_of: tuple[str, str] | None) -> Json:
    """How the user named the images: `inputs`, or a data set and its split, as `caption_images` takes them."""
    return {"inputs": [split_of[0]], "split": split_of[1]} if split_of else {"inputs": [*inputs]}


async def caption_each(
    images: Images,
    report: CaptionReport,
    settings: Settings,
    events: Events,
    *,
    limit: int | None = None,
    trace: bool = True,
    models: Models | None = None,
    wait: bool = False,
) -> CaptionReport:
    """Caption these images into the file that `report` names, and count in it; else as `caption_images`.

    wait: for another process that is writing this file, instead of an error.
    """
    with (
        open_captions(Path(report.out), settings.without_locks, wait=wait) as file,
        recording(_act(images.given["inputs"], images.given), settings, events, trace=trace) as run,
    ):
        report.trace = run.interceptor.run
        async with open_mtg(settings, run.interceptor, run.cache, models) as context:
            work = _Captioning(file, context, _bindings(settings), report)
            _tell_other_bindings(file, _bindings(settings), events)
            todo = _todo(images, file, report, run.interceptor, limit)
            try:
                with events.progress("caption", _total(images, limit)) as update:
                    await work.all(todo, in_flight(settings), update)
            finally:
                report.calls, report.cached, report.thoughts = run.cache.made, run.cache.reused, run.cache.thoughts
                report.tokens.update(input=run.cache.spent.input, output=run.cache.spent.output)
    _tell_faults(report, events)
    return report


def found(inputs: Sequence[str], passed: PassedOver, events: Events) -> Spool[Found]:
    """All images, listed so that their number is known; files passed over are reported."""
    images = Spool(find_sources(inputs, passed))
    for line in passed.lines():
        events.tell(line)
    tell_scenes([one.path for one in images[:: max(1, len(images) // LOOKED_AT)]], events)
    return images


def _drawn(inputs: Sequence[str], passed: PassedOver, events: Events) -> Iterator[Found]:
    """All images, read as they are drawn and from the network ahead; what was passed over is reported last."""
    images = read_ahead(find_sources(inputs, passed, reading=True))
    first = [*islice(images, _FIRST)]
    tell_scenes([one.path for one in first], events)
    yield from chain(first, images)
    for line in passed.lines():
        events.tell(line)


def _total(images: Images, limit: int | None) -> int | None:
    return limit if images.count is None else min(images.count, limit or images.count)


def _act(inputs: Sequence[str], given: Json) -> Act:
    return Act("caption", "mtg", TOOLS, given, root_of(inputs))


def _bindings(settings: Settings) -> dict[str, str]:
    return {name: str(settings.binding(name)) for name in TOOLS}


def _tell_other_bindings(file: CaptionsFile, bindings: dict[str, str], events: Events) -> None:
    if file.bindings and file.bindings != bindings:
        events.warn(
            f"{file.path} holds captions made with other bindings, which are kept: "
            "to caption everything again, give another --out"
        )


def _tell_faults(report: CaptionReport, events: Events) -> None:
    for path, reason in report.failed:
        events.warn(f"failed: {path}: {reason}")
    if report.not_english:
        events.warn(
            f"{report.not_english} of {report.captioned} new captions have answers that are not English, which CLIP's "
            "tokenizer reads badly: bind a model that answers in English"
        )


def in_flight(settings: Settings) -> int:
    """Dialogues at once: as many as the endpoints take calls, and a few more whose image is being read."""
    return 4 + max(settings.endpoint(settings.binding(name)).at_once for name in TOOLS) * 5 // 4


def _read(images: Iterable[Found]) -> Iterator[ImageRef | ImageError]:
    for one in images:
        try:
            yield ImageError(one.path, one.fault) if one.fault else ref(one.path)
        except ImageError as error:
            yield error


def _todo(
    images: Images, file: CaptionsFile, report: CaptionReport, interceptor: Interceptor, limit: int | None
) -> Iterator[ImageRef]:
    """Images without a caption; one that cannot be read is counted, and recorded, as failed here."""
    taken = 0
    for image in images.each:
        if limit is not None and taken >= limit:
            return
        if isinstance(image, ImageError):
            report.failed.append((image.path, image.reason))
            with suppress(ImageError), interceptor.item({"image": ImageRef(image.path, "")}):
                raise image
        elif file.holds(image.path, image.sha256) or images.elsewhere.holds(image.path, image.sha256):
            report.already += 1
        else:
            taken += 1
            yield image


class _Captioning:
    """Captions images; the same content is captioned once, whatever its paths."""

    def __init__(
        self, file: CaptionsFile, context: MtgContext, bindings: dict[str, str], report: CaptionReport
    ) -> None:
        self._file, self._context, self._report, self._bindings = file, context, report, bindings
        self._graph = build_mtg()
        self._in_flight: dict[str, asyncio.Lock] = {}

    async def all(self, images: Iterable[ImageRef], at_once: int, update: Update) -> None:
        """Caption these images, so many at once; those that fail are in the report."""
        report, started = self._report, time.perf_counter()
        try:
            async for image, result in run_many(images, self.caption, in_flight=at_once):
                if isinstance(result, ToolError):
                    report.failed.append((image.path, getattr(result, "reason", str(result))))
                update(report.done, note=report.in_words)
        finally:
            report.seconds = time.perf_counter() - started

    async def caption(self, image: ImageRef) -> None:
        """Append the image's record: reuses the record of an identical image, or runs a new dialogue.

        Raises:
            ToolError: no caption for this image.
        """
        lock = self._in_flight.setdefault(image.sha256, asyncio.Lock())
        async with lock:
            known = self._file.find(image.sha256)
            if known:
                with self._context.interceptor.item({"image": image}) as done:
                    done(copy := copied(known, image))
                    self._file.append(copy)
                self._report.copied += 1
                return
            try:
                record = await dialogue(self._graph, self._context, image, self._bindings)
            finally:
                self._in_flight.pop(image.sha256, None)
            self._file.append(record.to_json())
            self._report.count(record)


async def dialogue(graph: Any, context: MtgContext, image: ImageRef, bindings: dict[str, str]) -> CaptionRecord:
    """An image's record, out of a dialogue of its own: an item of the trace.

    Raises:
        ToolError: no caption for this image.
    """
    with context.interceptor.item({"image": image}) as done:
        record = await caption(graph, context, image)
        record = record.model_copy(update={"bindings": bindings, "trace": context.interceptor.run})
        done(record.to_json())
    return record


def copied(known: CaptionLine, image: ImageRef) -> Json:
    """The line of an image whose content was captioned under another path, including fields added by hand."""
    return known.fields | {"path": image.path, "same_as": known.same_as, "seconds": 0.0, "tokens": {}}
