"""What an address stands for: one file, all that is stored below it, what fits a pattern, or a list on a web server."""

import fnmatch
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast
from urllib.parse import urljoin, urlsplit

from ctgi.errors import CtgiError
from ctgi.network import place_of
from ctgi.retrieval.sources import remote
from ctgi.retrieval.sources.references import is_shard
from ctgi.text import plain

_LONGEST_LINE = 8192
_CHUNK = 1 << 16
_FILE = re.compile(r"\.[A-Za-z0-9]{1,8}$")


class Listed(NamedTuple):
    """A file in storage."""

    uri: str
    size: int | None
    stamp: int | None
    """When it was changed, in ns since 1970; where no time is told, a number that changes with the file."""


def listed(uri: str) -> Iterator[Listed]:
    """The files at or below an address of object storage, drawn as they are needed: a bucket may have millions.

    Names with a leading dot below it are left out. A pattern takes those that fit it; * stays within a folder.

    Raises:
        CtgiError: there is nothing, no permission, or the storage cannot be reached.
    """
    place = remote.shown(uri)
    try:
        if any(mark in uri for mark in "*?["):
            return _found(_fitting(uri), f"{place}: nothing matches this pattern")
        told = remote.info(uri)
        if told.get("type") == "file":
            return iter([_listed(uri, told)])
        return _found(_below(uri.rstrip("/")), f"{place}: nothing is stored here")
    except remote.GoneError:
        raise CtgiError(f"{place}: there is no such object, folder or bucket: check the spelling") from None
    except remote.RemoteError as error:
        raise CtgiError(f"{place}: {error}") from None


def file_at(address: str) -> Listed:
    """A file in storage or on a web server, with what is told of it.

    Raises:
        CtgiError: it is not there, or cannot be reached.
    """
    try:
        return state_of(address)
    except remote.RemoteError as error:
        raise CtgiError(f"{remote.shown(address)}: {error}") from None


def state_of(address: str) -> Listed:
    """The same, with errors of `remote`: GoneError, RemoteError."""
    return _listed(address, remote.info(address))


