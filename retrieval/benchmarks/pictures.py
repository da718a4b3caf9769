"""Reads a data set image by image: a benchmark's annotations, or a captions file for a tree or folder."""

import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from ctgi.described import is_absolute, tidy_path
from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.annotations import Annotation, read_annotations
from ctgi.retrieval.benchmarks.caption_choice import CaptionChoice, Text
from ctgi.retrieval.benchmarks.layouts import SPLITS, Counts, Layout
from ctgi.retrieval.benchmarks.matching import below_root, match_images
from ctgi.retrieval.benchmarks.places import annotation_files, image_folder
from ctgi.retrieval.benchmarks.trees import DISTRACTOR, Grove, Tree, read_tree
from ctgi.retrieval.finding import find_images
from ctgi.retrieval.sources.references import as_folders, file_of, is_remote, parted
from ctgi.text import plain

logger = logging.getLogger(__name__)

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
    """The image folder of a benchmark, and its annotations; what was read as it was meant is told.

    Raises:
        CtgiError: no annotation file, another layout, invalid captions, ids or splits, or an image in two splits or of
            two people.
    """
    files = annotation_files(layout, root)
    read = read_annotations(files, layout)
    for line in read.notes.lines():
        logger.warning("%s: %s", layout.name, line)
    pictures = [Picture(row.name, row.split, row.pid, tuple(map(Text, row.captions))) for row in read.rows]
    _check_splits(layout.name, read.rows)
    _notice_counts(layout, pictures, files[0].path)
    return image_folder(files[0].path, layout, (one.name for one in pictures)), pictures


def _check_splits(name: str, rows: Sequence[Annotation]) -> None:
    """Refuse an image in two splits or of two people; warn about a person in two splits."""
    if twice := in_two_splits(rows):
        raise CtgiError(
            f"{name}: {some(twice)} in more than one split: each image belongs to one; correct the annotations"
        )
    if twice := of_two_people(rows):
        raise CtgiError(f"{name}: {some(twice)} under more than one id: each image shows one; correct the annotations")
    if shared := in_train_and_elsewhere(rows):
        logger.warning(
            "%s: ids in train and in another split: %s; the results would include people seen in training",
            name,
            some(shared),
        )


def in_two_splits(rows: Iterable[Annotation]) -> list[str]:
    """The images that stand in more than one split."""
    split_of: dict[str, str] = {}
    return _distinct(row.name for row in rows if split_of.setdefault(row.name, row.split) != row.split)


def of_two_people(rows: Iterable[Annotation]) -> list[str]:
    """The images that stand under more than one id."""
    pid_of: dict[str, int] = {}
    return _distinct(row.name for row in rows if pid_of.setdefault(row.name, row.pid) != row.pid)


def in_train_and_elsewhere(rows: Iterable[Annotation]) -> list[int]:
    """The ids of train that are in another split too."""
    rows = list(rows)
    train = {row.pid for row in rows if row.split == "train"}
    return sorted({row.pid for row in rows if row.split != "train"} & train)


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def counts_of(pictures: Iterable[Picture]) -> Counts:
    """Images, captions and people; a distractor is none of them."""
    members = list(pictures)
    people = {one.pid for one in members if one.pid >= 0}
    return Counts(len(members), sum(len(one.texts) for one in members), len(people))


def _notice_counts(layout: Layout, pictures: Sequence[Picture], file: Path) -> None:
    """Say if counts differ from the published ones; it is no error, because subsets are legitimate."""
    whole = layout.whole(file.name)
    if whole and counts_of(pictures) != whole:
        _notice_once(f"{layout.name}: {told(counts_of(pictures))}; published: {told(whole)}", file)
    for split in SPLITS:
        counts = counts_of(one for one in pictures if one.split == split)
        expected = layout.published.get(split, Counts(0, 0, 0))
        if layout.published and counts != expected:
            _notice_once(f"{layout.name} {split}: {told(counts)}; published: {told(expected)}", file)
    if (first := _gap(layout, pictures)) is not None:
        last = first + len({one.pid for one in pictures if one.split == "train"}) - 1
        logger.warning("%s train: ids are not %d to %d without gaps; renumbered", layout.name, first, last)


@cache
def _notice_once(text: str, file: Path) -> None:
    """Of one file, which may be read several times."""
    logger.warning("%s", text, extra={"is_notice": True})


