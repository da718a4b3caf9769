"""Galleries in folders: what `ctgi.retrieval.gallery.Kind` asks of them."""

import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path, PurePath

from ctgi.errors import CtgiError
from ctgi.retrieval import gallery_check
from ctgi.retrieval.columns import FILE, ColumnsReport, Listing
from ctgi.retrieval.columns import update_columns as update_file
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.folder_gallery import FolderGallery, open_folder
from ctgi.retrieval.gallery import ToMake
from ctgi.retrieval.gallery_build import build_gallery, gallery_folder
from ctgi.retrieval.gallery_files import (
    check_encoder,
    find_gallery,
    gallery_at,
    gallery_for,
    read_header,
    refuse_lance,
)
from ctgi.retrieval.gallery_header import Header, has_header, image_root
from ctgi.retrieval.gallery_manifest import Manifest
from ctgi.retrieval.gallery_names import encoder_name, gallery_home, named_by_person
from ctgi.retrieval.gallery_writer import resume, writing
from ctgi.retrieval.image_kinds import UNREAD, kind_of
from ctgi.retrieval.images import display
from ctgi.retrieval.index import Storage
from ctgi.retrieval.metadata import SOURCES
from ctgi.retrieval.parts import Part, Space, relative_to
from ctgi.retrieval.sources.references import is_remote, is_shard, placed
from ctgi.text import plain

__all__ = [
    "build_gallery", "damage_of", "home_of", "is_gallery", "is_there", "lasting_name", "open_gallery", "optimize",
    "some_paths", "to_make", "update_columns", "write",
]  # fmt: skip


def is_gallery(place: Path, encoder: Encoder | None = None) -> bool:
    """Whether there is a gallery at `place` or in the image folder `place`; with `encoder`, one made with it."""
    home = find_gallery(place)
    return home is not None and (encoder is None or has_header(gallery_for(home, encoder.fingerprint)))


def open_gallery(place: Path, encoder: Encoder | None = None) -> FolderGallery:
    """The gallery at `place` or in the image folder `place`; among those of several encoders, that of `encoder`."""
    return open_folder(gallery_at(place), encoder)


def to_make(place: Path, encoder: Encoder) -> ToMake:
    """An image folder is indexed, or the images of another encoder's gallery once more, beside it."""
    home = find_gallery(place)
    if home is None and not place.exists():
        raise CtgiError(f"{place}: no such folder: give a folder of person images, or a gallery of ctgi index")
    if place.is_file() and is_shard(str(place)):
        raise CtgiError(
            f"{plain(str(place))} holds images: index them first: ctgi index {plain(str(place))} --out GALLERY"
        )
    if place.is_file():
        what = UNREAD.get(kind_of(str(place)), "a file")
        raise CtgiError(f"{place} is {what}; expected a folder of person images, or a gallery of ctgi index")
    if home is None:
        refuse_lance(place)
        return ToMake([str(place)], gallery_folder([str(place)]), "")
    header = read_header(home)
    if header.inputs is not None:  # which images those were, only the person knows: the message says what to run
        check_encoder(home, header, encoder.spec, encoder.fingerprint)
    wanted, there = encoder_name(encoder.spec), encoder_name(header.spec)
    why = f"indexing again for {wanted}: the gallery here was made with {there}, and is kept"
    return ToMake([image_root(home, header)], home, why)


def some_paths(place: Path, most: int) -> list[str]:
    """Paths of images, evenly spread over the gallery."""
    header = read_header(place)
    root, manifest = image_root(place, header), Manifest(place, header)
    return [placed(root, manifest[row].path) for row in range(0, len(manifest), max(1, len(manifest) // most))]


def update_columns(place: Path, tables: Sequence[Path]) -> ColumnsReport | None:
    """Take over what tables, and the sources.jsonl beside crops, say of the images; None where nothing does."""
    header, home = read_header(place), gallery_home(place)
    root, paths = Path(image_root(place, header)), [*Manifest(place, header).paths()]
    found = [*_sources(root, paths), *tables]
    if not found and not (home / FILE).exists():
        return None
    return update_file(home, paths, found, root, Listing(header.manifest_crc32, header.count))


def _sources(root: Path, paths: Iterable[str]) -> list[Path]:
    """The tables that lie in the folders of the images, or above them within the root."""
    folders = {folder for path in paths if not is_remote(path) for folder in PurePath(path).parents}
    return sorted(root / folder / SOURCES for folder in folders if (root / folder / SOURCES).is_file())


def write(place: Path, space: Space, parts: Iterable[Part]) -> int:
    """Write a gallery in one go; one that is there stays as it is."""
    if find_gallery(place) is not None:
        raise CtgiError(f"{display(str(place))}: a gallery is there already: choose another folder")
    refuse_lance(place)
    folder = place.resolve()
    root = os.path.relpath(space.root, folder) if folder.is_relative_to(space.root) else space.root
    dtype: Storage = "float16" if space.dtype == "float16" else "float32"
    header = Header(
        spec=space.spec, fingerprint=space.fingerprint, dim=space.dim, dtype=dtype, root=root, index="Flat"
    )  # fmt: skip
    with writing(place):
        writer, _ = resume(place, header, rebuild=True)
        with closing(writer):
            for part in parts:
                entries = [entry._replace(path=relative_to(entry.path, space.root)) for entry in part.entries]
                writer.append(entries, part.vectors)
            return writer.commit().count if len(writer.entries) else 0


def damage_of(place: Path) -> list[str]:
    """What is damaged; reads every byte."""
    return gallery_check.damage_of(place)


def optimize(place: Path) -> str:
    """Nothing: `ctgi index` leaves a folder as it is searched."""
    gallery_at(place)
    return "nothing to do: a gallery in a folder is complete as ctgi index leaves it"


def home_of(place: Path) -> Path | None:
    """The folder that the galleries of all encoders share."""
    return find_gallery(place)


def is_there(place: Path) -> bool:
    """Whether there is a folder, with or without a gallery."""
    return place.is_dir()


def lasting_name(place: Path) -> str:
    """The absolute path."""
    return str(named_by_person(place).resolve())
