"""An image and what is said of it, under whatever keys a JSON object names them."""

import re
from collections.abc import Sequence
from typing import Any

from ctgi.reading import Json
from ctgi.text import joined

PATH_KEYS = (
    "file_path", "img_path", "image_path", "image", "img", "path", "filepath", "file", "file_name", "filename",
    "image_name", "img_name", "image_file",
)  # fmt: skip
"""Keys of an image's path, as annotation files of several projects spell them."""
CAPTION_KEYS = (
    "captions", "caption", "descriptions", "description", "texts", "text", "sentences", "sentence", "prompt_caption",
    "generated_caption", "response",
)  # fmt: skip
"""Keys of a caption, or of several."""
_SPOKEN_KEYS = ("caption", "raw", "text", "sentence", "description", "value")
_CONTROL = re.compile("[\0-\x08\x0e-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def path_in(entry: Json, first: str = "") -> tuple[str, str]:
    """The key of the image's path, `first` before others, and the path as written; both empty if there is none."""
    for key in (first, *PATH_KEYS):
        if isinstance(entry.get(key), str) and entry[key].strip():
            return key, entry[key]
    return "", ""


def tidy_path(path: str) -> str:
    r"""The path with / between folders and without ./ at its beginning; a path of Windows has only \ between them."""
    if "\\" in path and ("/" not in path or _DRIVE.match(path)):
        path = path.replace("\\", "/")
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return path.replace("//", "/").replace("/./", "/") if "/" in path else path


def is_absolute(path: str) -> bool:
    """Whether a path begins at the root of a disk, here or under Windows."""
    return path.startswith(("/", "\\\\")) or _DRIVE.match(path) is not None


def texts_in(value: Any) -> tuple[str, ...] | None:
    """The captions in a text, a list of texts, or a list of objects with one each; None if it is something else.

    Null is no caption.
    """
    if isinstance(value, str):
        return (value,)
    if value is None:
        return ()
    if not isinstance(value, list):
        return None
    texts = [_spoken(one) for one in value if one is not None]
    return None if None in texts else tuple(text for text in texts if text is not None)


def _spoken(value: Any) -> str | None:
    if isinstance(value, dict):
        value = next((value[key] for key in _SPOKEN_KEYS if isinstance(value.get(key), str)), None)
    return value if isinstance(value, str) else None


def caption_key(entry: Json, first: Sequence[str] = ()) -> str:
    """The key of an object's captions, `first` before others; empty if there is none."""
    return next((key for key in (*first, *CAPTION_KEYS) if key in entry), "")


def tidy_text(text: str) -> str:
    """The text without control characters, and with halves of UTF-16 letters joined or replaced by U+FFFD."""
    if text.isprintable():
        return text
    return _CONTROL.sub(" ", joined(text))


def has_words(text: str) -> bool:
    """Whether a caption says anything: it has a letter or digit of some script."""
    return any(map(str.isalnum, text))
