"""The gallery last indexed from each working directory, so that `ctgi search` can leave -g out."""

import json
import os
from pathlib import Path

from ctgi.errors import CtgiError


def remember(gallery: Path) -> None:
    """Note `gallery` as the last one of this directory; a home that cannot be written is not worth an error."""
    known = _read()
    known[str(Path.cwd())] = str(called(gallery).resolve())
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        temporary = _file().with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(known), encoding="utf-8", errors="surrogateescape")
        temporary.replace(_file())
    except OSError:
        return


def called(gallery: Path) -> Path:
    """How a person names a gallery: the image folder that it lies in, else its own folder."""
    return gallery.parent if gallery.name == ".ctgi" else gallery


def last() -> Path:
    """The gallery last indexed from this directory.

    Raises:
        CtgiError: there is none.
    """
    gallery = _read().get(str(Path.cwd()))
    if gallery is None or not Path(gallery).is_dir():
        raise CtgiError("no gallery named, and none was indexed from this directory: give one with -g FOLDER")
    return Path(gallery)


def _file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "ctgi" / "galleries.json"


def _read() -> dict[str, str]:
    try:
        known = json.loads(_file().read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
