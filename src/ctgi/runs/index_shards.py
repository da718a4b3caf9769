"""Indexing in parts on the nodes of a Ray cluster, into one gallery that takes many writers."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from ctgi.config import RetrieverSettings, Settings
from ctgi.errors import CtgiError
from ctgi.retrieval.encoder import Encoder, load_encoder
from ctgi.retrieval.finding import find_sources
from ctgi.retrieval.gallery_build import GalleryReport
from ctgi.retrieval.lance.build import PartReport, fill_part, prepare
from ctgi.retrieval.lance.place import PREFIX, LancePlace
from ctgi.runs.events import Events
from ctgi.runs.index import build
from ctgi.runs.index_progress import list_of
from ctgi.runs.manifest import Manifest
from ctgi.runs.on_ray import cluster, run_shards
from ctgi.runs.shards import Shard
from ctgi.spool import Spool


def index_on_ray(
    images: list[str],
    out: Path,
    settings: Settings,
    events: Events,
    *,
    address: str,
    shards: int,
    rebuild: bool = False,
    metadata: Sequence[Path] = (),
) -> GalleryReport:
    """Build or update the gallery of these images in shards on the nodes of a Ray cluster.

    All nodes need the images, the encoder's files and the working directory, where the list of the images is kept, and
    reach the gallery, all by the same names. The cluster is at `address` (see `ctgi.runs.on_ray.cluster`), and the
    collection is divided into `shards` parts. The other arguments are as for `ctgi.runs.index.build`.

    Raises:
        CtgiError: no cluster, a gallery that takes one writer only, or shards that ended early; what is indexed stays.
    """
    if not str(out).startswith(PREFIX):
        raise CtgiError("--ray needs a gallery that takes many writers: name one on LanceDB, like --out lance:people")
    started, place = time.monotonic(), LancePlace.of(out)
    manifest = Manifest(list_of(place), {"inputs": images})
    with cluster(address):
        spec = str(settings.binding("search_gallery"))
        encoder = load_encoder(spec, settings.retriever)
        listed = manifest.update(Spool(find_sources(images)), events, settings.without_locks)
        prepare(images, place, encoder, settings.retriever, rebuild=rebuild)
        work = partial(_on_a_node, manifest, place, spec, settings.retriever)
        added = encoded = done = 0
        with events.progress("index", listed.images) as update:
            for part in run_shards(work, shards, events, lambda: None, gpus=True):
                added, encoded, done = added + part.added, encoded + part.encoded, done + part.added + part.reused
                update(done)
    report = build(images, out, encoder, settings, events, metadata=metadata)
    return replace(
        report,
        added=report.added + added,
        reused=report.reused - added,
        encoded=report.encoded + encoded,
        seconds=time.monotonic() - started,
    )


def _on_a_node(
    manifest: Manifest, place: LancePlace, spec: str, settings: RetrieverSettings, shard: Shard, events: Events
) -> PartReport:
    return fill_part(manifest.found(shard), place, _encoder(spec, settings.model_dump_json()), settings)


@cache
def _encoder(spec: str, settings: str) -> Encoder:
    """Loaded once by each process of a node."""
    return load_encoder(spec, RetrieverSettings.model_validate_json(settings))
