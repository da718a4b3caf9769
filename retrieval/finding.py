"""Finds images: folders, files, patterns and lists to paths; counts the files passed over."""

import glob
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.reading import NOT_UTF8, read_text
from ctgi.retrieval.image_kinds import UNREAD, Kind, image_by_name, kind_of
from ctgi.text import plain

_IMAGES: tuple[Kind, ...] = ("image",)
_SOURCES = "sources.jsonl"
"""Beside crops, of which it says where they are from: nobody takes it for an image."""
_SHOWN = 6  # endings named in a message


@dataclass
class PassedOver:
    """Files that are not images by name, counted by extension or as "no extension"."""

    endings: Counter[str] = field(default_factory=Counter)
    """Files left out."""
    by_content: Counter[str] = field(default_factory=Counter)
    """Files taken because their content is an image."""
    unread: dict[str, list[str]] = field(default_factory=dict)
    """Files left out that the user may have meant (videos, HEIC), grouped by what to do about them."""

    def count(self, path: str, ending: str, kind: Kind) -> None:
        """Add a file whose extension does not say that it is an image."""
        counts = self.by_content if kind == "image" else self.endings
        counts[ending or "no extension"] += 1
        if kind in UNREAD:
            self.unread.setdefault(UNREAD[kind], []).append(path)

    def lines(self) -> list[str]:
        """The account as messages for the user, one line each; empty if there is nothing to report."""
        lines = []
        if self.by_content:
            lines.append(f"{_files(self.by_content)} taken as images by their content: {_listed(self.by_content)}")
        if self.endings:
            lines.append(f"{_files(self.endings)} passed over: {_listed(self.endings)}")
        for cure, paths in self.unread.items():
            more = f" ({len(paths) - 1:,} more like it)" if len(paths) > 1 else ""
            lines.append(f"{plain(os.path.basename(paths[0]))} is {cure}{more}")
        return lines


def _files(counts: Counter[str]) -> str:
    return f"{counts.total():,} file{'' if counts.total() == 1 else 's'}"


def _listed(counts: Counter[str]) -> str:
    shown = ", ".join(f"{plain(ending)} ({count:,})" for ending, count in counts.most_common(_SHOWN))
    return shown + (f" and {len(counts) - _SHOWN:,} more endings" if len(counts) > _SHOWN else "")


def canonical(path: str) -> str:
    """The canonical path of a file: absolute, links resolved. The file need not exist."""
    return os.path.realpath(path)


def many_canonical() -> Callable[[str], str]:
    """As `canonical`, for many files in few folders; the folders must stay as they are meanwhile."""
    real = lru_cache(maxsize=1024)(canonical)

    def name(path: str) -> str:
        folder, last = os.path.split(path)
        if last in ("", ".", "..") or os.path.islink(path):
            return canonical(path)
        return os.path.join(real(folder), last)

    return name


class _Met:
    """Files met so far, by device and inode, in a temporary file of SQLite's: millions of them take some MB."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("CREATE TABLE met (device, inode, PRIMARY KEY (device, inode)) WITHOUT ROWID")
        self._base.execute("BEGIN")

    def __del__(self) -> None:
        self._base.close()

    def first_time(self, path: str) -> bool:
        """Whether this file is new, also under another link. A missing file is reported when it is read."""
        try:
            status = os.stat(path)
        except OSError:
            return True
        place = [number - 2**63 for number in (status.st_dev, status.st_ino)]  # SQLite has only signed ones
        return self._base.execute("INSERT OR IGNORE INTO met VALUES (?, ?)", place).rowcount == 1


def find_images(
    inputs: Sequence[str], passed: PassedOver | None = None, *, kinds: Collection[Kind] = _IMAGES
) -> Iterator[str]:
    """Paths of the images meant by `inputs`, each real file once, in the order given.

    Folders are searched through (sorted; names with a leading dot are skipped), globs expanded, and `@list.txt` read
    as one path a line relative to the list. A file that is named directly is always taken. In folders and among the
    matches of a glob, images are recognized by extension or, without a telling one, by their first bytes.

    Args:
        inputs: folders, files, globs, lists.
        passed: counts the files that were left out.
        kinds: what to take; videos too, if they are among them.

    Raises:
        CtgiError: a path is missing, a folder unreadable or without images, a glob without a match.
    """
    passed = PassedOver() if passed is None else passed
    given, counted = _Met(), _Met()
    for text in inputs:
        for path in _expand(text, passed, counted, kinds):
            if given.first_time(path):
                yield path


def _expand(text: str, passed: PassedOver, counted: _Met, kinds: Collection[Kind]) -> Iterator[str]:
    what = "images or videos" if "video" in kinds else "images"
    if os.path.isdir(text):
        return _images(_walk(text), f"{plain(text)}: no {what} in this folder", passed, counted, kinds)
    if os.path.lexists(text):
        return iter([text])
    if text.startswith("@") and len(text) > 1:
        return _named(text[1:])
    if glob.has_magic(text):
        return _images(_globbed(text), f"{plain(text)}: no {what} match this pattern", passed, counted, kinds)
    raise CtgiError(f"{plain(text)}: no such file or folder: give a folder, a file, a quoted glob or @list.txt")


def _images(
    files: Iterable[str],
    otherwise: str,
    passed: PassedOver,
    counted: _Met,
    kinds: Collection[Kind],
) -> Iterator[str]:
    """The images among `files`; raises CtgiError(`otherwise`) if there is none."""
    empty = True
    for path in files:
        ending = os.path.splitext(path)[1].lower()
        if not image_by_name(ending):
            kind = kind_of(path)
            if kind != "image" and kind in kinds:
                empty = False
                yield path
                continue
            if counted.first_time(path) and os.path.basename(path) != _SOURCES:
                passed.count(path, ending, kind)
            if kind not in kinds:
                continue
        empty = False
        yield path
    if empty:
        raise CtgiError(": ".join([otherwise, *(passed.lines() or ["expected files such as .jpg, .png or .webp"])]))


def _walk(folder: str) -> Iterator[str]:
    """Files below `folder`, sorted within each folder. No folder is entered twice, so loops of links end."""
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


def _globbed(pattern: str) -> Iterator[str]:
    matches = sorted(set(_matches(pattern)))
    if not matches:
        raise CtgiError(f"{plain(pattern)}: nothing matches this pattern: check it from {os.getcwd()}")
    for path in matches:
        yield from _walk(path) if os.path.isdir(path) else [path]


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


def _named(path: str) -> Iterator[str]:
    lines = read_text(Path(path), "list of images", errors="surrogateescape").split("\n")
    names = [(number, name) for number, line in enumerate(lines, 1) if (name := line.strip()) and name[0] != "#"]
    if not names:
        raise CtgiError(f"list of images {plain(path)}: no images are listed in it")
    found = [(number, os.path.join(os.path.dirname(path), name)) for number, name in names]
    odd = [(number, name) for number, name in found if _is_not_utf8(name)]
    if odd and not any(os.path.lexists(name) for _, name in odd):  # else the names of the files are not UTF-8 either
        raise CtgiError(f"list of images {plain(path)}, line {odd[0][0]}: {NOT_UTF8}")
    return (name for _, name in found)


def _is_not_utf8(name: str) -> bool:
    return any("\udc80" <= char <= "\udcff" for char in name)
