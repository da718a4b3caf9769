"""What is known of images beside their pixels: taken over when they are indexed, and used to narrow a search."""

from collections.abc import Sequence
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.retrieval.columns import ColumnsReport
from ctgi.retrieval.gallery import Gallery, GalleryReport, kind_of
from ctgi.runs.events import Events
from ctgi.text import plain


def update_metadata(made: GalleryReport, tables: Sequence[Path], events: Events) -> ColumnsReport | None:
    """Take over what tables, and the sources.jsonl beside crops, say of a gallery's images; None where nothing does.

    Raises:
        CtgiError: a table cannot be read, or what is known cannot be written.
    """
    found = kind_of(made.folder).update_columns(Path(made.folder), tables)
    if found is None:
        return None
    events.tell(f"known of {found.images:,} of {made.total:,} images: {plain(', '.join(found.names))}")
    if found.unmatched:
        events.warn(f"{found.unmatched:,} rows of the tables name no image of the gallery, and are left out")
    for name, text in found.mixed.items():
        events.warn(f"column {plain(name)}: not all are numbers ({plain(text)[:40]!r}), so it is compared as text")
    return found


def narrowed(gallery: Gallery, where: str | None, group: str | None, events: Events) -> Gallery:
    """The gallery as a filter leaves it; says how many images pass.

    Raises:
        CtgiError: not a condition over the columns, no such column, or no image passes.
    """
    if where is None and group is None:
        return gallery
    found = gallery.narrowed(where, group)
    narrowing = found.narrowing
    if narrowing and not narrowing.images:
        raise CtgiError(f"where: {plain(str(where))}: none of the {len(gallery):,} images passes it")
    if narrowing and group is not None and narrowing.ungrouped:
        events.tell(f"{narrowing.ungrouped:,} images have no {plain(group)}, and count each for itself")
    if narrowing and where is not None:
        events.tell(f"{narrowing.images:,} of {len(gallery):,} images pass the filter")
    return found
