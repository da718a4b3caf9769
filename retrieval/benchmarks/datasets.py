"""Loads the benchmarks and captioned folders as rows of (image, person, caption), and checks them."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ctgi.described import has_words
from ctgi.errors import CtgiError
from ctgi.reading import uncollected
from ctgi.retrieval.benchmarks.caption_choice import CaptionChoice
from ctgi.retrieval.benchmarks.layouts import LAYOUTS, SPLITS
from ctgi.retrieval.benchmarks.pictures import (
    Picture,
    check_images,
    first_few,
    numbered,
    read_benchmark,
    read_folder,
    read_numbered,
    recaptioned,
    some,
)
from ctgi.retrieval.benchmarks.trees import TREES
from ctgi.retrieval.sources.references import as_folders, is_remote
from ctgi.suggest import did_you_mean
from ctgi.text import plain

logger = logging.getLogger(__name__)

Identity = Literal["labels", "image"]
DATA = (*LAYOUTS, *TREES, "folder")
"""What `--data` may name."""


@dataclass(frozen=True)
class Split:
    """Images and their captions; one row per caption."""

    name: str
    images: tuple[str, ...]
    """Paths on disk."""
    image_pids: tuple[int, ...]
    """Person id of each image: 0 to C-1 without gaps in `train`, the data set's own ids elsewhere; -1 for nobody."""
    captions: tuple[str, ...]
    caption_pids: tuple[int, ...]
    caption_images: tuple[int, ...]
    """Image index of each caption."""
    confidences: tuple[float | None, ...] = ()
    """Confidence of each caption, 0 to 1; empty if the captions have none."""
    weights: tuple[float, ...] = ()
    """Loss weight of each caption; empty means 1 each."""

    @property
    def classes(self) -> int:
        """Number of people."""
        return len({pid for pid in self.image_pids if pid >= 0})

    def overview(self, root: Path) -> str:
        """One line: number of images and people, and their folders below `root`, in archives or at addresses."""
        folders = Counter(_folder(image, root) for image in self.images)
        where = first_few([f"{folder} ({count:,})" for folder, count in sorted(folders.items())])
        images = "1 image" if len(self.images) == 1 else f"{len(self.images):,} images"
        people = "1 person" if self.classes == 1 else f"{self.classes:,} people"
        return f"{self.name}: {images} of {people}: {where}"

    def rows(self, chosen: Sequence[int]) -> "Split":
        """The split reduced to these captions and their images, with people numbered from 0."""
        images = sorted({self.caption_images[row] for row in chosen})
        place = {image: index for index, image in enumerate(images)}
        pids = numbered(self.image_pids[image] for image in images)
        return Split(
            self.name,
            tuple(self.images[image] for image in images),
            tuple(pids[self.image_pids[image]] for image in images),
            tuple(self.captions[row] for row in chosen),
            tuple(pids[self.caption_pids[row]] for row in chosen),
            tuple(place[self.caption_images[row]] for row in chosen),
            tuple(self.confidences[row] for row in chosen if self.confidences),
            tuple(self.weights[row] for row in chosen if self.weights),
        )


def _folder(image: str, root: Path) -> str:
    if is_remote(image):
        return image.rpartition("/")[0]
    return Path(as_folders(image)).relative_to(root).parent.as_posix()


@dataclass(frozen=True)
class DataSet:
    """A data set and its splits."""

    name: str
    root: Path
    """The folder that contains the images."""
    splits: Mapping[str, Split]
    corrected: int = 0
    """Captions that a person corrected."""
    is_published: bool = True
    """Whether the counts of its splits are compared with published ones; else they are worth telling."""

    def split(self, name: str) -> Split:
        """One split by name.

        Raises:
            CtgiError: the data set has no such split.
        """
        if name not in self.splits:
            raise CtgiError(
                f"{self.name} in {plain(str(self.root))} has no split {name!r}: {' and '.join(self.splits)} only"
            )
        return self.splits[name]


