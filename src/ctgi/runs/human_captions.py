"""The captions that people gave the images of a data set, and the files in which they stand."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.caption_choice import Text
from ctgi.retrieval.benchmarks.layouts import LAYOUTS
from ctgi.retrieval.benchmarks.pictures import read_benchmark
from ctgi.retrieval.benchmarks.places import annotation_files, recognize
from ctgi.suggest import did_you_mean
from ctgi.text import plain


@dataclass(frozen=True)
class Described:
    """An image of a data set and its captions."""

    path: str
    """On disk."""
    name: str
    """Below the image folder."""
    split: str
    pid: int
    captions: tuple[str, ...]


@dataclass(frozen=True)
class DescribedImages:
    """The images of a data set that have captions."""

    name: str
    layout: str
    files: tuple[Path, ...]
    """Its annotations."""
    images: tuple[Described, ...]


def described_images(root: Path, layout: str | None, split: str | None) -> DescribedImages:
    """The captioned images of a data set, of all splits or one.

    root: its folder, or its annotation file. layout: a key of LAYOUTS; None recognizes it.

    Raises:
        CtgiError: unknown layout, no annotations or broken ones, no such split, or no caption at all.
    """
    key = _layout(root, layout)
    folder, pictures = read_benchmark(LAYOUTS[key], root)
    images = tuple(
        Described(f"{folder}/{one.name}", one.name, one.split, one.pid, texts)
        for one in pictures
        if split in (None, one.split) and (texts := _with_words(one.texts))
    )
    if not images:
        there = ", ".join(dict.fromkeys(one.split for one in pictures))
        wanted = f"captions in split {split!r}: expected one of {there}" if split else "captions"
        raise CtgiError(f"{plain(str(root))}: no {wanted}")
    return DescribedImages(LAYOUTS[key].name, key, annotations_of(root, key), images)


def annotations_of(root: Path, layout: str | None) -> tuple[Path, ...]:
    """The annotation files of a data set. Raises as `described_images`."""
    return tuple(file.path for file in annotation_files(LAYOUTS[_layout(root, layout)], root))


def _with_words(texts: Iterable[Text]) -> tuple[str, ...]:
    return tuple(text.caption for text in texts if text.caption.strip())


def _layout(root: Path, given: str | None) -> str:
    key = given or recognize(root)
    if key in LAYOUTS:
        return key
    if given:
        meant = did_you_mean(given, LAYOUTS)
        raise CtgiError(f"--data {plain(given)}: expected one of {', '.join(LAYOUTS)}, which have captions{meant}")
    raise CtgiError(f"{plain(str(root))}: no annotations with captions were recognized: name the layout with --data")
