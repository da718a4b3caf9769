"""Which captioned image is which image of a data set: paths, and what of them is sure."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeVar

from ctgi.described import is_absolute, tidy_path
from ctgi.retrieval.sources.references import as_folders, is_remote

T = TypeVar("T")
_LEAST_PARTS = 2  # of the end of a path that says which image it is: a folder and the file


def match_images(captions: Mapping[str, T], root: Path, wanted: Iterable[str], known: Iterable[str]) -> dict[str, T]:
    """The entries of `captions` (by path on disk) for the images `wanted` (by path below `root`).

    Images match by path; else by the end of their path, if that fits one image alone, as where captions were made on
    another machine; else by a file name that occurs once on both sides.

    known: all images of the data set; a caption of one of them is used for no other.
    """
    known = list(known)
    inside = set(known)
    below = {path: below_root(path, root) for path in captions}
    strangers = [path for path, name in below.items() if name not in inside]
    by_end = _alone((path, _ending(path, inside)) for path in strangers)
    names, matched = _once(known), set(by_end.values())
    others = _once(path for path in strangers if path not in matched)
    by_name = {names[name]: path for name, path in others.items() if name in names}
    source = by_name | by_end | {name: path for path, name in below.items() if name in inside}
    return {path: captions[source[path]] for path in wanted if path in source}


def _ending(path: str, known: set[str]) -> str:
    """The longest end of a path, of a folder and a name at least, that is a known image; empty if there is none."""
    tidy = tidy_path(as_folders(path))
    parts = tidy.lstrip("/").split("/")
    whole = [] if is_absolute(tidy) else [tidy]
    ends = ["/".join(parts[start:]) for start in range(len(parts) - _LEAST_PARTS + 1)]
    return next((end for end in (*whole, *ends) if end in known), "")


def _alone(ends: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Known image -> path, for those that one path alone fits."""
    pairs = [(end, path) for path, end in ends if end]
    count = Counter(end for end, _ in pairs)
    return {end: path for end, path in pairs if count[end] == 1}


def _once(paths: Iterable[str]) -> dict[str, str]:
    """File name -> path, for the names that occur once."""
    named = [(PurePosixPath(tidy_path(as_folders(path))).name, path) for path in paths]
    count = Counter(name for name, _ in named)
    return {name: path for name, path in named if count[name] == 1}


def below_root(path: str, root: Path) -> str | None:
    """`path` relative to `root`, resolving links only if needed; None if it is elsewhere, as an address always is."""
    if is_remote(path):
        return None
    for locate in (os.path.abspath, os.path.realpath):
        here, there = Path(locate(path)), Path(locate(root))
        if here.is_relative_to(there):
            return here.relative_to(there).as_posix()
    return None