def _gap(layout: Layout, pictures: Iterable[Picture]) -> int | None:
    """The id that train should begin with, if it does not, or has gaps."""
    people = {one.pid for one in pictures if one.split == "train"}
    first = layout.first_train_id
    return first if layout.published and people != set(range(first, first + len(people))) else None


def told(counts: Counts) -> str:
    """The counts in words."""
    return f"{counts.images:,} images, {counts.captions:,} captions, {counts.people:,} people"


def recaptioned(
    pictures: list[Picture], choice: CaptionChoice, images: Path, wanted: Sequence[str] | None = None
) -> list[Picture]:
    """The pictures, with the captions of a file for train. Training images without one are dropped with a warning.

    wanted: the images that get them (default: those of train).

    Raises:
        CtgiError: the file has a caption for none of them.
    """
    train = [one.name for one in pictures if one.split == "train"]
    ours = match_images(choice.texts(), images, train if wanted is None else wanted, [one.name for one in pictures])
    missing = [name for name in train if name not in ours]
    if not ours:
        kind = "training images" if wanted is None else "images"
        raise CtgiError(
            f"{plain(str(choice.file))}: no caption for any of the {len(wanted or train):,} {kind} in "
            f"{plain(str(images))}: expected their paths, or the same file names; check both"
        )
    if missing:
        file = plain(str(choice.file))
        logger.warning("%s has no caption for %s of %d training images: left out", file, some(missing), len(train))
    return [
        replace(one, texts=ours[one.name]) if one.name in ours else one
        for one in pictures
        if one.split != "train" or one.name in ours
    ]


# --- trees whose file names number people


def read_numbered(tree: Tree, root: Path, choice: CaptionChoice) -> tuple[Path, list[Picture]]:
    """The folder of a tree, and its images with the captions of a file; what was left out is told.

    Images of train without a caption are left out; the others stay in the gallery.

    Raises:
        CtgiError: no such tree, no captions file, or a caption for none of its images.
    """
    if choice.file is None:
        raise CtgiError(f"{tree.name} has no human captions: give initial:FILE or mtg:FILE, as ctgi caption writes it")
    grove = read_tree(tree, root)
    for line in left_out(tree, grove):
        logger.warning("%s: %s", tree.name, line)
    pictures = [Picture(one.name, one.split, one.person, ()) for one in grove.shots]
    pictures = recaptioned(pictures, choice, grove.root, [one.name for one in pictures if one.pid >= 0])
    return grove.root, pictures


def left_out(tree: Tree, grove: Grove) -> list[str]:
    """What of a tree is not used, one line each."""
    lines = []
    if grove.junk:
        lines.append(f"images numbered {tree.junk} left out, not to be used as their authors say: {grove.junk:,}")
    if count := sum(one.person == DISTRACTOR for one in grove.shots):
        lines.append(f"images numbered {tree.distractors} in the gallery, distractors that nobody looks for: {count:,}")
    if grove.unnamed:
        lines.append(f"images left out, since their names tell no person: {some(grove.unnamed)}")
    if grove.beside:
        lines.append(f"{', '.join(grove.beside)} passed over: no images of one person each")
    return lines + grove.passed.lines()


# --- any folder


def read_folder(root: Path, choice: CaptionChoice, *, need_people: bool) -> list[Picture]:
    """The captioned images of a folder in order of path. The folder of an image is its person.

    Raises:
        CtgiError: no captions file, images both in and outside train/, val/, test/, or no folders although people are
            needed.
    """
    if choice.file is None:
        raise CtgiError(f"{plain(str(root))} is a folder without human captions: give initial:FILE or mtg:FILE")
    texts = _below(root, choice.texts())
    splits = folder_splits(root, list(texts))
    people = {name: person_of(name, splits[name]) for name in texts}
    nobody = [name for name, person in people.items() if not person]
    if nobody and need_people:
        raise CtgiError(
            f"{plain(str(root))}: no identity label for {some(nobody)}: expected a folder for each person, "
            "or --identity image, which makes each image a person of its own"
        )
    if need_people:
        check_people(root, people)
    pids = numbered(people[name] or name for name in texts)
    return [Picture(name, splits[name], pids[people[name] or name], own) for name, own in sorted(texts.items())]


