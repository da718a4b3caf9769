"""The annotation layouts of the person search benchmarks, and how captions are matched to their images."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from ctgi.errors import CtgiError
from ctgi.reading import Json, read_json
from ctgi.text import plain

T = TypeVar("T")


class Counts(NamedTuple):
    """The counts of a split."""

    images: int
    captions: int
    people: int


@dataclass(frozen=True)
class Layout:
    """The annotation layout of one benchmark: a JSON list with one object per image."""

    name: str
    """Name of the data set, and of the folder it is unpacked to."""
    file_name: str
    """The annotation file that loaders open."""
    path_key: str
    tokens: bool
    """Whether objects have `processed_tokens`, the words of each caption."""
    published: Mapping[str, Counts]
    """Published counts by split."""
    first_train_id: int = 0
    """Smallest id in train. Loaders of the IRRA family subtract it and expect 0, 1, 2 ..."""
    other_file_name: str = ""
    """Another spelling of the file name in some copies."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The names that the benchmark's files use."""
        return tuple(self.published)


LAYOUTS = {
    "cuhk": Layout(
        "CUHK-PEDES",
        "reid_raw.json",
        "file_path",
        tokens=True,
        published={
            "train": Counts(34_054, 68_126, 11_003),
            "val": Counts(3_078, 6_158, 1_000),
            "test": Counts(3_074, 6_156, 1_000),
        },
        first_train_id=1,
    ),
    "icfg": Layout(
        "ICFG-PEDES",
        "ICFG-PEDES.json",
        "file_path",
        tokens=True,
        published={"train": Counts(34_674, 34_674, 3_102), "test": Counts(19_848, 19_848, 1_000)},
        other_file_name="ICFG_PEDES.json",
    ),
    "rstp": Layout(
        "RSTPReid",
        "data_captions.json",
        "img_path",
        tokens=False,
        published={
            "train": Counts(18_505, 37_010, 3_701),
            "val": Counts(1_000, 2_000, 200),
            "test": Counts(1_000, 2_000, 200),
        },
    ),
}


def read_annotations(path: Path, layout: Layout) -> list[Json]:
    """The objects of an annotation file, one per image, in order.

    Raises:
        CtgiError: the file cannot be read, or is not in this layout.
    """
    name = plain(str(path))
    objects = read_json(path, "annotations")
    if not isinstance(objects, list) or not all(_fits(entry, layout) for entry in objects):
        raise CtgiError(
            f"{name}: expected a list of objects with {layout.path_key}, id, split and captions: "
            "give the data set's annotation file with the splits, and its layout"
        )
    return objects


def _fits(entry: object, layout: Layout) -> bool:
    return (
        isinstance(entry, dict)
        and {"id", "split", "captions"} <= entry.keys()
        and isinstance(entry.get(layout.path_key), str)
    )


def match_images(captions: Mapping[str, T], root: Path, wanted: Iterable[str], known: Iterable[str]) -> dict[str, T]:
    """The entries of `captions` (by path on disk) for the images `wanted` (by path below `root`).

    Images match by path, else by a file name that occurs once on both sides.

    known: all images of the data set; a caption of one of them is used for no other.
    """
    known = list(known)
    names = _once(known)
    below = {path: below_root(path, root) for path in captions}
    inside = set(known)
    strangers = _once(path for path, name in below.items() if name not in inside)
    by_name = {names[name]: path for name, path in strangers.items() if name in names}
    source = by_name | {name: path for path, name in below.items() if name is not None}
    return {path: captions[source[path]] for path in wanted if path in source}


def _once(paths: Iterable[str]) -> dict[str, str]:
    """File name -> path, for the names that occur once."""
    named = [(PurePosixPath(path).name, path) for path in paths]
    count = Counter(name for name, _ in named)
    return {name: path for name, path in named if count[name] == 1}


def below_root(path: str, root: Path) -> str | None:
    """`path` relative to `root`, resolving links only if needed; None if it is elsewhere."""
    for locate in (os.path.abspath, os.path.realpath):
        here, there = Path(locate(path)), Path(locate(root))
        if here.is_relative_to(there):
            return here.relative_to(there).as_posix()
    return None
