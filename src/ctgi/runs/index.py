"""Indexing: an image folder, or the images of another encoder's gallery once more."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ctgi.config import Settings
from ctgi.errors import CtgiError
from ctgi.retrieval.encoder import Encoder, load_encoder
from ctgi.retrieval.gallery import Gallery, GalleryReport, build_gallery, is_gallery, kind_of, open_gallery
from ctgi.retrieval.gallery_files import refuse_two_galleries
from ctgi.retrieval.passed_over import PassedOver
from ctgi.retrieval.sources.references import file_of, is_remote
from ctgi.runs.columns import update_metadata
from ctgi.runs.events import Events
from ctgi.runs.last_gallery import named_gallery, remember
from ctgi.runs.scene_hint import LOOKED_AT, tell_scenes


def build(
    images: list[str],
    folder: Path,
    encoder: Encoder,
    settings: Settings,
    events: Events,
    *,
    rebuild: bool = False,
    metadata: Sequence[Path] = (),
) -> GalleryReport:
    """Build or update the gallery of these images, and what is known of them beside their pixels.

    metadata: tables (.csv, .tsv, .jsonl) with a row for each image.

    Raises:
        CtgiError: as `build_gallery` does, or a table cannot be read.
    """

    def tell(passed: PassedOver) -> None:
        for line in passed.lines():
            events.tell(line)

    _expect_one_gallery(folder)
    with events.progress("index", None) as update:
        report = build_gallery(
            images,
            folder,
            encoder,
            settings.retriever,
            rebuild=rebuild,
            progress=update,
            on_found=tell,
            without_locks=settings.without_locks,
        )
    for path, reason in report.failed:
        events.warn(f"failed: {path}: {reason}")
    if report.rebuilt:
        events.warn(
            f"the gallery was damaged ({report.rebuilt}) and is repaired: {report.encoded} images encoded again"
        )
    if report.encoded:
        some = kind_of(report.folder).some_paths(Path(report.folder), LOOKED_AT)
        tell_scenes([path for path in some if not is_remote(path)], events)
    known = update_metadata(report, metadata, events) if report.total else None
    return replace(report, columns=known.names, unmatched=known.unmatched) if known else report


def open_or_build(
    path: Path, encoder: Encoder, settings: Settings, events: Events
) -> tuple[Gallery, GalleryReport | None]:
    """The gallery at `path` or in the image folder `path`, and what was done if it had to be made first.

    Raises:
        CtgiError: there is nothing at `path`, nothing to search, or an unreadable gallery.
    """
    _expect_one_gallery(path)
    made = None if is_gallery(path, encoder) else _first_use(path, encoder, settings, events)
    gallery = open_gallery(path, encoder)
    _tell_changes(gallery, events)
    chosen = settings.retriever.index
    if "index" in settings.retriever.model_fields_set and gallery.factory not in (None, chosen):
        events.warn(
            f"the gallery has the index {gallery.factory}, not {chosen} as configured: "
            f"run {gallery.index_command} --index {shlex.quote(chosen)} to change it"
        )
    if gallery.failed and not made:
        events.warn(f"images that could not be indexed: {gallery.failed}; {gallery.index_command} lists them")
    return gallery, made


def open_named(path: Path | None, settings: Settings, events: Events) -> tuple[Gallery, GalleryReport | None]:
    """The gallery at `path`, else the configured or the last one, and what was done if it had to be made first.

    Raises:
        CtgiError: as `open_or_build` does, or there is none to be taken.
    """
    path = named_gallery(path, settings, events)
    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    gallery, made = open_or_build(path, encoder, settings, events)
    remember(gallery.name)
    return gallery, made


def _expect_one_gallery(place: Path) -> None:
    home = kind_of(place).home_of(place)
    if home is not None:
        refuse_two_galleries(home)


def _tell_changes(gallery: Gallery, events: Events) -> None:
    """Report images that changed since they were indexed; a gallery without any image was moved or copied alone."""
    check = gallery.check()
    changed, looked_at = check.changed, check.looked_at
    if not changed:
        return
    sampled = looked_at < len(gallery)
    shown = ", ".join(changed[:3]) + (" ..." if len(changed) > 3 else "")
    if len(changed) == looked_at and not any(os.path.lexists(file_of(path)) for path in changed):
        events.warn(
            f"none of the {looked_at:,} indexed images {'looked at ' if sampled else ''}is there ({shown}): "
            "copy them there, or run ctgi index on the folder where they are now"
        )
        return
    events.warn(
        f"images changed or deleted since they were indexed: {len(changed):,}"
        f"{f' of {looked_at:,} looked at' if sampled else ''} ({shown}): "
        f"run {gallery.index_command} to update the gallery"
    )


def _first_use(path: Path, encoder: Encoder, settings: Settings, events: Events) -> GalleryReport:
    """Make what is not there yet, where it says of which images."""
    wanted = kind_of(path).to_make(path, encoder)
    if wanted.why:
        events.tell(wanted.why)
    report = build(wanted.inputs, wanted.out, encoder, settings, events)
    if not report.total:
        raise CtgiError(f"{path}: none of its images could be read, so there is nothing to search")
    return report