def _below(root: Path, texts: Mapping[str, tuple[Text, ...]]) -> dict[str, tuple[Text, ...]]:
    """The captions by path below `root`; where paths lead elsewhere, they are matched with the images there."""
    below = {below_root(path, root) or _tidy(path): own for path, own in texts.items()}
    if all(_is_there(root, name) for name in below):
        return below
    there = [Path(path).relative_to(root).as_posix() for path in find_images([str(root)])]
    matched = match_images(texts, root, there, there)
    return matched if len(matched) == len(below) else below


def _tidy(path: str) -> str:
    return path if is_remote(path) else tidy_path(path)


def _is_there(root: Path, name: str) -> bool:
    """Whether an image is below `root`, itself or in its archive; an address is taken to be, until it is read."""
    return is_remote(name) or Path(file_of(str(root / name))).is_file()


def check_people(root: Path, people: Mapping[str, str]) -> None:
    """Refuse a folder whose file names show several people, as in the split of a benchmark.

    people: image -> its folder.

    Raises:
        CtgiError: there is one.
    """
    ids: dict[str, set[str]] = {}
    for name, folder in people.items():
        pattern = _NUMBER if _SPLIT_FOLDER.fullmatch(PurePosixPath(folder).name) else _ID
        if found := pattern.match(PurePosixPath(as_folders(name)).name):
            ids.setdefault(folder, set()).add(found[1])
    mixed = {folder: those for folder, those in ids.items() if len(those) > 1}
    if mixed:
        folder, people_there = min(mixed.items())
        raise CtgiError(
            f"{plain(str(root))}: the files in {plain(folder)}/ are named for {len(people_there):,} people "
            f"({first_few(sorted(people_there))}), as in Market-1501, where folders are splits: "
            "expected a folder for each person; --data market1501 (or msmt17) takes people from the names"
        )


def folder_splits(root: Path, names: Sequence[str]) -> dict[str, str]:
    """Name -> the first folder of its path if those are splits, else train.

    Raises:
        CtgiError: some lie in folders of splits and others do not.
    """
    first = {name: PurePosixPath(name).parts[0] for name in names}
    outside = [name for name in names if first[name] not in SPLITS]
    if outside and len(outside) < len(names):
        raise CtgiError(
            f"{plain(str(root))}: some images lie in {', '.join(sorted({*first.values()} & {*SPLITS}))}/ and others do "
            f"not ({some(outside)}): expected all of them in train/, val/ and test/, or none"
        )
    return {name: "train" for name in names} if outside else first


def person_of(name: str, split: str) -> str:
    """The folder of an image within its split; "" if it is in none. In an archive, its folder there."""
    inside = parted(name)
    if inside and "/" not in as_folders(name).removeprefix(f"{inside[0]}/"):
        return ""
    parts = PurePosixPath(as_folders(name)).parts[:-1]
    return "/".join(parts[1:] if parts[:1] == (split,) else parts)


# --- both


def check_images(name: str, root: Path, pictures: Sequence[Picture]) -> None:
    """Check that every image is below `root`.

    Raises:
        CtgiError: some are not; the message counts them and names the first.
    """
    names = [one.name for one in pictures]
    if astray := [path for path in names if is_outside(path) and not is_remote(path)]:
        raise CtgiError(f"{name}: {some(astray)} outside the image folder {plain(str(root))}: expected paths below it")
    missing = [path for path in names if not _is_there(root, path)]
    if missing:
        raise CtgiError(
            f"{name}: {some(missing)} of {len(names):,} images missing below {plain(str(root))}"
            f"{nearly(root, missing[0])}: check the folder, or download them"
        )


def is_outside(name: str) -> bool:
    """Whether a path leads out of the image folder."""
    return is_absolute(name) or ".." in name.split("/")


def nearly(root: Path, name: str) -> str:
    """A file there whose name differs from a missing one in case, in how accents are coded, or in its ending."""
    path = root / name
    try:
        beside = sorted(one.name for one in path.parent.iterdir())
    except (OSError, ValueError):
        return ""
    for same in (_folded, lambda text: _folded(Path(text).stem)):
        if there := next((one for one in beside if same(one) == same(path.name)), ""):
            return f" (but {plain(there)} is there)"
    return ""


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


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
