"""The files below folders, and those that patterns match."""

import glob
import os
from collections.abc import Iterator

from ctgi.errors import CtgiError
from ctgi.text import plain


def walked(folder: str) -> Iterator[str]:
    """Files below `folder`, sorted within each folder. No folder is entered twice, so loops of links end.

    Names with a leading dot are left out.

    Raises:
        CtgiError: a folder cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    open_folders = [_listing(folder, seen)]
    while open_folders:
        for entry in open_folders[-1]:
            if _is_folder(entry):
                open_folders.append(_listing(entry.path, seen))
                break
            yield entry.path
        else:
            open_folders.pop()


def _listing(folder: str, seen: set[tuple[int, int]]) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder, sorted; none if it was seen before."""
    try:
        here = os.stat(folder)
        with os.scandir(folder) as entries:
            found = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise CtgiError(
            f"{plain(folder)}: cannot read this folder ({error.strerror}): make it readable or leave it out"
        ) from None
    if (here.st_dev, here.st_ino) in seen:
        return iter(())
    seen.add((here.st_dev, here.st_ino))
    return iter(found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that points at itself
        return False


def globbed(pattern: str) -> Iterator[str]:
    """The files that a pattern matches, and those below the folders that it matches, sorted.

    Raises:
        CtgiError: nothing matches, or a folder cannot be read.
    """
    matches = sorted(set(_matches(pattern)))
    if not matches:
        raise CtgiError(f"{plain(pattern)}: nothing matches this pattern: check it from {os.getcwd()}")
    for path in matches:
        yield from walked(path) if os.path.isdir(path) else [path]


def _matches(pattern: str) -> Iterator[str]:
    """Files and folders that a pattern matches. `**` is walked here, because glob's own walk follows loops of links."""
    parts = pattern.split(os.sep)
    if "**" not in parts:
        yield from glob.iglob(pattern)
        return
    place = parts.index("**")
    before, after = os.sep.join(parts[:place]) or os.sep, os.sep.join(parts[place + 1 :])
    for start in filter(os.path.isdir, glob.iglob(before)) if place else [""]:
        for folder in _folders(start):
            yield from _matches(os.path.join(glob.escape(folder), after)) if after else [folder or "."]


def _folders(start: str) -> Iterator[str]:
    """`start` and the folders below it; none is listed twice."""
    seen: set[tuple[int, int]] = set()
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        yield folder
        waiting.extend(os.path.join(folder, entry.name) for entry in _listing(folder or ".", seen) if _is_folder(entry))
