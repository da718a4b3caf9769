"""Collections whose folders are splits and whose file names number people and cameras: Market-1501, MSMT17, PRW."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ctgi.errors import CtgiError
from ctgi.retrieval.finding import find_images
from ctgi.retrieval.passed_over import PassedOver
from ctgi.text import plain

_MARKET = re.compile(r"(?P<person>-?\d{1,5})_?c(?P<camera>\d+)", re.IGNORECASE)
_MSMT = re.compile(r"(?P<person>\d{1,5})_\d+_(?P<camera>\d+)(?=_)")
DISTRACTOR = -1
"""Person of an image that shows nobody of the test: it is in the gallery, and nobody is looked for with it."""


class FolderCounts(NamedTuple):
    """The published counts of one folder of a tree."""

    images: int
    people: int | None = None


@dataclass(frozen=True)
class Tree:
    """A collection that is unpacked into folders of splits."""

    name: str
    folders: Mapping[str, str]
    """Folder -> split."""
    pattern: re.Pattern[str]
    """Of file names: person and camera."""
    published: Mapping[str, FolderCounts] = field(default_factory=dict)
    """Folder -> published counts."""
    whole_numbering: bool = True
    """Whether a number is the same person in all folders."""
    other_folders: tuple[str, ...] = ()
    """What lies beside them and is no picture of one person."""
    junk: int | None = None
    """Number of images that are not to be used."""
    distractors: int | None = None
    """Number of images of nobody in the test."""


TREES = {
    "market1501": Tree(
        "Market-1501",
        {"bounding_box_train": "train", "bounding_box_test": "test", "query": "test"},
        _MARKET,
        {
            "bounding_box_train": FolderCounts(12_936, 751),
            "bounding_box_test": FolderCounts(19_732),
            "query": FolderCounts(3_368, 750),
        },
        other_folders=("gt_bbox", "gt_query"),
        junk=-1,
        distractors=0,
    ),
    "msmt17": Tree(
        "MSMT17",
        {"train": "train", "test": "test", "mask_train_v2": "train", "mask_test_v2": "test"},
        _MSMT,
        {"train": FolderCounts(32_621, 1_041), "test": FolderCounts(93_820, 3_060)},
        whole_numbering=False,
    ),
    "prw": Tree(
        "PRW",
        {"query_box": "test"},
        _MARKET,
        {"query_box": FolderCounts(2_057, 450)},
        other_folders=("frames", "annotations"),
    ),
}


class Shot(NamedTuple):
    """One image of a tree."""

    name: str
    """Path below the root."""
    split: str
    folder: str
    """The folder of its split, or "" in a tree without."""
    person: int
    """As numbered in its name, or where each folder numbers its own, higher in those that come later."""
    camera: int


@dataclass(frozen=True)
class Grove:
    """The images of a tree, and what was left out."""

    root: Path
    shots: list[Shot]
    unnamed: list[str]
    """Images whose names tell no person."""
    junk: int
    passed: PassedOver
    """Files that are no images."""
    beside: list[str]
    """Other folders that are there."""


def tree_root(tree: Tree, root: Path) -> Path | None:
    """The folder that holds the split folders of a tree: `root` or one in it; None if there is none.

    The folders of MSMT17 may be anybody's, so a file name in them must fit too.
    """
    for place in (root, *_folders(root)):
        there = [name for name in tree.folders if (place / name).is_dir()]
        if there and any(tree.pattern.match(name) for name in _some_names(place / there[0])):
            return place
    return None


def read_tree(tree: Tree, root: Path) -> Grove:
    """The images of a tree, in order of path. A folder without split folders is all train.

    Raises:
        CtgiError: no image whose name tells a person.
    """
    top = tree_root(tree, root)
    place = top or root
    shots: list[Shot] = []
    unnamed: list[str] = []
    passed, junk = PassedOver(), 0
    for path, folder in _images(tree, place, passed, split_folders=top is not None):
        name = Path(path).relative_to(place).as_posix()
        told = tree.pattern.match(PurePosixPath(name).name)
        if not told:
            unnamed.append(name)
        elif int(told["person"]) == tree.junk:
            junk += 1
        else:
            shots.append(
                Shot(name, tree.folders.get(folder, "train"), folder, int(told["person"]), int(told["camera"]))
            )
    if not shots:
        raise CtgiError(
            f"{plain(str(root))}: no image is named as in {tree.name}, like {_example(tree)}: expected the folder with "
            f"{', '.join(tree.folders)}"
        )
    beside = [name for name in tree.other_folders if (place / name).is_dir()]
    return Grove(place, _numbered(tree, shots), unnamed, junk, passed, beside)


def _images(tree: Tree, place: Path, passed: PassedOver, *, split_folders: bool) -> Iterator[tuple[str, str]]:
    """Each image with the folder of its split."""
    folders = [name for name in tree.folders if (place / name).is_dir()] if split_folders else [""]
    for folder in folders:
        for path in find_images([str(place / folder)], passed):
            yield path, folder


def _numbered(tree: Tree, shots: list[Shot]) -> list[Shot]:
    """The images with numbers that are one person each in the whole set; distractors are nobody."""
    if tree.whole_numbering:
        return [
            one._replace(person=DISTRACTOR) if one.person == tree.distractors and one.split != "train" else one
            for one in shots
        ]
    first = 1 + max((one.person for one in shots if one.split == "train"), default=-1)
    return [one if one.split == "train" else one._replace(person=first + one.person) for one in shots]


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir())
    except OSError:
        return []


def _some_names(folder: Path) -> list[str]:
    """A few file names in a folder or in the first folders of it."""
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        folders.sort()
        found += sorted(files)[:20]
        if len(found) >= 20 or place.count(os.sep) - str(folder).count(os.sep) > 2:
            break
    return found


def _example(tree: Tree) -> str:
    return "0000_000_01_0303morning_0015_0.jpg" if tree.pattern is _MSMT else "0002_c1s1_000451_03.jpg"


def cameras(shots: list[Shot]) -> Counter[int]:
    """Camera -> its images."""
    return Counter(one.camera for one in shots)
