"""Reads a data set image by image: a benchmark's annotations, or a captions file for a folder."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ctgi.errors import CtgiError
from ctgi.reading import Json
from ctgi.retrieval.benchmarks.caption_choice import CaptionChoice, Text
from ctgi.retrieval.benchmarks.layouts import Counts, Layout, below_root, match_images, read_annotations
from ctgi.text import plain

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
_SHOWN = 3  # items named in a message about many
_ID = re.compile(r"(-?\d{1,5})_(?:c\d+(?:s\d+_\d|_f\d)|\d{3}_\d\d_\d{4}(?:morning|noon|afternoon))", re.IGNORECASE)
"""The person's number in a file name, as in Market-1501 (0002_c1s1_000451_03), DukeMTMC-reID and MSMT17."""
_NUMBER = re.compile(r"(-?\d+)_")
_SPLIT_FOLDER = re.compile(
    r"(bounding_box|mask)_.*|(multi-)?query|gallery|probe|gt_.*|(train|val|test)(_.*)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Picture:
    """One image of a data set being read."""

    name: str
    """Path below the image folder."""
    split: str
    pid: int
    texts: tuple[Text, ...]


# --- the benchmarks


def read_benchmark(layout: Layout, root: Path) -> tuple[Path, list[Picture]]:
    """The image folder of a benchmark, and its annotations.

    Raises:
        CtgiError: no annotation file, another layout, invalid captions, ids or splits, or an image in two splits.
    """
    file = _annotation_file(layout, root)
    pictures = [_picture(entry, layout, file, row) for row, entry in enumerate(read_annotations(file, layout))]
    _check_splits(layout.name, pictures)
    _notice_counts(layout, pictures)
    images = file.parent / "imgs"
    return images if images.is_dir() else file.parent, pictures


def _annotation_file(layout: Layout, root: Path) -> Path:
    names = [name for name in (layout.file_name, layout.other_file_name) if name]
    for file in (folder / name for folder in (root, root / layout.name) for name in names):
        if file.is_file():
            return file
    raise CtgiError(
        f"{plain(str(root))}: no {' or '.join(names)} here or in {layout.name}/: "
        f"expected the folder with the data of {layout.name}"
    )


def _picture(entry: Json, layout: Layout, file: Path, row: int) -> Picture:
    texts, pid = entry["captions"], entry["id"]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise CtgiError(f"{plain(str(file))}, object {row}: captions {texts!r:.80}: expected a list of texts")
    if not str(pid).isdecimal():
        raise CtgiError(f"{plain(str(file))}, object {row}: id {pid!r:.80}: expected a number from 0")
    if entry["split"] not in SPLITS:
        raise CtgiError(
            f"{plain(str(file))}, object {row}: split {entry['split']!r:.80}: expected one of {', '.join(SPLITS)}"
        )
    return Picture(entry[layout.path_key], entry["split"], int(pid), tuple(map(Text, texts)))


def _check_splits(name: str, pictures: Sequence[Picture]) -> None:
    """Refuse an image in two splits; warn about a person in two splits."""
    split_of: dict[str, str] = {}
    twice = [one.name for one in pictures if split_of.setdefault(one.name, one.split) != one.split]
    if twice:
        raise CtgiError(
            f"{name}: {some(twice)} in more than one split: each image belongs to one; correct the annotations"
        )
    train = {one.pid for one in pictures if one.split == "train"}
    shared = sorted({one.pid for one in pictures if one.split != "train"} & train)
    if shared:
        logger.warning(
            "%s: ids in train and in another split: %s; the results would include people seen in training",
            name,
            some(shared),
        )


def _notice_counts(layout: Layout, pictures: Sequence[Picture]) -> None:
    """Warn if counts differ from the published ones; it is no error, because subsets are legitimate."""
    for split in SPLITS:
        members = [one for one in pictures if one.split == split]
        people = {one.pid for one in members}
        counts = Counts(len(members), sum(len(one.texts) for one in members), len(people))
        expected = layout.published.get(split, Counts(0, 0, 0))
        if counts != expected:
            logger.warning("%s %s: %s; published: %s", layout.name, split, _told(counts), _told(expected))
        first, last = (layout.first_train_id, layout.first_train_id + len(people) - 1)
        if split == "train" and people != set(range(first, last + 1)):
            logger.warning("%s train: ids are not %d to %d without gaps; renumbered", layout.name, first, last)


def _told(counts: Counts) -> str:
    return f"{counts.images:,} images, {counts.captions:,} captions, {counts.people:,} people"


def recaptioned(pictures: list[Picture], choice: CaptionChoice, images: Path) -> list[Picture]:
    """The pictures, with the captions of a file for train. Training images without one are dropped with a warning.

    Raises:
        CtgiError: the file has a caption for none of them.
    """
    train = [one.name for one in pictures if one.split == "train"]
    ours = match_images(choice.texts(), images, train, [one.name for one in pictures])
    missing = [name for name in train if name not in ours]
    if not ours:
        raise CtgiError(
            f"{plain(str(choice.file))}: no caption for any of the {len(train):,} training images in "
            f"{plain(str(images))}: expected their paths, or the same file names; check both"
        )
    if missing:
        file = plain(str(choice.file))
        logger.warning("%s has no caption for %s of %d training images: left out", file, some(missing), len(train))
    return [
        replace(one, texts=(ours[one.name],)) if one.name in ours else one
        for one in pictures
        if one.split != "train" or one.name in ours
    ]


# --- any folder


def read_folder(root: Path, choice: CaptionChoice, *, need_people: bool) -> list[Picture]:
    """The captioned images of a folder in order of path. The folder of an image is its person.

    Raises:
        CtgiError: no captions file, images both in and outside train/, val/, test/, or no folders although people are
            needed.
    """
    if choice.file is None:
        raise CtgiError(f"{plain(str(root))} is a folder without human captions: give initial:FILE or mtg:FILE")
    texts = {below_root(path, root) or path: text for path, text in choice.texts().items()}
    splits = _folder_splits(root, list(texts))
    people = {name: _person(name, splits[name]) for name in texts}
    nobody = [name for name, person in people.items() if not person]
    if nobody and need_people:
        raise CtgiError(
            f"{plain(str(root))}: no identity label for {some(nobody)}: expected a folder for each person, "
            "or --identity image, which makes each image a person of its own"
        )
    if need_people:
        _check_people(root, people)
    pids = numbered(people[name] or name for name in texts)
    return [Picture(name, splits[name], pids[people[name] or name], (text,)) for name, text in sorted(texts.items())]


def _check_people(root: Path, people: Mapping[str, str]) -> None:
    """Refuse a folder whose file names show several people, as in the split of a benchmark."""
    ids: dict[str, set[str]] = {}
    for name, folder in people.items():
        pattern = _NUMBER if _SPLIT_FOLDER.fullmatch(PurePosixPath(folder).name) else _ID
        if found := pattern.match(PurePosixPath(name).name):
            ids.setdefault(folder, set()).add(found[1])
    mixed = {folder: those for folder, those in ids.items() if len(those) > 1}
    if mixed:
        folder, people_there = min(mixed.items())
        raise CtgiError(
            f"{plain(str(root))}: the files in {plain(folder)}/ are named for {len(people_there):,} people "
            f"({first_few(sorted(people_there))}), as in Market-1501, where folders are splits: "
            "expected a folder for each person, so sort the images by the number in front of their names"
        )


def _folder_splits(root: Path, names: Sequence[str]) -> dict[str, str]:
    """Name -> the first folder of its path if those are splits, else train."""
    first = {name: PurePosixPath(name).parts[0] for name in names}
    outside = [name for name in names if first[name] not in SPLITS]
    if outside and len(outside) < len(names):
        raise CtgiError(
            f"{plain(str(root))}: some images lie in {', '.join(sorted({*first.values()} & {*SPLITS}))}/ and others do "
            f"not ({some(outside)}): expected all of them in train/, val/ and test/, or none"
        )
    return {name: "train" for name in names} if outside else first


def _person(name: str, split: str) -> str:
    """The folder of an image within its split; "" if it is in none."""
    parts = PurePosixPath(name).parts[:-1]
    return "/".join(parts[1:] if parts[:1] == (split,) else parts)


# --- both


def check_images(name: str, root: Path, pictures: Sequence[Picture]) -> None:
    """Check that every image is below `root`.

    Raises:
        CtgiError: some are not; the message counts them and names the first.
    """
    names = [one.name for one in pictures]
    astray = [path for path in names if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts]
    if astray:
        raise CtgiError(f"{name}: {some(astray)} outside the image folder {plain(str(root))}: expected paths below it")
    missing = [path for path in names if not (root / path).is_file()]
    if missing:
        raise CtgiError(
            f"{name}: {some(missing)} of {len(names):,} images missing below {plain(str(root))}: "
            "check the folder, or download them"
        )


def numbered(names: Iterable[Any]) -> dict[Any, int]:
    """Each distinct name -> its index in sorted order."""
    return {name: number for number, name in enumerate(sorted(set(names)))}


def some(items: Sequence[object]) -> str:
    """The count and the first few, for messages."""
    return f"{len(items):,} ({first_few(items)})"


def first_few(items: Sequence[object]) -> str:
    """The first few, and "..." if there are more."""
    shown = ", ".join(plain(str(item)) for item in items[:_SHOWN])
    return f"{shown}{', ...' if len(items) > _SHOWN else ''}"
