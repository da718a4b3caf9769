"""`ctgi data check`: what a data set holds, and what is wrong with it, before anybody trains on it."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.reading import Json
from ctgi.retrieval.benchmarks.annotations import Fault, examine_annotations
from ctgi.retrieval.benchmarks.datasets import DATA
from ctgi.retrieval.benchmarks.findings import Finding, Found, Member, in_annotations, in_captions, in_images
from ctgi.retrieval.benchmarks.layouts import LAYOUTS, SPLITS, Counts, Layout
from ctgi.retrieval.benchmarks.pictures import check_people, folder_splits, is_outside, left_out, person_of, told
from ctgi.retrieval.benchmarks.places import annotation_files, image_folder, recognize
from ctgi.retrieval.benchmarks.trees import TREES, cameras, read_tree
from ctgi.retrieval.finding import find_images
from ctgi.retrieval.passed_over import PassedOver
from ctgi.runs.events import Events
from ctgi.runs.image_scan import scan_images
from ctgi.suggest import did_you_mean
from ctgi.text import plain


@dataclass(frozen=True)
class DataCheck:
    """What was found in a data set."""

    layout: str
    """What to give as --data."""
    name: str
    files: tuple[str, ...]
    """Its annotation files."""
    images_root: str
    splits: dict[str, Counts]
    published: dict[str, Counts]
    """Published counts by split, or of "all" together; empty where there are none."""
    findings: list[Finding]
    faults: list[Fault] = field(default_factory=list)
    cameras: int | None = None
    """Number of cameras, where file names tell."""
    has_captions: bool = True
    """Whether it is a data set with captions."""

    @property
    def problems(self) -> list[Finding]:
        """What would make training or measuring fail or go wrong."""
        return [one for one in self.findings if one.is_problem]

    @property
    def notes(self) -> list[Finding]:
        """What is worth knowing."""
        return [one for one in self.findings if not one.is_problem]

    def to_json(self) -> Json:
        """All of it; `faults` are the objects that cannot be read, by object and field."""
        return {
            "layout": self.layout,
            "name": self.name,
            "files": list(self.files),
            "images_root": self.images_root,
            "splits": {split: counts._asdict() for split, counts in self.splits.items()},
            "published": {split: counts._asdict() for split, counts in self.published.items()},
            "cameras": self.cameras,
            "ok": not self.problems,
            "problems": [one.to_json() for one in self.problems],
            "faults": [{"object": one.place, "field": one.field, "what": one.what} for one in self.faults],
            "notes": [one.to_json() for one in self.notes],
        }


def check_data(root: Path, layout: str | None, events: Events) -> DataCheck:
    """Read all of a data set: its annotations, and every image once.

    layout: one of `DATA`; None recognizes it.

    Raises:
        CtgiError: there is no such folder or layout, or no data set in it can be made out.
    """
    if layout is not None and layout not in DATA:
        raise CtgiError(
            f"unknown data set {plain(layout)!r}: expected one of {', '.join(DATA)}{did_you_mean(layout, DATA)}"
        )
    kind = recognize(root) if layout is None else layout
    if kind in LAYOUTS:
        return _check_annotated(kind, root, events)
    return _check_tree(kind, root, events) if kind in TREES else _check_folder(root, events)


def _check_annotated(kind: str, root: Path, events: Events) -> DataCheck:
    layout, found = LAYOUTS[kind], Found()
    files = annotation_files(layout, root)
    paths = tuple(plain(str(file.path)) for file in files)
    try:
        read = examine_annotations(files, layout)
    except CtgiError as error:
        found.problem("annotations", str(error), "", paths)
        return DataCheck(kind, layout.name, paths, plain(str(files[0].path.parent)), {}, {}, found.all)
    members = [Member(row.name, row.split, row.pid, row.captions, row.place) for row in read.rows]
    folder = image_folder(files[0].path, layout, (one.name for one in members))
    in_annotations(read.rows, read.faults, found)
    for line in read.notes.lines():
        found.note("read as meant", line, "", [line])
    in_captions(members, found)
    splits = _counts(members)
    whole = layout.whole(files[0].path.name)
    published = {"all": whole} if whole else dict(layout.published)
    _compare(splits, published, found)
    _gaps(layout, members, found)
    _look_at_images(members, folder, events, found)
    _strangers(members, folder, found)
    return DataCheck(kind, layout.name, paths, plain(str(folder)), splits, published, found.all, read.faults)


def _check_tree(kind: str, root: Path, events: Events) -> DataCheck:
    tree, found = TREES[kind], Found()
    grove = read_tree(tree, root)
    members = [Member(one.name, one.split, one.person if one.person >= 0 else None) for one in grove.shots]
    for line in left_out(tree, grove):
        found.note("left out", line, "", [line])
    for folder, expected in tree.published.items():
        there = [one for one in grove.shots if one.folder == folder]
        people, images = len({one.person for one in there if one.person >= 0}), len(there)
        images += grove.junk if folder == "bounding_box_test" else 0
        if there and (images, people) != (expected.images, expected.people or people):
            published = f"{expected.images:,} images" + (f" of {expected.people:,} people" if expected.people else "")
            line = f"{folder}: {images:,} images of {people:,} people; published: {published}"
            found.note("counts", line, "", [folder])
    _look_at_images(members, grove.root, events, found)
    return DataCheck(
        kind, tree.name, (), plain(str(grove.root)), _counts(members), {}, found.all,
        cameras=len(cameras(grove.shots)), has_captions=False,
    )  # fmt: skip


def _check_folder(root: Path, events: Events) -> DataCheck:
    found, passed = Found(), PassedOver()
    names = [_below(root, path) for path in find_images([str(root)], passed)]
    splits, people = _folder_people(root, names, found)
    members = [Member(name, splits[name], people[name] or None) for name in names]
    nobody = [one.name for one in members if one.person is None]
    found.note("no person", "images in no person's folder", "--identity image makes each a person of its own", nobody)
    for line in passed.lines():
        found.note("passed over", line, "", [line])
    _look_at_images(members, root, events, found)
    return DataCheck(
        "folder", plain(root.resolve().name), (), plain(str(root)), _counts(members), {}, found.all, has_captions=False
    )


def _folder_people(root: Path, names: Sequence[str], found: Found) -> tuple[dict[str, str], dict[str, str]]:
    """Split and person of each image of a plain folder; what does not fit together is a problem."""
    try:
        splits = folder_splits(root, names)
    except CtgiError as error:
        found.problem("splits", str(error), "", [plain(str(root))])
        splits = dict.fromkeys(names, "train")
    people = {name: person_of(name, splits[name]) for name in names}
    try:
        check_people(root, people)
    except CtgiError as error:
        found.problem("people", str(error), "", [plain(str(root))])
    return splits, people


def _counts(members: Iterable[Member]) -> dict[str, Counts]:
    found = {}
    everybody = list(members)
    for split in SPLITS:
        there = [one for one in everybody if one.split == split]
        if there:
            people = {one.person for one in there if one.person is not None}
            found[split] = Counts(
                len({one.name for one in there}), sum(len(one.captions) for one in there), len(people)
            )
    return found


def _compare(splits: dict[str, Counts], published: dict[str, Counts], found: Found) -> None:
    for split, expected in published.items():
        counts = splits.get(split, Counts(0, 0, 0))
        if split == "all" and splits:
            counts = Counts(*map(sum, zip(*splits.values(), strict=True)))
        if counts != expected:
            found.note("counts", f"{split}: {told(counts)}; published: {told(expected)}", "", [split])


def _gaps(layout: Layout, members: Iterable[Member], found: Found) -> None:
    train = {one.person for one in members if one.split == "train"}
    first = layout.first_train_id
    expected = set(range(first, first + len(train)))
    if train != expected:
        what = f"ids missing in train, of {first} to {first + len(train) - 1}"
        cure = "ctgi numbers people anew; official loaders refuse gaps, and ctgi export writes them without"
        found.note("gaps", what, cure, sorted(expected - train))


def _look_at_images(members: Sequence[Member], folder: Path, events: Events, found: Found) -> None:
    everything = list(dict.fromkeys(one.name for one in members))
    names = [name for name in everything if not is_outside(name)]
    cure = "expected paths below it; correct the annotations"
    astray = [name for name in everything if is_outside(name)]
    found.problem("outside", f"paths outside the image folder {plain(str(folder))}", cure, astray)
    with events.progress("read images", len(names)) as update:
        examined = scan_images(folder, names, update)
    in_images(members, examined, folder, found)


def _strangers(members: Iterable[Member], folder: Path, found: Found) -> None:
    """Images in the folder that no object names."""
    known = {one.name for one in members}
    if not folder.is_dir() or not known:
        return
    passed = PassedOver()
    try:
        there = [_below(folder, path) for path in find_images([str(folder)], passed)]
    except CtgiError:
        return
    strangers = [name for name in there if name not in known]
    found.note("not annotated", f"images in {plain(str(folder))} that the annotations do not name", "", strangers)


def _below(folder: Path, path: str) -> str:
    """A path that begins with a folder, below it."""
    return path[len(str(folder)) :].replace(os.sep, "/").lstrip("/")
