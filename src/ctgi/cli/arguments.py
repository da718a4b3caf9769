"""What is wrong with a command's arguments, found before any work starts."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.text import plain

_PLACES = {
    *(
        "--annotations",
        "--config",
        "--csv",
        "--gallery",
        "--html",
        "--images-root",
        "--montage",
        "--out",
        "--png",
        "--root",
    ),
    *("--train-config", "-g", "-o", "-r"),
}
"""Options of a file or folder."""
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_TAKE_ADDRESSES = {("caption", "--out"), ("caption", "-o")}
"""(command, option) of those that take addresses of object storage, too."""


def expect_places(arguments: Sequence[str]) -> None:
    """Refuse a place without a name, as of a shell variable that is not set: it would mean the working directory.

    An address is no place either, but for those that take one: it would mean a folder of that name here.

    Raises:
        CtgiError: the place of an option is empty, or an address.
    """
    for option, place in zip(arguments, (*arguments[1:], None), strict=True):
        name, equals, given = option.partition("=")
        value = given if equals else place
        if name in _PLACES and value and _ADDRESS.match(value) and (arguments[0], name) not in _TAKE_ADDRESSES:
            shown = plain(value.partition("?")[0].rpartition("@")[2])
            of_gallery = name in ("-g", "--gallery") or (arguments[0] == "index" and name in ("-o", "--out"))
            cure = f"; a gallery in a bucket is named lance:{shown}" if of_gallery and "@" not in value else ""
            raise CtgiError(f"{name} {shown}: expected a file or folder of this machine{cure}")
        if name in _PLACES and value == "":
            raise CtgiError(
                f"{name} is empty, perhaps from a variable that is not set: give a value, or leave the option out"
            )


def in_column(images: list[str], column: str | None) -> list[str]:
    """The inputs, with the column of the pictures in their Parquet files."""
    from ctgi.retrieval.sources.references import with_column

    return images if column is None else [with_column(one, column) for one in images]


def refuse_idle(given: Mapping[str, object], why: str) -> None:
    """Refuse those of these options that were given, since they would change nothing.

    Args:
        given: option to its value; None, False and an empty list mean that it was left out.
        why: follows "without effect", with the cure.

    Raises:
        CtgiError: one was given.
    """
    idle = [option for option, value in given.items() if not (value is None or value is False or value == [])]
    if idle:
        raise CtgiError(f"{', '.join(idle)}: without effect {why}")


def expect_data(option: str | None, words: Sequence[str]) -> str:
    """The layout of the data set, given as --data or, as in ctgi 0.1, as a bare word.

    Raises:
        CtgiError: it was given in neither way, or in both.
    """
    given = [*([] if option is None else [option]), *words]
    if len(given) != 1:
        raise CtgiError(f"{len(given) or 'no'} data sets named: give one --data, such as cuhk, icfg, rstp or folder")
    return given[0]


def expect_file_place(option: str, path: Path | None) -> None:
    """Refuse a file that cannot be written later.

    Raises:
        CtgiError: it is a folder, or lies in a folder that is not there or cannot be written.
    """
    if path is None or (path.exists() and not path.is_dir() and os.access(path, os.W_OK)):
        return
    shown, folder = plain(str(path)), path.parent
    if path.is_dir():
        raise CtgiError(f"{option} {shown}: is a folder: name a file in it, like {plain(str(path / 'result'))}")
    if not folder.is_dir():
        raise CtgiError(f"{option} {shown}: there is no folder {plain(str(folder))}: create it first")
    if not os.access(folder, os.W_OK):
        raise CtgiError(f"{option} {shown}: cannot be written: choose a file in a writable folder")


def tell_unused_config(places: Iterable[str | Path | None], config: Path | None, *, quiet: bool) -> None:
    """Say that a ctgi.toml beside images is not read: those may be somebody else's, and so may the hosts it names."""
    from ctgi.cli.console import notice
    from ctgi.config import CONFIG_NAME, find_config

    used = config or find_config(Path.cwd())
    for place in places:
        file = Path(place or "") / CONFIG_NAME
        if place and file.is_file() and not (used and used.is_file() and file.samefile(used)):
            notice(
                f"{file} is not used: without --config, a {CONFIG_NAME} counts in the working directory and above it; "
                f"add --config {file} if it is yours",
                quiet=quiet,
            )
