"""What is wrong or odd in a data set: in its annotations, and in the files of its images."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ctgi.described import has_words
from ctgi.reading import Json
from ctgi.retrieval.benchmarks.annotations import Annotation, Fault
from ctgi.retrieval.benchmarks.pictures import in_train_and_elsewhere, in_two_splits, nearly, of_two_people
from ctgi.text import plain

_EXCERPT = 60


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found, with all its places."""

    kind: str
    """A fixed name, for programs."""
    what: str
    """In words."""
    cure: str
    """What to do about it, or what it means; may be empty."""
    items: tuple[str, ...]
    """Where: images, objects, ids."""
    is_problem: bool
    """Whether training or measuring on the data set would fail or be wrong; else it is worth knowing."""

    def to_json(self) -> Json:
        """All of it."""
        counted = {"count": len(self.items), "items": list(self.items)}
        return {"kind": self.kind, "what": self.what, "cure": self.cure} | counted


class Member(NamedTuple):
    """An image of a data set that is looked at."""

    name: str
    """Path below the image folder."""
    split: str
    person: int | str | None
    """None if it is not known."""
    captions: tuple[str, ...] = ()
    place: str = ""
    """The object that names it."""


class Examined(NamedTuple):
    """What a look at an image file gave."""

    name: str
    sha256: str
    """Of the content; empty if the file could not be read."""
    fault: str
    """Why the image cannot be used; empty if it can."""
    is_missing: bool = False


@dataclass
class Found:
    """Findings as they are collected; those without a place are left out."""

    all: list[Finding] = field(default_factory=list)

    def problem(self, kind: str, what: str, cure: str, items: Iterable[object]) -> None:
        """Add what would make training or measuring fail or go wrong."""
        self._add(Finding(kind, what, cure, tuple(map(str, items)), is_problem=True))

    def note(self, kind: str, what: str, cure: str, items: Iterable[object]) -> None:
        """Add what is worth knowing."""
        self._add(Finding(kind, what, cure, tuple(map(str, items)), is_problem=False))

    def _add(self, finding: Finding) -> None:
        if finding.items:
            self.all.append(finding)


# --- annotations


def in_annotations(rows: Sequence[Annotation], faults: Iterable[Fault], found: Found) -> None:
    """What is wrong with the objects of annotations, each and together."""
    found.problem("fault", "objects that cannot be read", "correct the annotations, or take the objects out", faults)
    found.problem(
        "two splits",
        "images in more than one split",
        "each belongs to one; correct the annotations",
        in_two_splits(rows),
    )
    twice = set(of_two_people(rows))
    people: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        if row.name in twice and row.pid not in people[row.name]:
            people[row.name].append(row.pid)
    found.problem(
        "two people",
        "images under more than one id",
        "each shows one person; correct the annotations",
        (f"{plain(name)} ({', '.join(map(str, pids))})" for name, pids in people.items()),
    )
    found.problem(
        "people in train and elsewhere",
        "ids in train and in another split",
        "results would include people seen in training; give each one split",
        in_train_and_elsewhere(rows),
    )


def in_captions(members: Sequence[Member], found: Found) -> None:
    """What is odd about captions."""
    found.note(
        "no words",
        "captions without a word",
        "they are left out",
        (one.place or one.name for one in members for text in one.captions if not has_words(text)),
    )
    found.note("no caption", "images without a caption", "", (one.name for one in members if not one.captions))
    people: dict[str, dict[int | str | None, None]] = defaultdict(dict)
    for one in members:
        for text in one.captions:
            if has_words(text):
                people[" ".join(text.split()).casefold()].setdefault(one.person)
    shared = {text: whose for text, whose in people.items() if len(whose) > 1}
    found.note(
        "captions of two people",
        "captions that stand under more than one person",
        "as queries they have several right answers",
        (f'"{plain(text[:_EXCERPT])}" ({", ".join(map(str, whose))})' for text, whose in shared.items()),
    )


# --- images


def in_images(members: Sequence[Member], examined: Mapping[str, Examined], root: Path, found: Found) -> None:
    """What is wrong with image files, each and together."""
    gone = [one for one in examined.values() if one.is_missing]
    found.problem(
        "missing image",
        f"images missing below {plain(str(root))}",
        "check the folder, or download them",
        (f"{plain(one.name)}{nearly(root, one.name)}" for one in gone),
    )
    found.problem(
        "unreadable image",
        "images that cannot be read",
        "download them again, or take them out",
        (f"{plain(one.name)}: {one.fault}" for one in examined.values() if one.fault and not one.is_missing),
    )
    _copies(members, examined, found)


def _copies(members: Sequence[Member], examined: Mapping[str, Examined], found: Found) -> None:
    same: dict[str, dict[str, Member]] = defaultdict(dict)
    for one in members:
        if one.name in examined and examined[one.name].sha256:
            same[examined[one.name].sha256].setdefault(one.name, one)
    groups = [list(copies.values()) for copies in same.values() if len(copies) > 1]
    across = [group for group in groups if len({one.split for one in group}) > 1]
    others = [group for group in groups if len({one.split for one in group}) == 1]
    found.problem(
        "copies in two splits",
        "the same picture in more than one split",
        "what is measured may have been trained on; take one of them out",
        (_group(group) for group in across),
    )
    found.problem(
        "copies of two people",
        "the same picture under more than one person",
        "correct the ids, or take one of them out",
        (_group(group) for group in others if len({one.person for one in group}) > 1),
    )
    found.note(
        "copies",
        "the same picture of a person under several names",
        "",
        (_group(group) for group in others if len({one.person for one in group}) == 1),
    )


def _group(group: Sequence[Member]) -> str:
    return " = ".join(f"{plain(one.name)} ({one.split}, {one.person})" for one in group)
