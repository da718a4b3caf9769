"""Captioning in parts: each shard of a collection into a file of its own, by the rows of one manifest."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ctgi.captions import read_captions
from ctgi.config import Settings
from ctgi.places import Placed
from ctgi.reading import Json
from ctgi.retrieval.finding import PassedOver
from ctgi.runs.caption import CaptionReport, Images, as_given, caption_each, found
from ctgi.runs.captions_file import Captioned
from ctgi.runs.events import Events
from ctgi.runs.manifest import Listed, Manifest, manifest_of
from ctgi.runs.shards import Shard
from ctgi.text import plain


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
        """Bring the manifest in line with the images that `inputs` lead to, and tell what has changed.

        Raises:
            CtgiError: an input is missing, or the manifest cannot be written.
        """
        manifest = self.manifest
        listed = manifest.update(found(inputs, passed, events), events, settings.without_locks)
        if listed.new or listed.changed or listed.gone:
            events.tell(
                f"{plain(str(manifest.path))}: {listed.images:,} images, {listed.new:,} of them new, "
                f"{listed.changed:,} changed, {listed.gone:,} gone"
            )
        return listed


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
