"""Finds images: folders, files, patterns, lists, archives and addresses to paths; counts the files passed over."""

import glob
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.reading import NOT_UTF8, read_text
from ctgi.retrieval.image_kinds import UNREAD, Kind, image_by_name, is_packed, kind_of, tells_nothing
from ctgi.retrieval.passed_over import PassedOver
from ctgi.retrieval.sources import parquet, tar
from ctgi.retrieval.sources.found import Found
from ctgi.retrieval.sources.listing import Listed, file_at, listed, looks_like_a_list, named_in
from ctgi.retrieval.sources.reading import holds_image
from ctgi.retrieval.sources.references import (
    Member,
    column_of,
    file_of,
    is_reference,
    is_remote,
    is_shard,
    parted,
    reads_as_reference,
)
from ctgi.retrieval.walking import globbed, walked
from ctgi.text import plain

_IMAGES: tuple[Kind, ...] = ("image",)
_SOURCES = "sources.jsonl"
"""Beside crops, of which it says where they are from: nobody takes it for an image."""


def canonical(path: str) -> str:
    """The canonical path of a file: absolute, links resolved. The file need not exist. An address is canonical."""
    return path if is_remote(path) else os.path.realpath(path)


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
    return (found.path for found in _Search(passed, kinds).all(inputs))


def find_sources(inputs: Sequence[str], passed: PassedOver | None = None, *, reading: bool = False) -> Iterator[Found]:
    """The images meant by `inputs`, wherever they lie: each as a path or reference, with its size where that is known.

    Takes what `find_images` takes, and beside it tar archives and Parquet files (named, or in a folder that holds no
    image itself), addresses in object storage (`s3://`, `gs://`, `hf://`: a file, all below it, or a pattern) and on
    web servers (`https://`: an archive, a picture, or a list of addresses). `#column=NAME` behind an input names the
    column of its Parquet files. Everything is drawn as it is needed.

    Args:
        inputs: as for `find_images`, archives and addresses.
        passed: counts the files that were left out.
        reading: each image is read as soon as it is yielded, so that an archive is read through once.

    Raises:
        CtgiError: as `find_images`; storage cannot be reached, or what reads it is not installed.
    """
    return _Search(passed, _IMAGES, sources=True, reading=reading).all(inputs)


def is_streamed(text: str) -> bool:
    """Whether this input should be read while it is listed: it lies in the network, or is an archive."""
    place = column_of(text)[0]
    return is_remote(place) or place.lower().endswith(".tar")


