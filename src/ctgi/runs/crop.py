"""Photographs and videos to crops of people: detects, tracks, keeps the best of each person and where it is from."""

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctgi.agents.assemble import Models, kept_open, serve_tools
from ctgi.agents.grounder import for_scenes
from ctgi.agents.pool import load_pool
from ctgi.config import Settings
from ctgi.errors import CtgiError, ImageError, ToolError
from ctgi.footage.folder import Mark, PeopleFolder, open_people
from ctgi.footage.frames import Examined, examined
from ctgi.footage.keeping import CropOptions, Keeper, Source
from ctgi.footage.report import CropReport
from ctgi.footage.scenes import clock
from ctgi.footage.sighting import Sighting, sightings, sightings_in
from ctgi.footage.tracking import Track, Tracks
from ctgi.records import PeopleRecord
from ctgi.retrieval.finding import find_images
from ctgi.retrieval.image_kinds import kind_of
from ctgi.retrieval.images import ImageRef, digest, held, picture_at
from ctgi.retrieval.photo_facts import photo_facts
from ctgi.retrieval.video import Frame, Video, VideoFacts, address, content_of, frame_name
from ctgi.runs.events import Events, Update
from ctgi.runs.origin import root_of
from ctgi.runs.recording import Act, recording
from ctgi.text import plain
from ctgi.tools.traces.interceptor import Interceptor
from ctgi.tools.types import Detections

TOOL, GRAPH = "detect_people", "crop"
_MARKED_S = 60.0
"""After so long without anybody it is written down how far a video is."""
_AHEAD = 2
"""Frames that are detected while the next is decoded; more for model servers."""
_AHEAD_OF_SERVERS = 4


async def crop_people(
    inputs: Sequence[str],
    out: Path,
    settings: Settings,
    events: Events,
    options: CropOptions | None = None,
    *,
    limit: int | None = None,
    trace: bool = True,
    models: Models | None = None,
) -> CropReport:
    """Crop the people out of the photographs and videos that `out` does not have yet.

    Args:
        inputs: as for find_images; videos are taken too.
        out: a folder for the crops and sources.jsonl.
        settings: detect_people is bound there.
        events: hears what is passed over, how far the run is, and what failed.
        options: intervals and limits.
        limit: at most so many sources.
        trace: record every call.
        models: kept open by the caller.

    Raises:
        CtgiError: set-up, a full disk, or a server that is gone; what is finished is in `out`.
    """
    if any(os.path.realpath(one) == os.path.realpath(out) for one in inputs):
        raise CtgiError(f"--out {plain(str(out))} is the folder of the footage: give another one for the people")
    options = options or CropOptions()
    settings = for_scenes(settings)
    report = CropReport(str(out))
    paths = await asyncio.to_thread(lambda: [*find_images(inputs, report.passed, kinds=("image", "video"))])
    for line in report.passed.lines():
        events.tell(line)
    act = Act("crop", GRAPH, (TOOL,), {"inputs": [*inputs], "limit": limit}, root_of(inputs))
    with open_people(out, settings.without_locks) as folder, recording(act, settings, events, trace=trace) as run:
        report.trace = run.interceptor.run
        async with kept_open(models) as opened:
            pool = load_pool(settings.mtg.question_pool)
            tools = serve_tools(settings, [TOOL], pool, opened, cache=run.cache, interceptor=run.interceptor)
            work = _Cropping(folder, tools[TOOL], run.interceptor, settings, options, report)
            with events.progress("crop", len(paths)) as update:
                await work.all(paths, inputs, limit, update)
    _tell(report, events)
    return report


def _tell(report: CropReport, events: Events) -> None:
    for path, what in report.damaged:
        events.warn(f"damaged: {plain(path)}: {what}")
    for path, reason in report.failed:
        events.warn(f"failed: {plain(path)}: {reason}")
    for reason, frames in report.missed.items():
        events.warn(f"{frames} frame{'' if frames == 1 else 's'} without an answer of the detector: {reason}")


