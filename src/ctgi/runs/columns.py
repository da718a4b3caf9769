"""What is known of images beside their pixels: taken over when they are indexed, and used to narrow a search."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from ctgi.errors import CtgiError
from ctgi.retrieval.columns import FILE, ColumnsReport, update_columns
from ctgi.retrieval.gallery import Gallery
from ctgi.retrieval.gallery_files import read_header
from ctgi.retrieval.gallery_header import image_root
from ctgi.retrieval.gallery_manifest import Manifest
from ctgi.retrieval.gallery_names import gallery_home
from ctgi.retrieval.metadata import SOURCES
from ctgi.runs.events import Events
from ctgi.text import plain


def update_metadata(folder: Path, tables: Sequence[Path], events: Events) -> ColumnsReport | None:
    """Take over what tables, and the sources.jsonl beside crops, say of a gallery's images; None where nothing does.

    Raises:
        CtgiError: a table cannot be read, or what is known cannot be written.
    """
    header, home = read_header(folder), gallery_home(folder)
    root, paths = Path(image_root(folder, header)), [entry.path for entry in Manifest(folder, header)]
    all_tables = [*_sources(root, paths), *tables]
    if not all_tables and not (home / FILE).exists():
        return None
    found = update_columns(home, paths, all_tables, root)
    events.tell(f"known of {found.images:,} of {len(paths):,} images: {plain(', '.join(found.names))}")
    if found.unmatched:
        events.warn(f"{found.unmatched:,} rows of the tables name no image of the gallery, and are left out")
    for name, text in found.mixed.items():
        events.warn(f"column {plain(name)}: not all are numbers ({plain(text)[:40]!r}), so it is compared as text")
    return found


def _sources(root: Path, paths: Iterable[str]) -> list[Path]:
    """The tables that lie in the folders of the images, or above them within the root."""
    folders = {folder for path in paths for folder in PurePath(path).parents}
    return sorted(root / folder / SOURCES for folder in folders if (root / folder / SOURCES).is_file())


def narrowed(gallery: Gallery, where: str | None, group: str | None, events: Events) -> Gallery:
    """The gallery as a filter leaves it; says how many images pass.

    Raises:
        CtgiError: not a condition over the columns, no such column, or no image passes.
    """
    if where is None and group is None:
        return gallery
    found = gallery.narrowed(gallery.columns(), where, group)
    if found.narrowing and not found.narrowing.images:
        raise CtgiError(f"where: {plain(str(where))}: none of the {len(gallery):,} images passes it")
    if group is not None and (without := sum(value is None for value in found.columns().values(group))):
        events.tell(f"{without:,} images have no {plain(group)}, and count each for itself")
    if found.narrowing and where is not None:
        events.tell(f"{found.narrowing.images:,} of {len(gallery):,} images pass the filter")
    return found
