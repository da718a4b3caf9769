"""Who is in the images that captions are exported for, and which people are train, val and test."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from random import Random

from ctgi.retrieval.benchmarks.annotations import cut_people
from ctgi.retrieval.benchmarks.trees import TREES, read_tree, tree_root

_SHARE = 0.1
"""Share of the people in val, and in test, where a set has none."""
_NUMBERED = tuple(tree.pattern for tree in TREES.values())


@dataclass(frozen=True)
class Who:
    """The person in an image, and the split of the person; "" if it is still to be chosen."""

    person: int
    split: str = ""


def people_of(names: Sequence[str], root: Path) -> tuple[dict[str, Who], str]:
    """Image (by path below `root`) -> who is in it, and how that is known, for a notice.

    People are known where the folders are those of a tree like Market-1501, or where all file names are numbered as in
    one; elsewhere each image is a person of its own.
    """
    for tree in TREES.values():
        if tree_root(tree, root) == root:
            shots = {one.name: one for one in read_tree(tree, root).shots if one.person >= 0}
            if all(name in shots for name in names):
                found = {name: Who(shots[name].person, shots[name].split) for name in names}
                return found, f"people and splits as in {tree.name}"
    for pattern in _NUMBERED:
        told = [pattern.match(PurePosixPath(name).name) for name in names]
        if all(told):
            numbers = {name: int(match["person"]) for name, match in zip(names, told, strict=True) if match}
            return {name: Who(number) for name, number in numbers.items()}, "people by the numbers in file names"
    return {name: Who(number) for number, name in enumerate(names)}, "each image is a person of its own"


def cut(people: Iterable[int], missing: Sequence[str]) -> dict[int, str]:
    """Person -> split: a tenth of the people, the same ones each time, for each split that is missing."""
    order = sorted(set(people))
    Random(0).shuffle(order)
    return cut_people(order, *(_SHARE if split in missing else 0 for split in ("val", "test")))


def renumbered(who: Iterable[Who], first: int) -> dict[int, int]:
    """The ids of people in a file: those of train from `first` on without a gap, the others after them."""
    order = {"train": 0, "val": 1, "test": 2}
    earliest: dict[int, int] = {}
    for one in who:
        earliest[one.person] = min(order[one.split], earliest.get(one.person, len(order)))
    people = sorted(earliest, key=lambda person: (earliest[person], person))
    return {person: number for number, person in enumerate(people, first)}