def named_in(url: str) -> Iterator[str]:
    """The addresses in a list on a web server, one a line, drawn as they are needed: a list may never end.

    Lines may count from the list's own address. Empty ones and those that begin with # are skipped.

    Raises:
        CtgiError: it cannot be read or is no list, or a line leads anywhere but to a web server; one on another
            network may not name addresses of this one.
    """
    outside = place_of(url) == "another network"
    count = 0
    for number, line in enumerate(_lines(url), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        where = f"{remote.shown(url)}, line {number}"
        if text.startswith("<"):
            raise CtgiError(f"{where}: a web page and not a list: give the address of a text with one address a line")
        one = urljoin(url, text)
        if urlsplit(one).scheme not in ("http", "https"):
            raise CtgiError(f"{where}: {plain(text)[:80]}: expected an address that begins with http:// or https://")
        if outside and place_of(one) != "another network":
            raise CtgiError(f"{where}: a list on another network names an address of this one: download and check it")
        count += 1
        yield one
    if not count:
        raise CtgiError(f"{remote.shown(url)}: no addresses are listed in it")


def _lines(url: str) -> Iterator[str]:
    system, path = remote.file_system(url)
    rest = b""
    try:
        with remote.asked(url, lambda: system.open(path, "rb", block_size=0, size=1)) as file, remote.explained(url):
            while chunk := file.read(_CHUNK):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (_decoded(url, line) for line in whole)
                if len(rest) > _LONGEST_LINE:
                    raise CtgiError(f"{remote.shown(url)}: not a list of addresses, one a line")
        if rest:
            yield _decoded(url, rest)
    except remote.RemoteError as error:
        raise CtgiError(f"{remote.shown(url)}: {error}") from None


def _decoded(url: str, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CtgiError(f"{remote.shown(url)}: not a list of addresses: it is not UTF-8 text") from None


def _found(files: Iterator[Listed], otherwise: str) -> Iterator[Listed]:
    """The files, of which there is at least one; errors while they are drawn are explained as those of the first."""
    first = next(files, None)
    if first is None:
        raise CtgiError(otherwise)

    def drawn() -> Iterator[Listed]:
        yield first
        try:
            yield from files
        except remote.RemoteError as error:
            raise CtgiError(f"{otherwise.partition(': ')[0]}: listing it failed on the way: {error}") from None

    return drawn()


def _fitting(uri: str) -> Iterator[Listed]:
    base = uri[: re.search(r"[*?\[]", uri).start()].rpartition("/")[0]  # type: ignore[union-attr]  # it has one
    if not base.partition("://")[2]:
        raise CtgiError(f"{remote.shown(uri)}: name the bucket before the pattern")
    pattern = uri[len(base) + 1 :].split("/")
    return (one for one in _below(base) if _fits(one.uri[len(base) + 1 :].split("/"), pattern))


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _below(uri: str) -> Iterator[Listed]:
    pages = _pages_of_s3 if remote.scheme_of(uri) == "s3" else _folders
    for name, told in pages(uri):
        inside = name[len(uri) + 1 :]
        if not inside.endswith("/") and not any(part.startswith(".") for part in inside.split("/")):
            yield _listed(name, told)


def _pages_of_s3(uri: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A thousand objects at a time: fsspec's own listing holds all of them."""
    system, path = remote.file_system(uri)
    bucket, _, prefix = path.partition("/")
    more: dict[str, str] = {}
    while True:
        page = remote.asked(uri, _page(system, bucket, prefix, more))
        for one in page.get("Contents", ()):
            yield f"s3://{bucket}/{one['Key']}", one
        if not page.get("IsTruncated"):
            return
        token = page.get("NextContinuationToken")
        if not token or token == more.get("ContinuationToken"):
            raise CtgiError(f"{remote.shown(uri)}: the server's listing does not go on and does not end: try again")
        more = {"ContinuationToken": token}


def _page(system: Any, bucket: str, prefix: str, more: dict[str, str]) -> Callable[[], dict[str, Any]]:
    below = {"Prefix": f"{prefix}/"} if prefix else {}
    return lambda: cast(dict[str, Any], system.call_s3("list_objects_v2", Bucket=bucket, **below, **more))


def _folders(uri: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Folder by folder, sorted within each."""
    system, path = remote.file_system(uri)
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        entries = sorted(remote.asked(uri, _listing(system, folder)), key=lambda one: str(one["name"]))
        for one in entries:
            if one["type"] != "directory":
                yield f"{uri}{one['name'][len(path) :]}", one
        waiting.extend(one["name"].rstrip("/") for one in reversed(entries) if one["type"] == "directory")


def _listing(system: Any, folder: str) -> Callable[[], list[dict[str, Any]]]:
    return lambda: cast(list[dict[str, Any]], system.ls(folder, detail=True))


def _listed(uri: str, told: dict[str, Any]) -> Listed:
    size = told.get("size", told.get("Size"))
    return Listed(uri, size if isinstance(size, int) else None, _stamp(told))


def _stamp(told: dict[str, Any]) -> int | None:
    for name in ("LastModified", "mtime", "updated", "last_modified"):
        if isinstance(when := told.get(name), datetime):
            return int(when.timestamp() * 1e6) * 1000
    for name in ("ETag", "etag", "blob_id", "md5Hash"):
        if isinstance(mark := told.get(name), str):
            return int(hashlib.sha256(mark.encode()).hexdigest()[:15], 16)
    return None


def looks_like_a_list(url: str) -> bool:
    """Whether the address of a web server names a list, and no archive, table or picture, by its ending."""
    from ctgi.retrieval.image_kinds import image_by_name

    ending = _FILE.search(urlsplit(url).path)
    return not is_shard(url) and not (ending and image_by_name(ending[0].lower()))
