"""Captions as annotation files of the person search benchmarks, which other people's code reads."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ctgi.errors import CtgiError
from ctgi.files import write_whole
from ctgi.text import plain

_WORD = re.compile(r"\w+(?:['-]\w+)*")


@dataclass(frozen=True)
class Layout:
    """How one benchmark writes down its images: a JSON list with one object for each."""

    file_name: str
    """What the benchmark's loaders open."""
    path_key: str
    tokens: bool
    """Objects carry `processed_tokens`, the words of each caption."""
    splits: tuple[str, ...]
    first_train_id: int = 0
    """Loaders of the IRRA family subtract this and expect 0, 1, 2 ..."""


LAYOUTS = {
    "cuhk": Layout("reid_raw.json", "file_path", tokens=True, splits=("train", "val", "test"), first_train_id=1),
    "icfg": Layout("ICFG-PEDES.json", "file_path", tokens=True, splits=("train", "test")),
    "rstp": Layout("data_captions.json", "img_path", tokens=False, splits=("train", "val", "test")),
}
FILE_NAMES = {name: layout.file_name for name, layout in LAYOUTS.items()}


@dataclass(frozen=True)
class ExportReport:
    """What an export did, in objects of the file and in captioned images."""

    written: int
    """Objects in the file."""
    replaced: int
    """Objects of the data set that now carry our caption."""
    kept: int
    """Objects of the split that keep their own captions, since we have none for them."""
    without_caption: int
    """Records without a caption; left out."""
    unmatched: int
    """Captioned images that are none of the split's."""


def export_captions(
    records: Iterable[Mapping[str, Any]],
    layout: str,
    out: Path,
    *,
    images_root: Path,
    annotations: Path | None = None,
    split: str = "train",
) -> ExportReport:
    """Write the parsed lines of `captions.jsonl` as the `cuhk`, `icfg` or `rstp` annotation file.

    images_root: the folder that the benchmark's loader joins paths to, `imgs/`, or the one above it.
    annotations: the data set's own file. Its objects come out in order with the captions of `split` replaced,
        matched by path, else by a file name that occurs once; the rest is as it was. Without it each image is
        a person of its own, in order of path.
    Of several records for one path the last with a caption counts.

    Raises:
        CtgiError: unknown layout or split, nothing to export, an image outside `images_root`, annotations not
            in the layout or without a captioned image, or `out` is those or cannot be written.
    """
    form = _layout(layout, split)
    root = images_root / "imgs" if (images_root / "imgs").is_dir() else images_root
    captions, empty = _captions(records)
    if annotations is None:
        objects = _people(captions, form, root, split)
        report = ExportReport(len(objects), replaced=0, kept=0, without_caption=empty, unmatched=0)
    else:
        _spare(annotations, out)
        objects = _read(annotations, form)
        ours = _match(captions, objects, form, root, split)
        if not ours:
            raise CtgiError(
                f"{plain(str(annotations))}: none of the {len(captions)} captioned images is in its split "
                f"{split!r}: expected them below {plain(str(root))} or with the same file names; check both"
            )
        objects = [_recaptioned(entry, ours, form, split) for entry in objects]
        kept = sum(entry["split"] == split for entry in objects) - len(ours)
        report = ExportReport(len(objects), len(ours), kept, empty, len(captions) - len(ours))
    write_whole(out, json.dumps(objects).encode("ascii"))
    return report


def _layout(name: str, split: str) -> Layout:
    if name not in LAYOUTS:
        raise CtgiError(f"unknown export layout {name!r}: expected one of {', '.join(LAYOUTS)}")
    if split not in LAYOUTS[name].splits:
        raise CtgiError(f"layout {name} has no split {split!r}: expected one of {', '.join(LAYOUTS[name].splits)}")
    return LAYOUTS[name]