@uncollected()
def load_dataset(spec: str, root: Path, *, captions: str = "human", identity: Identity = "labels") -> DataSet:
    """Load a benchmark by its layout (a key of LAYOUTS or TREES), or `folder`: any folder with a captions file.

    root: the folder with the annotation file and imgs/, or the one above it, or the file. For a tree, the folder of its
        split folders. For `folder`, the image folder: train/, val/ and test/ are splits if they exist, and each
        person's images are in one folder.
    captions: `human`, or `initial:FILE` or `mtg:FILE` with a captions.jsonl, which replaces the captions of `train`;
        `mtg:` takes them as people corrected them.
        A benchmark's val and test keep their human captions, because they are what is measured.
    identity: `image` makes each training image a person of its own; val and test keep their labels.

    Raises:
        CtgiError: unknown layout, split or option; a file that is missing or in another layout; missing images, an
            image in two splits; no caption for any training image.
    """
    choice = CaptionChoice.parse(captions)
    if identity not in ("labels", "image"):
        raise CtgiError(f"identity {identity!r}: expected labels or image")
    if spec == "folder":
        name, pictures = "folder", read_folder(root, choice, need_people=identity == "labels")
    elif spec in TREES:
        name, (root, pictures) = TREES[spec].name, read_numbered(TREES[spec], root, choice)
    elif spec in LAYOUTS:
        name, (root, pictures) = LAYOUTS[spec].name, read_benchmark(LAYOUTS[spec], root)
        if choice.file is not None:
            pictures = recaptioned(pictures, choice, root)
    else:
        meant = did_you_mean(spec, DATA)
        raise CtgiError(f"unknown data set {spec!r}: expected {', '.join(DATA[:-1])} or {DATA[-1]}{meant}")
    check_images(name, root, pictures)
    found = [split for split in SPLITS if any(picture.split == split for picture in pictures)]
    splits = {split: _built(split, root, pictures, identity) for split in found}
    corrected = sum(text.corrected for picture in pictures for text in picture.texts)
    return DataSet(name, root, splits, corrected, is_published=spec in LAYOUTS and bool(LAYOUTS[spec].published))


def hold_out(dataset: DataSet, share: float, seed: int = 0) -> DataSet:
    """The data set with a share of the people of `train`, chosen by `seed`, as `val`; the rest stays `train`.

    For data sets without a val split, so that no model is selected on test.

    Raises:
        CtgiError: there is a val split already, or there are too few people.
    """
    import numpy as np

    train = dataset.split("train")
    if "val" in dataset.splits:
        raise CtgiError(f"{dataset.name} has a val split: remove data.val_share")
    count = max(1, round(share * train.classes))
    if count >= train.classes:
        raise CtgiError(
            f"cannot hold out {count} of the {train.classes} people of {dataset.name}: give a smaller share"
        )
    held = set(np.random.default_rng(seed).permutation(train.classes)[:count].tolist())
    parts = {
        name: [row for row, pid in enumerate(train.caption_pids) if (pid in held) == (name == "val")]
        for name in ("train", "val")
    }
    splits = {name: replace(train.rows(rows), name=name) for name, rows in parts.items()}
    return replace(dataset, splits={**dataset.splits, **splits})


def _built(name: str, root: Path, pictures: Sequence[Picture], identity: Identity) -> Split:
    members = [one for one in pictures if one.split == name]
    blank = [one.name for one in members for text in one.texts if not has_words(text.caption)]
    if blank:
        logger.warning("%s: captions without a word left out: %s", name, some(blank))
    rows = [(index, text) for index, one in enumerate(members) for text in one.texts if has_words(text.caption)]
    confidences = tuple(text.confidence for _, text in rows)
    pids = [one.pid for one in members]
    split = Split(
        name,
        tuple(one.name if is_remote(one.name) else f"{root}/{one.name}" for one in members),
        tuple(pids),
        tuple(text.caption for _, text in rows),
        tuple(pids[index] for index, _ in rows),
        tuple(index for index, _ in rows),
        confidences if any(value is not None for value in confidences) else (),
    )
    if name != "train":
        return split
    if not rows:
        raise CtgiError(f"{plain(str(root))}: no training image has a caption: choose other captions")
    split = split.rows(range(len(rows)))
    if identity == "image":
        split = replace(split, image_pids=tuple(range(len(split.images))), caption_pids=split.caption_images)
    return split
