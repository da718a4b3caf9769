"""Locks, and atomic writing: a file is either the old one or the complete new one."""

import errno
import fcntl
import logging
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Literal
from uuid import uuid4

from ctgi.errors import CtgiError
from ctgi.text import plain

WithoutLocks = Literal["warn", "stop"]
"""What a command does on a file system that has no locks."""

_LINKS_FOLLOWED = 40  # as many as Linux follows

logger = logging.getLogger(__name__)


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write `content`, as one piece or several, to `path`; see `whole_file`.

    Raises:
        CtgiError: it cannot be written; the file at `path` is untouched.
    """
    with whole_file(path) as file:
        file.writelines([content] if isinstance(content, bytes) else content)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, renamed to `path` when the block ends without an error.

    A link stays and its target is replaced. What is there keeps its mode, and its owner where we may set it.
    Devices, pipes and open files such as /dev/stdout are written to as they are.

    Raises:
        CtgiError: it cannot be written; what was at `path` is untouched.
    """
    try:
        with _streamed(path) or _replaced(_behind_links(path)) as file:
            yield file
    except OSError as error:
        cure = "free some space or choose another place" if is_full(error) else "choose a file in a writable folder"
        raise CtgiError(f"cannot write {plain(str(path))!r} ({error.strerror}): {cure}") from None


def is_full(error: OSError) -> bool:
    """Whether space is the trouble, so that freeing some is the cure."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def _replaced(path: Path) -> Iterator[BinaryIO]:
    before = path.stat() if path.exists() else None
    if before and stat.S_ISDIR(before.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    mode = 0o600 if before else 0o666  # nobody reads what the old file kept from them
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            if before:
                _pass_on(before, file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:  # Ctrl-C too: leave no half file behind
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _pass_on(before: os.stat_result, file: int) -> None:
    with suppress(OSError):  # only root gives files away
        os.fchown(file, before.st_uid, before.st_gid)
    os.fchmod(file, stat.S_IMODE(before.st_mode))


def _behind_links(path: Path) -> Path:
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _streamed(path: Path) -> BinaryIO | None:
    """The thing at `path` opened for writing if it is no file to be replaced: a device, a pipe, an open file."""
    opened = _own_descriptor(path)
    if opened is not None:
        sys.stdout.flush()
        return os.fdopen(os.dup(opened), "wb")
    if not path.exists() or stat.S_ISREG(mode := path.stat().st_mode) or stat.S_ISDIR(mode):
        return None
    return path.open("wb")


def _own_descriptor(path: Path) -> int | None:
    """The number of the open file that /dev/stdout, /dev/fd/3 and the like, or links to them, stand for."""
    for _ in range(_LINKS_FOLLOWED):
        if not path.is_symlink():
            return None
        if os.path.realpath(path.parent) == f"/proc/{os.getpid()}/fd":
            return int(path.name)
        path = path.parent / path.readlink()
    return None


def user_folder(variable: str, below_home: str) -> Path | None:
    """This user's folder for ctgi by an XDG variable, else below their home; None for a user without a home."""
    named = os.environ.get(variable)
    try:
        return (Path(named) if named else Path.home() / below_home) / "ctgi"
    except RuntimeError:  # as in a container run by a bare number
        return None


# --- locks


def lock(file: int, *, shared: bool = False, wait: bool = False) -> str:
    """Lock an open file until it is closed; "" once it is locked, else why this file system has no locks.

    file: its descriptor. wait: for another process that holds it.

    Raises:
        BlockingIOError: another process holds it.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError as error:  # of an open file only this is left: NFS without lockd, some Lustre and FUSE mounts
        return error.strerror or str(error)
    return ""


def own(file: int, path: Path, without_locks: WithoutLocks = "warn", *, wait: bool = False) -> None:
    """Lock an open file for this process alone until it is closed, or say that it can't be.

    path: its name, for messages. without_locks: on a file system that has no locks, go on with a warning or stop.
    wait: for another process that holds it.

    Raises:
        BlockingIOError: another process holds it.
        CtgiError: the file system has no locks, and that stops.
    """
    reason = lock(file, wait=wait)
    if reason and without_locks == "stop":
        raise CtgiError(
            f"{plain(str(path))}: this file system has no locks ({reason}): choose a place on a local disk, "
            'or set without_locks = "warn" in ctgi.toml'
        )
    if reason:
        logger.warning(
            "%s: this file system has no locks (%s): going on without; let no other ctgi write here meanwhile",
            plain(str(path)),
            reason,
        )


def open_owned(path: Path, without_locks: WithoutLocks = "warn", *, wait: bool = False) -> FileIO:
    """The file at `path`, made if it is not there, open for reading and appending for this process alone; see `own`.

    Raises:
        OSError: it cannot be opened; a BlockingIOError if another process holds it.
        CtgiError: the file system has no locks, and that stops.
    """
    while True:
        file = FileIO(path, "a+")
        try:
            own(file.fileno(), path, without_locks, wait=wait)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # whoever had it has removed it, or written it anew
