"""Reads every byte of a gallery, and says what is damaged."""

from collections.abc import Iterator
from pathlib import Path

from ctgi.retrieval.gallery_files import embeddings_path, gallery_at, index_path, read_header
from ctgi.retrieval.gallery_header import HEADER, Header
from ctgi.retrieval.gallery_manifest import Manifest
from ctgi.retrieval.gallery_names import DamagedGalleryError
from ctgi.retrieval.gallery_rows import is_whole, open_embeddings
from ctgi.retrieval.images import display
from ctgi.retrieval.index import is_exact, open_index


def damage_of(path: Path) -> list[str]:
    """What is damaged in the gallery at `path` or in the image folder `path`; reads every byte.

    Raises:
        CtgiError: there is none, or it cannot be read.
    """
    home = gallery_at(path)
    folders = [home, *(header.parent for header in sorted(home.glob(f"encoder-*/{HEADER}")))]
    return [found for folder in folders for found in _lasting_damage(folder)]


def _lasting_damage(folder: Path) -> list[str]:
    """The damage of a gallery that was not replaced during the check."""
    while True:
        try:
            header = read_header(folder)
        except DamagedGalleryError as damage:
            return [f"{display(str(folder))}: {damage.what}"]
        found = list(_damage(folder, header))
        if not found or _still(folder, header):
            return found


def _still(folder: Path, header: Header) -> bool:
    try:
        return read_header(folder) == header
    except DamagedGalleryError:
        return False


def _damage(folder: Path, header: Header) -> Iterator[str]:
    if header.count == 0:
        return
    try:
        rows = open_embeddings(folder, header)
        for _ in Manifest(folder, header, whole=True):
            pass
        open_index(folder, header, rows)
        if header.embeddings_crc32 is None:
            yield (
                f"{display(str(folder))}: made by an earlier version without checksums, so its embeddings cannot be "
                "checked: run ctgi index --rebuild to make them again"
            )
        files = {embeddings_path(folder, header): (header.embeddings_bytes, header.embeddings_crc32)}
        if not is_exact(header):
            files[index_path(folder, header)] = header.index_bytes, header.index_crc32
        for path, (size, expected) in files.items():
            if not is_whole(folder, header, path, size, expected):
                yield f"{display(str(path))}: has changed since it was written"
    except DamagedGalleryError as damage:
        yield f"{display(str(folder))}: {damage.what}"