class _Cropping:
    """One run."""

    def __init__(
        self,
        folder: PeopleFolder,
        detect: Any,
        interceptor: Interceptor,
        settings: Settings,
        options: CropOptions,
        report: CropReport,
    ) -> None:
        binding = settings.binding(TOOL)
        self._folder, self._interceptor = folder, interceptor
        self._tool, self._options, self._report = detect, options, report
        self._keeper = Keeper(folder, options, report)
        self._ahead = _AHEAD_OF_SERVERS if settings.endpoint(binding).base_url else _AHEAD
        self._asked = f"{binding} {options.every_s} {options.min_score} {options.min_height_px} {options.keep}"
        self._note: Callable[[str], None] = lambda note: None

    async def all(self, paths: Sequence[str], inputs: Sequence[str], limit: int | None, update: Update) -> None:
        """Crop these sources, one after the other; those that fail are in the report."""
        report, started, taken = self._report, time.perf_counter(), 0
        try:
            for done, path in enumerate(paths):
                self._note = lambda note, done=done: update(done, note=note)  # type: ignore[misc]
                try:
                    taken += await self._source(path, _camera(path, inputs, self._options))
                except ToolError as error:
                    report.failed.append((path, getattr(error, "reason", str(error))))
                update(done + 1, note=f"{report.people} people")
                if limit is not None and taken >= limit:
                    return
        finally:
            report.seconds = time.perf_counter() - started

    async def _source(self, path: str, camera: str | None) -> bool:
        """Whether there was anything to do."""
        content = await asyncio.to_thread(content_of, path)
        known = self._folder.mark(path)
        if known and known.done and (known.content, known.asked) == (content, self._asked):
            self._report.already += 1
            return False
        mark = self._folder.begin(Mark(self._folder.named(path), content, self._asked))
        source = Source(path, mark, camera, self._options.site)
        before = self._report.found
        if kind_of(path) == "video":
            await self._video(source)
        else:
            await self._photo(source)
        if self._report.found == before and mark.tracks == 0:
            self._report.nobody.append(path)
        return True

    # --- photographs

    async def _photo(self, source: Source) -> None:
        image = ImageRef(source.path, await asyncio.to_thread(digest, source.path))
        with self._interceptor.item({"image": image}) as done:
            found: Detections = await self._tool(image)
            done(people_of(found).to_json())
        await asyncio.to_thread(self._keep_photo, source, image, found)
        self._report.photos += 1
        self._folder.set(replace(source.mark, done=True, tracks=len(found.people)))

    def _keep_photo(self, source: Source, image: ImageRef, found: Detections) -> None:
        facts = photo_facts(source.path)
        source = replace(source, recorded=facts.time, place=facts.place)
        with picture_at(image.path, image.sha256) as picture:
            people = sightings_in(found, picture.image, None, 0.0)
        for number, person in enumerate(people, 1):
            track = Track(number)
            track.add(person, 1)
            self._keeper.finish(track, source, is_photo=True)

    # --- videos

    async def _video(self, source: Source) -> None:
        video = Video(source.path)
        facts = await asyncio.to_thread(video.facts)
        source = replace(source, recorded=facts.recorded, place=facts.place)
        mark = source.mark
        tracks = Tracks(self._options.every_s, self._options.keep, mark.tracks + 1)
        last, frames = mark, 0
        people: list[Sighting] = []
        with closing(_resumed(video, self._options.every_s, mark)) as sampled:
            async for one, found in self._detected(sampled, source):
                frames += 1
                people = await asyncio.to_thread(sightings, found, one, people)
                for track in tracks.update(people):
                    await asyncio.to_thread(self._keeper.finish, track, source)
                last = replace(mark, frame=one.frame.number, time_s=one.frame.time_s, tracks=tracks.next - 1)
                if tracks.nobody and (last.tracks > mark.tracks or last.time_s > mark.time_s + _MARKED_S):
                    mark = last
                    self._folder.set(mark)
                self._note(f"{clock(last.time_s)} of {clock(facts.duration_s)}, {self._report.people} people")
        for track in tracks.end():
            await asyncio.to_thread(self._keeper.finish, track, source)
        if not frames and not source.mark.frame >= 0:
            raise ImageError(source.path, "has no frames that can be read")
        self._report.videos += 1
        self._report.video_s += max(0.0, last.time_s - source.mark.time_s)
        self._tell_damage(video, facts, last.time_s)
        self._folder.set(replace(last, done=True))

    async def _detected(
        self, sampled: Iterator[Examined], source: Source
    ) -> AsyncIterator[tuple[Examined, Detections]]:
        """Each frame with the people in it, in order; a few are detected while the next is decoded."""
        waiting: deque[tuple[Examined, asyncio.Task[Detections] | None]] = deque()
        found, more = Detections(()), True
        try:
            while waiting or more:
                while more and len(waiting) < self._ahead:
                    one = await asyncio.to_thread(next, sampled, None)
                    if one is None:
                        more = False
                    else:
                        task = None if one.picture is None else asyncio.create_task(self._find(one, source))
                        waiting.append((one, task))
                        self._report.frames += task is not None
                        self._report.unchanged += task is None
                if waiting:
                    one, task = waiting.popleft()
                    found = await task if task else found
                    yield one, found
        finally:
            for _, task in waiting:
                if task:
                    task.cancel()
                    with suppress(asyncio.CancelledError, ToolError):
                        await task

    async def _find(self, one: Examined, source: Source) -> Detections:
        """The people in a frame; none where the detector fails, which is counted."""
        assert one.picture is not None
        image = frame_ref(source.path, source.mark.content, one.frame.time_s)
        try:
            with self._interceptor.item({"image": image}) as done, held(image, one.picture):
                found: Detections = await self._tool(image)
                done(people_of(found).to_json())
                return found
        except ToolError as error:
            self._report.missed[str(error).replace(image.path, source.path)] += 1
            return Detections(())

    def _tell_damage(self, video: Video, facts: VideoFacts, end_s: float) -> None:
        told, damage = [], video.damage
        if damage.packets:
            are = "packet is" if damage.packets == 1 else "packets are"
            told.append(f"{damage.packets} {are} damaged and left out")
        expected = facts.duration_s
        short = expected is not None and end_s < expected - max(2.0, 2 * self._options.every_s, 0.05 * expected)
        if damage.end or short:
            why = f" ({damage.end})" if damage.end else ""
            told.append(f"it ends at {clock(end_s)} of {clock(expected)}{why}")
        if told:
            self._report.damaged.append((video.path, "; ".join(told)))


def people_of(found: Detections) -> PeopleRecord:
    """What a photograph or frame came to, as its trace tells it."""
    return PeopleRecord(people=tuple((*one.box, one.score) for one in found.people))


def frame_ref(path: str, content: str, time_s: float) -> ImageRef:
    """A frame of a video as an image: it is told from others by the video's content and its time."""
    return ImageRef(address(path, time_s), frame_name(content, time_s))


def _resumed(video: Video, every_s: float, mark: Mark) -> Generator[Examined]:
    after = Frame(mark.frame, mark.time_s, None) if mark.frame >= 0 else None  # type: ignore[arg-type]
    return examined(video, every_s, after)


def _camera(path: str, inputs: Sequence[str], options: CropOptions) -> str | None:
    """The camera that was named, else the first folder below an input that the source lies in."""
    if options.camera is not None:
        return options.camera
    for one in inputs:
        below = os.path.relpath(path, one) if Path(one).is_dir() else ""
        first, _, rest = below.partition(os.sep)
        if rest and first != os.pardir:
            return first
    return None
