"""Reads annotation files of the benchmarks, also those that spell things their own way.

What can only mean one thing is read as meant and counted in `Reading.notes`; anything else is a `Fault`.
"""

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from ctgi.described import caption_key, is_absolute, path_in, texts_in, tidy_path, tidy_text
from ctgi.errors import CtgiError
from ctgi.reading import Json, json_lines, read_json, uncollected
from ctgi.retrieval.benchmarks.layouts import SPLITS, Layout
from ctgi.text import plain

_SPLITS_MEANT = {
    **{name: name for name in SPLITS},
    "training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test",
}  # fmt: skip
_EXPECTED = {"path": "a path of an image", "split": f"one of {', '.join(SPLITS)}", "id": "a number from 0"}
_TOO_LARGE = 2**53  # for an id: more digits are not sure to survive other programs
_DIGITS = 20
_OF_UTF16 = b"\0\xff\xfe"
_LISTS = ("annotations", "data", "images", "samples", "items")
"""Keys of a list of objects within an object."""


@dataclass(frozen=True)
class Annotation:
    """One image as an annotation file describes it."""

    name: str
    """Path below the image folder, with / between folders."""
    pid: int
    split: str
    captions: tuple[str, ...]
    entry: Json
    """The object as it stands in the file."""
    place: str
    """File and number of the object, for messages."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with one object, in the words of a message."""

    place: str
    """File and object."""
    field: str
    """The object's key; empty if it is the object."""
    what: str
    """What stands there, and what was expected."""

    def __str__(self) -> str:
        return f"{self.place}: {self.field} {self.what}" if self.field else f"{self.place}: {self.what}"


