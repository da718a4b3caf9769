"""The images of one split of a data set, from its own list: to caption what is used, and nothing else."""

from dataclasses import dataclass
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.annotations import read_annotations
from ctgi.retrieval.benchmarks.layouts import LAYOUTS, SPLITS
from ctgi.retrieval.benchmarks.places import annotation_files, image_folder, recognize
from ctgi.retrieval.benchmarks.trees import TREES, read_tree
from ctgi.retrieval.finding import find_images
from ctgi.text import plain


@dataclass(frozen=True)
class SplitImages:
    """The images of a split."""

    name: str
    """Of the data set."""
    root: Path
    """The folder that paths of its annotations begin in."""
    images: list[str]
    """Paths on disk."""
    annotations: Path | None
    """Its annotation file, if it has a single one."""


def split_images(data: Path, split: str, root: Path) -> SplitImages:
    """The images of a split of the data set in a folder or annotation file.

    root: a folder that holds the images, if they are not beside the annotations.

    Raises:
        CtgiError: no such data set or split, or images of it are missing.
    """
    if split not in SPLITS:
        raise CtgiError(f"--split {plain(split)!r}: expected one of {', '.join(SPLITS)}")
    layout = recognize(data)
    if layout in LAYOUTS:
        found = _annotated(layout, data, split, root)
    elif layout in TREES:
        grove = read_tree(TREES[layout], data)
        paths = [str(grove.root / one.name) for one in grove.shots if one.split == split and one.person >= 0]
        found = SplitImages(TREES[layout].name, grove.root, paths, None)
    else:
        folder = data / split
        paths = list(find_images([str(folder)])) if folder.is_dir() else []
        found = SplitImages(plain(str(data)), data, paths, None)
    if not found.images:
        raise CtgiError(f"{plain(str(data))}: no image in split {split!r}: ctgi data check shows what is there")
    return found


def _annotated(layout: str, data: Path, split: str, root: Path) -> SplitImages:
    form = LAYOUTS[layout]
    files = annotation_files(form, data)
    rows = read_annotations(files, form).rows
    names = [row.name for row in rows if row.split == split]
    places = (image_folder(files[0].path, form, names), root / form.images, root)
    folder = next((place for place in places if all((place / name).is_file() for name in names)), places[0])
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise CtgiError(
            f"{form.name}: {len(missing):,} of {len(names):,} {split} images missing below {plain(str(folder))} "
            f"({plain(missing[0])} ...): check the folder, or download them"
        )
    return SplitImages(
        form.name, folder, [str(folder / name) for name in names], files[0].path if len(files) == 1 else None
    )