def _captions(records: Iterable[Mapping[str, Any]]) -> tuple[dict[str, str], int]:
    """Path -> last caption, and how many paths have none."""
    captions: dict[str, str] = {}
    paths: set[str] = set()
    for record in records:
        paths.add(record["path"])
        if (record.get("caption") or "").strip():
            captions[record["path"]] = record["caption"]
    if not captions:
        raise CtgiError(f"nothing to export: {len(paths)} images and no caption; run ctgi caption first")
    return captions, len(paths) - len(captions)


def _people(captions: dict[str, str], form: Layout, root: Path, split: str) -> list[dict[str, Any]]:
    """Objects in which every image is a person of its own."""
    below = {_below(path, root): path for path in captions}
    if None in below:
        raise CtgiError(
            f"{plain(below[None])}: not below the images' folder {plain(str(root))}, so a loader would not "
            "find it: give the folder that holds all captioned images, or caption those of one folder"
        )
    first = form.first_train_id if split == "train" else 0
    return [
        {"split": split, form.path_key: name, "id": pid} | _texts(captions[below[name]], form)
        for pid, name in enumerate(sorted(filter(None, below)), first)
    ]


def _texts(caption: str, form: Layout) -> dict[str, Any]:
    words = {"processed_tokens": [_WORD.findall(caption.lower())]} if form.tokens else {}
    return {"captions": [caption]} | words


def _read(annotations: Path, form: Layout) -> list[dict[str, Any]]:
    name = plain(str(annotations))
    try:
        objects = json.loads(annotations.read_bytes())
    except OSError as error:
        raise CtgiError(f"cannot read {name} ({error.strerror}): give the data set's annotation file") from None
    except ValueError as error:
        raise CtgiError(f"{name}: not JSON ({error}): give the data set's annotation file") from None
    if not isinstance(objects, list) or not all(_fits(entry, form) for entry in objects):
        raise CtgiError(
            f"{name}: expected a list of objects with {form.path_key}, id, split and captions: "
            "give the data set's annotation file that has the splits, and the layout that belongs to it"
        )
    return objects


def _spare(annotations: Path, out: Path) -> None:
    if out.exists() and annotations.exists() and out.samefile(annotations):
        raise CtgiError(f"{plain(str(out))}: would replace the data set's own annotations: write to another file")


def _fits(entry: object, form: Layout) -> bool:
    return (
        isinstance(entry, dict)
        and {"id", "split", "captions"} <= entry.keys()
        and isinstance(entry.get(form.path_key), str)
    )


def _match(
    captions: dict[str, str], objects: list[dict[str, Any]], form: Layout, root: Path, split: str
) -> dict[str, str]:
    """Annotated path -> our caption, for the objects of `split`."""
    names = _once(entry[form.path_key] for entry in objects)
    below = {path: _below(path, root) for path in captions}
    known = {entry[form.path_key] for entry in objects}
    strangers = _once(path for path, inside in below.items() if inside not in known)
    by_name = {names[name]: path for name, path in strangers.items() if name in names}
    source = by_name | {inside: path for path, inside in below.items() if inside is not None}
    wanted = (entry[form.path_key] for entry in objects if entry["split"] == split)
    return {path: captions[source[path]] for path in wanted if path in source}


def _once(paths: Iterable[str]) -> dict[str, str]:
    """File name -> path, for the names that occur once."""
    named = [(PurePosixPath(path).name, path) for path in paths]
    count = Counter(name for name, _ in named)
    return {name: path for name, path in named if count[name] == 1}


def _recaptioned(entry: dict[str, Any], ours: dict[str, str], form: Layout, split: str) -> dict[str, Any]:
    if entry["split"] != split or entry[form.path_key] not in ours:
        return entry
    return entry | _texts(ours[entry[form.path_key]], form)


def _below(path: str, root: Path) -> str | None:
    """`path` as seen from `root`, links followed only where that is needed; None if it lies elsewhere."""
    for locate in (os.path.abspath, os.path.realpath):
        here, there = Path(locate(path)), Path(locate(root))
        if here.is_relative_to(there):
            return here.relative_to(there).as_posix()
    return None