class Notes:
    """What was read as it was meant though it is not the layout's: how often, and where first."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def add(self, what: str, place: str, count: int = 1) -> None:
        """Count one more, or several."""
        self.count[what] += count
        self.first.setdefault(what, place)

    def lines(self) -> list[str]:
        """One line for each kind."""
        return [f"{what}: {count:,} (first: {self.first[what]})" for what, count in self.count.items()]


@dataclass(frozen=True)
class Reading:
    """The images of one or several annotation files."""

    rows: list[Annotation]
    faults: list[Fault] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)


@dataclass(frozen=True)
class AnnotationFile:
    """A file and the split that all of its objects are of; "" if they say so themselves."""

    path: Path
    split: str = ""


def read_annotations(files: Sequence[AnnotationFile], layout: Layout) -> Reading:
    """The images of annotation files in order. An image that is listed twice counts once, with all its captions.

    Raises:
        CtgiError: a file cannot be read or is not in this layout, or an object has a fault.
    """
    found = examine_annotations(files, layout)
    if found.faults and not found.rows:
        raise _unfit(files[0].path, layout, f"; {found.faults[0]}")
    if found.faults:
        more = f" ({len(found.faults):,} faults in all; ctgi data check lists them)" if len(found.faults) > 1 else ""
        raise CtgiError(f"{found.faults[0]}{more}")
    return found


@uncollected()
def examine_annotations(files: Sequence[AnnotationFile], layout: Layout) -> Reading:
    """As `read_annotations`, but with the faults of objects, which are left out.

    Raises:
        CtgiError: a file cannot be read, or there are no objects.
    """
    rows: list[Annotation] = []
    faults: list[Fault] = []
    notes = Notes()
    for file in files:
        reader = _Reader(file, layout, notes)
        for number, (split, entry) in enumerate(_objects(file.path, layout)):
            one = reader.read(number, entry, split)
            if isinstance(one, Fault):
                faults.append(one)
            else:
                rows.append(one)
    if not rows and not faults:
        raise _unfit(files[0].path, layout)
    if any(not row.split for row in rows):
        rows = _parted(rows, layout)
        notes.add(f"images without a split, parted by the ids of people, not as in {layout.file_name}, so that figures "
                  "are not comparable with published ones", rows[0].place, len(rows))  # fmt: skip
    return Reading(merged(rows, notes), faults, notes)


def merged(rows: Iterable[Annotation], notes: Notes) -> list[Annotation]:
    """The rows, with several of one image, person and split made one."""
    found: dict[tuple[str, int, str], Annotation] = {}
    for row in rows:
        key = (row.name, row.pid, row.split)
        if key not in found:
            found[key] = row
            continue
        notes.add("images listed again, taken once with all their captions", row.place)
        texts = tuple(dict.fromkeys((*found[key].captions, *row.captions)))
        found[key] = replace(found[key], captions=texts)
    return list(found.values())


# --- files


def _objects(path: Path, layout: Layout) -> Iterator[tuple[str, Any]]:
    """The objects of a file with the split whose list they stand in, if the file has a list for each split."""
    if is_lines(path):
        for line in json_lines(path, "annotations"):
            if line.is_torn:
                raise CtgiError(f"annotations {plain(str(path))}, line {line.number}: cut off: copy the file again")
            yield "", line.value
        return
    content = read_json(path, "annotations")
    if isinstance(content, dict):
        yield from _objects_in(path, content, layout)
    elif isinstance(content, list):
        yield from (("", entry) for entry in content)
    else:
        raise _unfit(path, layout)


def _objects_in(path: Path, content: Json, layout: Layout) -> Iterator[tuple[str, Any]]:
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    splits = {key: value for key, value in lists.items() if _split_meant(key)}
    if path_in(content)[0] and "id" in content:
        yield "", content
    elif splits:
        yield from ((key, entry) for key, entries in splits.items() for entry in entries)
    elif key := next((key for key in _LISTS if key in lists), ""):
        yield from (("", entry) for entry in lists[key])
    elif content and all(isinstance(value, dict) for value in content.values()):
        yield from (("", {"file_path": path, **value}) for path, value in content.items())
    else:
        raise _unfit(path, layout)


def is_lines(path: Path) -> bool:
    """Whether a file has an object on each line instead of one JSON value."""
    try:
        with path.open("rb") as file:
            texts = (line.removeprefix(codecs.BOM_UTF8).translate(None, _OF_UTF16).strip() for line in file)
            first, second, *_ = *islice(filter(None, texts), 2), b"", b""
    except OSError:
        return False  # told when it is read
    return first.startswith(b"{") and first.endswith(b"}") and second.startswith(b"{")


def _unfit(path: Path, layout: Layout, first: str = "") -> CtgiError:
    keys = ", ".join((layout.path_key, "id", "split", "captions"))
    return CtgiError(
        f"{plain(str(path))}: expected a list of objects with {keys}: "
        f"give the data set's annotation file with the splits, and its layout{first}"
    )


# --- objects


class _Reader:
    """Reads the objects of one file."""

    def __init__(self, file: AnnotationFile, layout: Layout, notes: Notes) -> None:
        self._file, self._layout, self._notes = file, layout, notes
        self._name = plain(str(file.path))
        self._may_lack_split = bool(layout.without_splits) and fnmatch(file.path.name, layout.without_splits)

    def read(self, number: int, entry: Any, listed_in: str) -> Annotation | Fault:
        place = f"{self._name}, object {number}"
        if not isinstance(entry, dict):
            return Fault(place, "", f"{_shown(entry)}: expected an object")
        key, path = path_in(entry, self._layout.path_key)
        if not key:
            return Fault(place, self._layout.path_key, "is missing: expected the path of the image")
        split = self._split(entry, listed_in, place)
        if isinstance(split, Fault):
            return split
        pid = self._pid(entry, place)
        if isinstance(pid, Fault):
            return pid
        texts = self._texts(entry, split, place)
        if isinstance(texts, Fault):
            return texts
        return Annotation(self._path(key, path, place), pid, split, texts, entry, place)

    def _path(self, key: str, path: str, place: str) -> str:
        if key != self._layout.path_key:
            self._notes.add(f"paths under {plain(key)} instead of {self._layout.path_key}", place)
        tidy = tidy_path(path)
        folder = self._layout.images
        if folder and tidy.startswith(f"{folder}/"):
            self._notes.add(f"paths that begin with {folder}/", place)
            return tidy[len(folder) + 1 :]
        if folder and is_absolute(tidy) and f"/{folder}/" in tidy:
            self._notes.add(f"paths of another machine, taken from {folder}/ on", place)
            return tidy.rpartition(f"/{folder}/")[2]
        if tidy != path:
            self._notes.add("paths of Windows" if "\\" in path else "paths that begin with ./ or hold //", place)
        return tidy

    def _split(self, entry: Json, listed_in: str, place: str) -> str | Fault:
        given = entry.get("split") or listed_in or self._file.split
        if self._may_lack_split and "split" not in entry:
            return ""
        if given is None or given == "":
            return Fault(place, "split", f"is missing: expected {_EXPECTED['split']}")
        meant = _split_meant(given)
        if not meant:
            return Fault(place, "split", f"{_shown(given)}: expected {_EXPECTED['split']}")
        if given != meant:
            self._notes.add(f"splits written {plain(str(given))[:20]}, taken as {meant}", place)
        return meant

    def _pid(self, entry: Json, place: str) -> int | Fault:
        if "id" not in entry:
            return Fault(place, "id", f"is missing: expected {_EXPECTED['id']}")
        given = entry["id"]
        if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < _TOO_LARGE:
            return given
        if isinstance(given, float) and 0 <= given < _TOO_LARGE and given == int(given):
            self._notes.add("ids with a decimal point", place)
            return int(given)
        if isinstance(given, str) and given.strip().isdecimal() and len(given) < _DIGITS and int(given) < _TOO_LARGE:
            self._notes.add("ids written as text", place)
            return int(given)
        return Fault(place, "id", f"{_shown(given)}: expected {_EXPECTED['id']}")

    def _texts(self, entry: Json, split: str, place: str) -> tuple[str, ...] | Fault:
        wanted = self._layout.caption_keys.get(split, "captions")
        key = caption_key(entry, (wanted,))
        if not key:
            return Fault(place, wanted, "is missing: expected a list of texts")
        given = entry[key]
        texts = dialogues(given) if key == "chats" else texts_in(given)
        if texts is None:
            return Fault(place, key, f"{_shown(given)}: expected a list of texts")
        self._tell_texts(key, wanted, given, place)
        tidy = tuple(map(tidy_text, texts))
        if tidy != texts:
            self._notes.add("captions with control characters or halves of letters, taken without", place)
        return tidy

    def _tell_texts(self, key: str, wanted: str, given: Any, place: str) -> None:
        if key != wanted:
            self._notes.add(f"captions under {plain(key)} instead of {wanted}", place)
        if isinstance(given, str) and wanted == "captions":
            self._notes.add("captions that are one text instead of a list", place)
        if given is None or (isinstance(given, list) and None in given):
            self._notes.add("captions that are null, left out", place)


@lru_cache(maxsize=64)
def _meant(word: str) -> str:
    return _SPLITS_MEANT.get(word.strip().lower(), "")


def _split_meant(given: Any) -> str:
    """The split that a word means; empty if it means none."""
    return _meant(given) if isinstance(given, str) else ""


def dialogues(chats: Any) -> tuple[str, ...] | None:
    """Each conversation as one text, its turns in order; None if these are no conversations.

    chats: a list of turns {"from", "value"}, or a list of such lists.
    """
    if not isinstance(chats, list) or not chats:
        return None
    many = chats if isinstance(chats[0], list) else [chats]
    spoken = [texts_in(turns) for turns in many]
    return None if None in spoken else tuple(" ".join(turns) for turns in spoken if turns)


def _shown(value: Any) -> str:
    return plain(f"{value!r:.80}")


# --- people without splits


def _parted(rows: Sequence[Annotation], layout: Layout) -> list[Annotation]:
    """The rows with splits: the first ids are train, the next val, the last test, in the published proportions."""
    split_of = _splits_by_id({row.pid for row in rows}, layout)
    return [row if row.split else replace(row, split=split_of[row.pid]) for row in rows]


def _splits_by_id(pids: set[int], layout: Layout) -> Mapping[int, str]:
    train, val, test = (layout.published[split].people for split in SPLITS)
    first = layout.first_train_id
    if max(pids) >= first + train:  # numbered as the whole set is
        return {pid: "train" if pid < first + train else "val" if pid < first + train + val else "test" for pid in pids}
    return cut_people(sorted(pids), val / (train + val + test), test / (train + val + test))


def cut_people(people: Sequence[int], val: float, test: float) -> dict[int, str]:
    """Person -> split: the first people are train, then come those of val and test, one of each at least.

    val, test: shares of the people. Fewer than three people are all of train.
    """
    if len(people) < len(SPLITS):
        return dict.fromkeys(people, "train")
    held = [max(1, round(share * len(people))) if share else 0 for share in (val, test)]
    train = max(1, len(people) - sum(held))
    names = ["train"] * train + ["val"] * held[0] + ["test"] * held[1]
    return dict(zip(people, names, strict=False))
