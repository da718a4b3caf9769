"""References: the path of an image that is no file of its own. Only text is looked at here; nothing is opened.

`s3://bucket/a.jpg` is an object, `people.tar#1536,5321,a.jpg` a member of an archive (offset, bytes, name), and
`people.parquet#0,17,image` a row of a table (row group, row in it, column). What stands behind `#` has no slash in it,
so a reference lies beside its archive, as any file would.
"""

import os
import re
from functools import lru_cache
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import quote, unquote

_REMOTE = re.compile(r"(?:s3|gs|hf|https?)://.+", re.IGNORECASE | re.DOTALL)
_MEMBER = re.compile(r"(.+\.tar(?:\?[^#/]*)?)#(\d{1,18}),(\d{1,10}),([^/#]*)", re.IGNORECASE | re.DOTALL)
_ROW = re.compile(r"(.+\.parquet(?:\?[^#/]*)?)#(\d{1,9}),(\d{1,12}),([^/#]+)", re.IGNORECASE | re.DOTALL)
_SHARD = re.compile(r"\.(?:tar|parquet)(?:\?[^#/]*)?$", re.IGNORECASE)
_COLUMN = re.compile(r"(.+)#column=([^/#]+)", re.DOTALL)
_LONGEST = 200  # characters of a name in an archive; only people read it
_ODD = re.compile(r"[^\w.\-+=@() ]")


class Member(NamedTuple):
    """A file in a tar archive."""

    archive: str
    offset: int
    """Of its content in the archive, in bytes."""
    size: int
    name: str
    """As it stands in the reference; for people alone, nothing is opened by it."""


class Row(NamedTuple):
    """A picture in a Parquet file."""

    table: str
    group: int
    row: int
    """Within the row group."""
    column: str


def is_remote(path: str) -> bool:
    """Whether a path is an address in object storage or on a web server."""
    return "://" in path and _REMOTE.fullmatch(path) is not None


def is_shard(path: str) -> bool:
    """Whether a path names a tar archive or Parquet file."""
    return _SHARD.search(path) is not None


def member_reference(archive: str, offset: int, size: int, name: str) -> str:
    """The path of a member of an archive."""
    return f"{archive}#{offset},{size},{_one_part(name[-_LONGEST:])}"


def row_reference(table: str, group: int, row: int, column: str) -> str:
    """The path of a picture in a Parquet file."""
    return f"{table}#{group},{row},{_one_part(column)}"


@lru_cache(maxsize=4096)
def parted(path: str) -> Member | Row | None:
    """What a path says of an archive or table; None if it names no part of one."""
    if "#" not in path:
        return None
    if member := _MEMBER.fullmatch(path):
        return Member(member[1], int(member[2]), int(member[3]), member[4])
    if row := _ROW.fullmatch(path):
        return Row(row[1], int(row[2]), int(row[3]), _whole(row[4]))
    return None


def reads_as_reference(path: str) -> bool:
    """Whether a path is written as a reference; a file may be called so nevertheless."""
    return is_remote(path) or parted(path) is not None


def is_reference(path: str) -> bool:
    """Whether the image at `path` is no file of its own; a file that is really called so is one."""
    return is_remote(path) or (parted(path) is not None and not os.path.lexists(path))


def file_of(path: str) -> str:
    """The file in which an image lies: the archive or table of a part, else its own."""
    inside = parted(path)
    return inside[0] if inside and is_reference(path) else path


def placed(root: str | os.PathLike[str], path: str) -> str:
    """The path of an image that is noted from the folder `root`; an address is noted whole."""
    return path if is_remote(path) else os.path.normpath(os.path.join(root, path))


def as_folders(path: str) -> str:
    """A reference in words of folders, `people.tar/0001/a.jpg`, for what is told by names; others as they are."""
    inside = parted(path)
    return f"{inside.archive}/{_whole(inside.name).lstrip('/')}" if isinstance(inside, Member) else path


def file_name(path: str) -> str:
    """The name of an image for people, without its folders: in an archive, the name that it has there."""
    return PurePosixPath(as_folders(path)).name or path


def with_column(path: str, column: str) -> str:
    """An input whose pictures are in this column of its Parquet files."""
    return f"{path}#column={_one_part(column)}"


def column_of(path: str) -> tuple[str, str]:
    """An input and the column named with it, or ""."""
    named = _COLUMN.fullmatch(path) if "#column=" in path else None
    return (named[1], _whole(named[2])) if named and not os.path.lexists(path) else (path, "")


def _one_part(name: str) -> str:
    return _ODD.sub(_quoted, name)


def _quoted(found: re.Match[str]) -> str:
    char = found[0]
    return quote(char.encode("utf-8", "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass"), safe="")


def _whole(text: str) -> str:
    return unquote(text, errors="surrogateescape")
