"""Corrections of a data set's captions as a JSON Patch (RFC 6902) of its annotation file, and applying one."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctgi.described import tidy_path, tidy_text
from ctgi.errors import CtgiError
from ctgi.files import write_whole
from ctgi.reading import Json, json_lines, read_json, read_text
from ctgi.retrieval.benchmarks.annotations import is_lines
from ctgi.runs.audit_records import AuditedCaption
from ctgi.text import plain

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_INDENTED = re.compile(r"^[\[{]\s*\n( +)")
_TOKENS = re.compile(r"/processed_tokens/\d+$")
_HEAD = 4096
_MANY = 2
"""Answers against a caption from which on it seems to be another person's."""


@dataclass(frozen=True)
class Correction:
    """A caption that is to be replaced, or removed."""

    image: str
    was: str
    now: str | None
    """None: removed."""
    why: str


def corrections(audits: Sequence[AuditedCaption]) -> list[Correction]:
    """What an audit suggests: another color where the model saw one, no caption where it seems to be another person's.

    An image keeps at least one caption.
    """
    left: dict[str, int] = defaultdict(int)
    for one in audits:
        left[one.image] += 1
    found = []
    for one in audits:
        why = "; ".join(f"{answer.question} {answer.answer}" for answer in one.against)
        attributes = {answer.attribute for answer in one.against}
        if not one.match and len(attributes) >= _MANY and left[one.image] > 1:
            left[one.image] -= 1
            found.append(Correction(one.image, one.caption, None, why))
        elif one.suggestion:
            found.append(Correction(one.image, one.caption, one.suggestion, why))
    return found


@dataclass(frozen=True)
class _Place:
    """Where a caption stands in an annotation file."""

    pointer: tuple[str | int, ...]
    written: str
    """As it stands there."""
    entry: Json
    """The object that it belongs to."""


def make_patch(file: Path, wanted: Sequence[Correction]) -> tuple[list[Json], list[Correction]]:
    """The operations on an annotation file, and the corrections of captions that are not in it.

    Each correction is a `test` that the caption still stands there, then a `replace` or `remove`, with the image and
    the reason beside it for whoever reads it.

    Raises:
        CtgiError: the file cannot be read.
    """
    places, lost = _places(annotations_in(file)), []
    found: list[tuple[Correction, _Place]] = []
    for one in wanted:
        there = next((place for place in places.get(one.was, ()) if _is_of(place.entry, one.image)), None)
        if there:
            places[one.was].remove(there)
            found.append((one, there))
        else:
            lost.append(one)
    found.sort(key=lambda item: [str(part).zfill(9) for part in item[1].pointer], reverse=True)  # so that places stay
    return [operation for item in found for operation in _operations(*item)], lost


def _operations(one: Correction, place: _Place) -> Iterator[Json]:
    """What an RFC 6902 program does, with members that it ignores."""
    *above, index = place.pointer
    path, told = _pointer(place.pointer), {"image": one.image, "was": one.was, "why": one.why}
    yield {"op": "test", "path": path, "value": place.written}
    yield _changing(path, one.now, told)
    words = place.entry.get("processed_tokens")
    if isinstance(index, int) and isinstance(words, list) and index < len(words):
        tokens = None if one.now is None else _WORD.findall(one.now.lower())
        yield _changing(_pointer((*above[:-1], "processed_tokens", index)), tokens, {})


def _changing(path: str, now: object, told: Json) -> Json:
    return (
        {"op": "remove", "path": path, **told} if now is None else {"op": "replace", "path": path, "value": now, **told}
    )


def _pointer(parts: Sequence[str | int]) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def _is_of(entry: Json, image: str) -> bool:
    """Whether an object is about the image: one of its texts is the path, perhaps with folders before it."""
    texts = (tidy_path(text) for text in entry.values() if isinstance(text, str))
    return any(text == image or text.endswith(f"/{image}") for text in texts)


def _places(content: Any) -> dict[str, list[_Place]]:
    """Text -> where it stands as a caption."""
    found: dict[str, list[_Place]] = defaultdict(list)
    for pointer, entry in _entries(content, ()):
        for key, value in entry.items():
            if isinstance(value, str):
                found[tidy_text(value)].append(_Place((*pointer, key), value, entry))
            for index, text in enumerate(value) if isinstance(value, list) else ():
                if isinstance(text, str):
                    found[tidy_text(text)].append(_Place((*pointer, key, index), text, entry))
    return found


def _entries(content: Any, pointer: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    if isinstance(content, dict):
        yield pointer, content
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        if isinstance(value, dict | list):
            yield from _entries(value, (*pointer, key))


# --- applying


def apply_patch(file: Path, patch: Path, out: Path) -> int:
    """Write the annotation file with the patch applied; returns the number of captions that it changes.

    Raises:
        CtgiError: a file cannot be read or written, it is no JSON Patch, or the annotations are not those that it was
            made for; nothing is written then.
    """
    import jsonpatch

    content, operations = annotations_in(file), read_json(patch, "patch")
    shown = plain(str(patch))
    _check_operations(shown, operations)
    try:
        changed = jsonpatch.JsonPatch(operations).apply(content, in_place=True)
    except jsonpatch.JsonPatchTestFailed:
        raise CtgiError(
            f"{shown}: made for other annotations than {plain(str(file))}: give the file it was made for, or audit this"
        ) from None
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, AttributeError) as error:
        raise CtgiError(f"{shown}: no JSON Patch that fits {plain(str(file))}: {plain(str(error))[:120]}") from None
    write_whole(out, _written(file, changed))
    return sum(one["op"] != "test" and "was" in one for one in operations)


def _check_operations(shown: str, operations: Any) -> None:
    """Raise CtgiError unless each change comes after a test of what it changes, as in the patches made here."""
    tested: set[object] = set()
    for number, one in enumerate(operations if isinstance(operations, list) else [operations]):
        kind, path = (one.get("op"), one.get("path")) if isinstance(one, dict) else (None, None)
        if kind == "test" and isinstance(path, str):
            tested.add(path)
        elif kind not in ("replace", "remove") or not (path in tested or _TOKENS.search(str(path))):
            raise CtgiError(
                f"{shown}, operation {number}: expected a test of a caption, then its replacement or removal, as ctgi "
                "data audit writes them; nothing was changed"
            )


def annotations_in(file: Path) -> Any:
    """The JSON value of an annotation file; of a file with an object on each line the list of them.

    Raises:
        CtgiError: it cannot be read.
    """
    if is_lines(file):
        return [line.value for line in json_lines(file, "annotations")]
    return read_json(file, "annotations")


def _written(file: Path, content: Any) -> bytes:
    """The content in the way in which the file is written, so that a diff shows the changes alone."""
    before = read_text(file)
    ascii_only = before.isascii()
    if is_lines(file):
        return "".join(json.dumps(one, ensure_ascii=ascii_only) + "\n" for one in content).encode()
    indent = _INDENTED.match(before)
    tight = (",", ":") if '": ' not in before[:_HEAD] else None
    text = json.dumps(content, ensure_ascii=ascii_only, indent=len(indent[1]) if indent else None, separators=tight)
    return (text + ("\n" if before.endswith("\n") else "")).encode()