class _Search:
    """One search: what is taken, and what was passed over."""

    def __init__(
        self, passed: PassedOver | None, kinds: Collection[Kind], *, sources: bool = False, reading: bool = False
    ) -> None:
        self._passed = PassedOver() if passed is None else passed
        self._kinds, self._sources, self._reading = kinds, sources, reading
        self._counted = _Met()

    def all(self, inputs: Sequence[str]) -> Iterator[Found]:
        """All that the inputs mean; a file under two names once."""
        given = _Met()
        for text in inputs:
            for found in self._expand(text):
                if reads_as_reference(found.path) or given.first_time(found.path):
                    yield found

    def _expand(self, text: str) -> Iterator[Found]:
        place, column = column_of(text) if self._sources else (text, "")
        what = "images or videos" if "video" in self._kinds else "images"
        if self._sources and is_remote(place):
            return self._at(place, column)
        if os.path.isdir(place):
            return self._images(walked(place), f"{plain(place)}: no {what} in this folder", column)
        if os.path.lexists(place):
            return self._named(place, column)
        if text.startswith("@") and len(text) > 1:
            return (found for path in _listed_in(place[1:]) for found in self._named(path, column))
        if self._sources and is_reference(place) and os.path.lexists(file_of(place)):
            return iter([_part(place)])
        if glob.has_magic(place):
            return self._images(globbed(place), f"{plain(place)}: no {what} match this pattern", column)
        raise CtgiError(f"{plain(place)}: no such file or folder: give a folder, a file, a quoted glob or @list.txt")

    def _named(self, path: str, column: str) -> Iterator[Found]:
        """What a file that is named means: itself, or what is in it."""
        if self._sources and is_remote(path):
            return self._at(path, column)
        if not self._sources:
            return iter([Found(path)])
        if is_reference(path):
            return iter([_part(path)])
        if is_shard(path) and os.path.isfile(path):
            return self._filled(self._in_shards([path], column), f"{plain(path)}: no images in it")
        if is_packed(path):
            fault = f"{UNREAD['packed']}, as a folder or a .tar"
            return iter([Found(path, fault=fault)])
        return iter([Found(path)])

    def _images(self, files: Iterable[str], otherwise: str, column: str) -> Iterator[Found]:
        """The images among files, or else those in the archives among them.

        Raises:
            CtgiError: with `otherwise`, if there is none.
        """
        return self._filled(self._chosen(files, column), otherwise)

    def _chosen(self, files: Iterable[str], column: str) -> Iterator[Found]:
        shards: list[str] = []
        empty = True
        for path in files:
            if self._sources and is_shard(path):
                shards.append(path)
            elif self._takes(path):
                empty = False
                yield Found(path)
        if empty:
            yield from self._in_shards(shards, column)
        else:
            self._pass_over(shards)

    def _takes(self, path: str) -> bool:
        """Whether a file is wanted; if its extension does not say that it is an image, it is counted."""
        ending = os.path.splitext(path)[1].lower()
        if image_by_name(ending):
            return True
        kind = kind_of(path)
        if kind != "image" and kind in self._kinds:
            return True
        if self._counted.first_time(path) and os.path.basename(path) != _SOURCES:
            self._passed.count(path, ending, kind)
        return kind in self._kinds

    def _in_shards(self, paths: Iterable[str], column: str) -> Iterator[Found]:
        for path in paths:
            try:
                status = os.stat(path)
            except OSError as error:
                yield Found(path, fault=f"cannot be read: {error.strerror}")
                continue
            yield from self._in_shard(Listed(path, status.st_size, status.st_mtime_ns), column)

    def _in_shard(self, shard: Listed, column: str) -> Iterator[Found]:
        if ".parquet" in os.path.basename(shard.uri).lower():
            return parquet.rows(shard.uri, column, shard.size, shard.stamp)
        return tar.members(shard.uri, shard.stamp, self._passed, reading=self._reading)

    def _at(self, address: str, column: str) -> Iterator[Found]:
        """What an address means."""
        if not address.lower().startswith("http"):
            return self._filled(self._stored(address, column), f"{plain(address)}: no images are stored here")
        if is_reference(address) and file_of(address) != address:
            return iter([Found(address)])
        if is_shard(address):
            return self._filled(self._in_shard(file_at(address), column), f"{plain(address)}: no images in it")
        if not looks_like_a_list(address):
            return iter([Found(address)])
        return (found for one in named_in(address) for found in self._linked(one, column))

    def _linked(self, address: str, column: str) -> Iterator[Found]:
        """An entry of a list on a web server."""
        if not is_shard(address):
            return iter([Found(address)])
        try:
            return self._in_shard(file_at(address), column)
        except CtgiError as error:
            return iter([Found(address, fault=str(error).partition(": ")[2])])

    def _stored(self, address: str, column: str) -> Iterator[Found]:
        if file_of(address) != address:
            yield Found(address)
            return
        shards: list[Listed] = []
        empty = True
        for one in listed(address):
            if is_shard(one.uri):
                shards.append(one)
            elif one.uri == address or self._takes_object(one.uri):
                empty = False
                yield Found(one.uri, one.size, one.stamp)
        if not empty:
            self._pass_over(one.uri for one in shards)
            return
        for one in shards:
            yield from self._in_shard(one, column)

    def _takes_object(self, uri: str) -> bool:
        """Whether an object is an image, by the rules for files; one whose name tells nothing is looked into."""
        ending = os.path.splitext(uri)[1].lower()
        if image_by_name(ending):
            return True
        is_image = tells_nothing(ending) and holds_image(uri)
        self._passed.count(uri, ending, "image" if is_image else "packed" if is_packed(uri) else "other")
        return is_image

    def _pass_over(self, shards: Iterable[str]) -> None:
        for path in shards:
            self._passed.count(path, os.path.splitext(path)[1].lower(), "shard")

    def _filled(self, images: Iterator[Found], otherwise: str) -> Iterator[Found]:
        """The images, of which there is one at least; raises CtgiError(`otherwise`) if there is none."""
        empty = True
        for found in images:
            empty = False
            yield found
        if empty:
            expected = ["expected files such as .jpg, .png or .webp"]
            raise CtgiError(": ".join([otherwise, *(self._passed.lines() or expected)]))


def _part(path: str) -> Found:
    """A member of an archive or a row of a table of this machine, by its reference."""
    inside = parted(path)
    try:
        status = os.stat(file_of(path))
    except OSError:  # reading it says why
        return Found(path)
    return Found(path, inside.size if isinstance(inside, Member) else status.st_size, status.st_mtime_ns)


def _listed_in(path: str) -> Iterator[str]:
    lines = read_text(Path(path), "list of images", errors="surrogateescape").split("\n")
    names = [(number, name) for number, line in enumerate(lines, 1) if (name := line.strip()) and name[0] != "#"]
    if not names:
        raise CtgiError(f"list of images {plain(path)}: no images are listed in it")
    found = [(number, name if is_remote(name) else os.path.join(os.path.dirname(path), name)) for number, name in names]
    odd = [(number, name) for number, name in found if _is_not_utf8(name)]
    if odd and not any(os.path.lexists(name) for _, name in odd):  # else the names of the files are not UTF-8 either
        raise CtgiError(f"list of images {plain(path)}, line {odd[0][0]}: {NOT_UTF8}")
    return (name for _, name in found)


def _is_not_utf8(name: str) -> bool:
    return any("\udc80" <= char <= "\udcff" for char in name)
