"""The gallery last indexed from each working directory, so that `ctgi search` can leave -g out."""

import json
import os
from contextlib import suppress
from pathlib import Path

from ctgi.config import Settings
from ctgi.errors import CtgiError
from ctgi.files import user_folder, write_whole
from ctgi.reading import read_json
from ctgi.runs.events import Events
from ctgi.text import plain


def remember(gallery: str | Path) -> None:
    """Record `gallery` as the last one of this directory, if the home folder is writable."""
    from ctgi.retrieval.gallery import kind_of

    file = _file()
    if file:
        with suppress(OSError, CtgiError):
            known = _known(file) | {str(Path.cwd()): kind_of(gallery).lasting_name(Path(gallery))}
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, json.dumps(known).encode())


def last() -> Path:
    """The gallery last indexed from this directory.

    Raises:
        CtgiError: there is none, or the list of them is damaged.
    """
    from ctgi.retrieval.gallery import kind_of

    file = _file()
    gallery = _known(file).get(str(Path.cwd())) if file else None
    if gallery is None or not kind_of(gallery).is_there(Path(gallery)):
        raise CtgiError("no gallery given, and none was used from this directory before: give one with -g FOLDER")
    return Path(gallery)


def named_gallery(path: Path | None, settings: Settings, events: Events) -> Path:
    """The given gallery, else the configured or last one of this directory, which is then reported."""
    if path is None:
        path = settings.gallery or last()
        events.tell(f"gallery: {path}")
    return path


def _file() -> Path | None:
    folder = user_folder("XDG_STATE_HOME", ".local/state")
    return folder and folder / "galleries.json"


def _known(file: Path) -> dict[str, str]:
    known = read_json(file, "last galleries") if os.path.lexists(file) else {}
    if not isinstance(known, dict) or not all(isinstance(gallery, str) for gallery in known.values()):
        raise CtgiError(
            f"last galleries {plain(str(file))}: not a table of folders: delete it and name one with -g FOLDER"
        )
    return known
