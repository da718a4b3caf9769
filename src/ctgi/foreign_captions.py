"""Captions made elsewhere: dictionaries of path to caption, annotation files of other projects, JSON lines of any keys.

They become the lines of a captions file, so that whatever reads ours reads them.
"""

import codecs
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ctgi.described import CAPTION_KEYS, PATH_KEYS, caption_key, path_in, texts_in, tidy_text
from ctgi.errors import CtgiError
from ctgi.reading import Json, TextError, json_lines, parse_json, read_json
from ctgi.text import plain

_OURS = ("sha256", "turns", "initial_caption", "bindings")
"""Keys that only `ctgi caption` writes."""
_LISTS = ("annotations", "images", "data", "samples", "items")


def foreign_captions(path: Path) -> list[Json] | None:
    """The records of a file that another program wrote, one per image: `path`, `caption`, and all as `captions`.

    None if it is a file of `ctgi caption`, or cannot be told from one.

    Raises:
        CtgiError: an object without a path; the message names it.
    """
    entries = _entries(path)
    if entries is None:
        return None
    captions: dict[str, list[str]] = {}
    for name, texts in entries:
        known = captions.setdefault(name, [])
        known.extend(text for text in map(tidy_text, texts) if text.strip() and text not in known)
    return [{"path": name, "caption": (texts or [""])[0], "captions": texts} for name, texts in captions.items()]


def _entries(path: Path) -> Iterator[tuple[str, tuple[str, ...]]] | None:
    if not path.is_file():
        return None
    first, more = _first_line(path)
    record = _parsed(first)
    if isinstance(record, dict) and (more or path_in(record)[0]):
        return _lines(path) if _is_foreign(record) else None
    if record is None and not more:
        return None  # a single line that is cut off
    content = record
    with suppress(CtgiError):
        content = read_json(path, "captions")
    if isinstance(content, dict) and content and not any(key in content for key in _OURS):
        return _in_dictionary(path, content)
    if isinstance(content, list) and content:
        return _in_list(path, content)
    return None


def _first_line(path: Path) -> tuple[bytes, bool]:
    """The first line that is not blank, and whether others follow."""
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                return line.removeprefix(codecs.BOM_UTF8), any(rest.strip() for rest in file)
    return b"", False


def _parsed(text: bytes) -> Any:
    try:
        return parse_json(text)
    except TextError:
        return None


def _is_foreign(record: Json) -> bool:
    return not any(key in record for key in _OURS) and bool(path_in(record)[0]) and bool(caption_key(record))


def _lines(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in json_lines(path, "captions"):
        if not line.is_torn:
            yield _told(path, f"line {line.number}", line.value)


def _in_list(path: Path, content: list[Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for number, entry in enumerate(content):
        yield _told(path, f"object {number}", entry)


def _in_dictionary(path: Path, content: Json) -> Iterator[tuple[str, tuple[str, ...]]]:
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    if isinstance(content.get("images"), list) and isinstance(content.get("annotations"), list):
        yield from _joined(path, content["images"], content["annotations"])
    elif key := next((key for key in _LISTS if _holds_objects(lists.get(key))), ""):
        yield from _in_list(path, lists[key])
    elif lists and all(map(_holds_objects, lists.values())) and not any("." in key for key in lists):
        for entries in lists.values():
            yield from _in_list(path, entries)
    else:
        for name, value in content.items():
            yield _told(path, f"{plain(name)!r:.80}", value if isinstance(value, dict) else {"captions": value}, name)


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _joined(path: Path, images: list[Any], annotations: list[Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """As COCO does it: images and captions in two lists, joined by the image's number."""
    names = {image.get("id"): path_in(image, "file_name")[1] for image in images if isinstance(image, dict)}
    for number, entry in enumerate(annotations):
        name = names.get(entry.get("image_id"), "") if isinstance(entry, dict) else ""
        yield _told(path, f"annotation {number}", entry, name)


def _told(path: Path, place: str, entry: Any, name: str = "") -> tuple[str, tuple[str, ...]]:
    """The image's path and captions in one object."""
    if isinstance(entry, dict):
        name = name or _path(entry)
        texts = texts_in(entry.get(caption_key(entry)))
        if name and texts is not None:
            return name, texts
    raise CtgiError(
        f"captions {plain(str(path))}, {place}: {plain(f'{entry!r:.60}')}: expected the path of an image (as "
        f"{', '.join(PATH_KEYS[:4])} ...) and what is said of it (as {', '.join(CAPTION_KEYS[:4])} ...)"
    )


def _path(entry: Json) -> str:
    folder, name = entry.get("filepath"), entry.get("filename")
    if isinstance(folder, str) and isinstance(name, str):  # as in the files of Karpathy's splits
        return f"{folder}/{name}"
    return path_in(entry)[1]
