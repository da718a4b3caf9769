"""Captioning in parts: each shard of a collection into a file of its own, by the rows of one manifest."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from ctgi.captions import read_captions
from ctgi.config import Settings
from ctgi.graphs.mtg import TOOLS
from ctgi.places import Placed
from ctgi.reading import Json
from ctgi.retrieval.passed_over import PassedOver
from ctgi.runs.beforehand import beforehand
from ctgi.runs.caption import CaptionReport, Images, as_given, caption_each, found
from ctgi.runs.captions_file import Captioned
from ctgi.runs.events import Events
from ctgi.runs.manifest import Listed, Manifest, manifest_of
from ctgi.runs.on_ray import cluster, run_shards
from ctgi.runs.shards import Shard, WrittenParts
from ctgi.secrets import learn


@dataclass(frozen=True)
class Collection:
    """A collection that is captioned in parts, and where the captions go."""

    out: Path
    """The file that all parts together would write."""
    given: Json
    """How the user named the images."""

    @property
    def manifest(self) -> Manifest:
        """Its images, a row each."""
        return Manifest(manifest_of(self.out), self.given)

    def list(self, inputs: Sequence[str], passed: PassedOver, settings: Settings, events: Events) -> Listed:
        """Bring the manifest in line with the images that `inputs` lead to.

        Raises:
            CtgiError: an input is missing, or the manifest cannot be written.
        """
        return self.manifest.update(found(inputs, passed, events), events, settings.without_locks)


async def caption_shard(
    inputs: Sequence[str],
    out: Path,
    shard: Shard,
    settings: Settings,
    events: Events,
    *,
    limit: int | None = None,
    trace: bool = True,
    split_of: tuple[str, str] | None = None,
) -> CaptionReport:
    """Caption the images of a shard that neither its part file nor `out` holds, and append their records to the former.

    out: the file that all parts together would write. The others are as for `caption_images`.

    Raises:
        CtgiError: as `caption_images` does, or the manifest cannot be written.
    """
    collection = Collection(out, as_given(inputs, split_of))
    report = CaptionReport(str(shard.file(out)))
    listed = await asyncio.to_thread(collection.list, inputs, report.passed, settings, events)
    images = await asyncio.to_thread(_images, collection, shard, listed, limit)
    return await caption_each(images, report, settings, events, limit=limit, trace=trace)


def _images(collection: Collection, shard: Shard, listed: Listed, limit: int | None) -> Images:
    manifest = collection.manifest
    return Images(
        chain(listed.failed, manifest.rows(shard)),
        manifest.count(shard),
        {**collection.given, "limit": limit, "shard": str(shard)},
        _held(collection.out, shard),
    )


def _held(out: Path, shard: Shard) -> Captioned:
    """The images of a shard that the file of all parts holds captions of, as after `ctgi captions merge`."""

    def images() -> Iterator[Placed]:
        for number, line in enumerate(read_captions(out) if out.is_file() else ()):
            if line.has_caption and (not line.sha256 or shard.takes(line.sha256)):
                yield number, line.path, line.sha256

    return Captioned(images(), images)


def caption_on_ray(
    inputs: Sequence[str],
    out: Path,
    settings: Settings,
    events: Events,
    *,
    address: str,
    shards: int,
    trace: bool = True,
    split_of: tuple[str, str] | None = None,
) -> CaptionReport:
    """Caption all images in shards on the nodes of a Ray cluster; the counts of all shards together.

    All nodes need the images and the folder of `out` under the same paths, and the environment variables of keys.
    Replies are not cached. The cluster is at `address` (see `ctgi.runs.on_ray.cluster`), and the collection is divided
    into `shards` parts. The other arguments are as for `caption_shard`.

    Raises:
        CtgiError: no cluster, or shards that ended early; what is finished is in the part files.
    """
    settings = portable(settings)
    for line in beforehand(settings, TOOLS):
        events.announce(line)
    collection, started = Collection(out, as_given(inputs, split_of)), time.perf_counter()
    report = CaptionReport(str(out), shards=shards)
    with cluster(address):
        listed = collection.list(inputs, report.passed, settings, events)
        for error in listed.failed:
            report.failed.append((error.path, error.reason))
            events.warn(f"failed: {error.path}: {error.reason}")
        written = WrittenParts([Shard(index, shards).file(out) for index in range(1, shards + 1)])
        with events.progress("caption", listed.images) as update:
            work = partial(_on_a_node, collection, settings, trace)
            gpus = any(settings.endpoint(settings.binding(tool)).provider == "hf" for tool in TOOLS)
            for part in run_shards(work, shards, events, lambda: update(written.lines()), gpus=gpus):
                report.take_in(part)
    report.seconds = time.perf_counter() - started
    return report


def _on_a_node(collection: Collection, settings: Settings, trace: bool, shard: Shard, events: Events) -> CaptionReport:
    learn(settings.secrets())
    report = CaptionReport(str(shard.file(collection.out)))
    images = _images(collection, shard, Listed(), None)
    return asyncio.run(caption_each(images, report, settings, events, trace=trace, wait=True))


def portable(settings: Settings) -> Settings:
    """The settings as another machine takes them: resolved, so that its own configuration has no part in them.

    The cache of replies is off: it is a file of one machine.
    """
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    return Settings.model_construct(**{**values, "cache": settings.cache.model_copy(update={"enabled": False})})
