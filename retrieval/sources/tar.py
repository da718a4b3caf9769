"""Tar archives as sources: their images as references, in the order in which they lie there."""

import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ctgi.retrieval.image_kinds import HEAD_BYTES, image_by_name, image_format, is_packed, tells_nothing
from ctgi.retrieval.passed_over import PassedOver
from ctgi.retrieval.sources import remote
from ctgi.retrieval.sources.found import Found
from ctgi.retrieval.sources.recent import recent
from ctgi.retrieval.sources.references import is_remote, is_shard, member_reference

_BUFFER = 1 << 20
_LARGEST_KEPT = 16 << 20
"""A member of more bytes is read again by its reference."""
_BEHIND_END = 64 << 10
_PACKED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}


_HIDDEN = re.compile(r"(?:^|/)\.+[^./]")


class _FaultError(Exception):
    """Why an archive cannot be read on."""


def members(path: str, stamp: int | None, passed: PassedOver, *, reading: bool) -> Iterator[Found]:
    """The images in an archive; what else is in it is counted. Nothing is unpacked, and no name is followed.

    An archive that is damaged or cut off yields the images before that place, and then itself with the fault.

    Args:
        path: the archive, a file or an address.
        stamp: when it was changed.
        passed: counts what is no image.
        reading: each image is read as soon as it is yielded, so that the archive is read through once.
    """
    fault = ""
    try:
        with _opened(path) as file:
            yield from _images(path, file, stamp, passed, reading)
    except (_FaultError, remote.RemoteError) as error:
        fault = str(error)
    except OSError as error:
        fault = f"cannot be read: {error.strerror or type(error).__name__}"
    if fault:
        yield Found(path, fault=fault)


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if is_remote(path):
        with remote.opened(path) as file, remote.explained(path):
            yield file
    else:
        with open(path, "rb", buffering=_BUFFER) as file:
            yield file


def _images(path: str, file: BinaryIO, stamp: int | None, passed: PassedOver, reading: bool) -> Iterator[Found]:
    for member in _walk(file):
        if not _is_image(member, file, passed):
            continue
        reference = member_reference(path, member.offset_data, member.size, member.name)
        if reading and member.size <= _LARGEST_KEPT:
            file.seek(member.offset_data)
            content = file.read(member.size)
            if len(content) < member.size:
                raise _FaultError(f"cut off in the middle of {os.path.basename(member.name)!r}: copy it again")
            recent.put(reference, content)
        yield Found(reference, member.size, stamp)


def _walk(file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """The members in order; raises a _FaultError where they end before the archive does, or the archive before them."""
    head = file.read(8)
    if packed := next((name for mark, name in _PACKED.items() if head.startswith(mark)), ""):
        raise _FaultError(f"compressed ({packed}), so that nothing in it can be read alone: uncompress it first")
    count = 0
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while member := archive.next():
                archive.members.clear()  # type: ignore[attr-defined]  # else they are all kept
                count += 1
                yield member
            end = archive.offset
    except (tarfile.TarError, ValueError, OverflowError):
        raise _FaultError(_damaged(count)) from None
    file.seek(end)
    mark = file.read(tarfile.BLOCKSIZE)
    if mark.strip(b"\0"):
        raise _FaultError(_damaged(count))
    if not mark:
        raise _FaultError(f"ends without an end mark, after {count:,} files: perhaps cut off: copy it again")
    if file.read(_BEHIND_END).strip(b"\0"):
        raise _FaultError(f"goes on behind its end mark, after {count:,} files, as archives that were joined: split it")


def _damaged(count: int) -> str:
    return f"damaged or cut off after {count:,} files: copy it again" if count else "not a tar archive, or damaged"


def _is_image(member: tarfile.TarInfo, file: BinaryIO, passed: PassedOver) -> bool:
    """Whether a member is to be read, by the rules for files in folders; others are counted."""
    if member.isdir() or _HIDDEN.search(member.name):
        return False
    if not member.isreg() or member.issparse():
        passed.endings["links and devices"] += 1
        return False
    ending = os.path.splitext(member.name)[1].lower()
    if image_by_name(ending):
        return True
    is_image = False
    if tells_nothing(ending):
        file.seek(member.offset_data)
        is_image = image_format(file.read(min(HEAD_BYTES, member.size)), member.size) is not None
    is_archive = is_shard(member.name) or is_packed(member.name)
    passed.count(member.name, ending, "image" if is_image else "inner" if is_archive else "other")
    return is_image
