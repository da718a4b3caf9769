"""Captions as data sets in the layouts of the person search benchmarks, which other people's code reads."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ctgi.captions import CaptionLine
from ctgi.corrections import corrected_captions, told
from ctgi.described import CAPTION_KEYS, PATH_KEYS
from ctgi.errors import CtgiError
from ctgi.files import write_whole
from ctgi.places import key_of
from ctgi.reading import Json
from ctgi.retrieval.benchmarks.annotations import Annotation, read_annotations
from ctgi.retrieval.benchmarks.layouts import EXPORTED, LAYOUTS, SPLITS, Counts, Layout
from ctgi.retrieval.benchmarks.matching import below_root, match_images
from ctgi.retrieval.benchmarks.places import annotation_files, image_folder
from ctgi.retrieval.sources.references import is_reference
from ctgi.runs.events import Events
from ctgi.runs.export_people import Who, cut, people_of, renumbered
from ctgi.text import plain

_SHOWN = 3
_WORD = re.compile(r"\w+(?:['-]\w+)*")


FILE_NAMES = {name: LAYOUTS[name].file_name for name in EXPORTED}


@dataclass(frozen=True)
class ExportReport:
    """The counts of an export."""

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
    corrected: int = 0
    """Captions in the file that a person corrected."""
    kept_paths: tuple[str, ...] = field(default=(), compare=False)
    """The objects counted in `kept`, by the paths that the file gives them."""
    splits: dict[str, Counts] = field(default_factory=dict, compare=False)
    """Split -> images, captions and people in the file."""
    cut: tuple[str, ...] = field(default=(), compare=False)
    """The splits that were cut from train by person, since there were none."""
    people: str = field(default="", compare=False)
    """How it is known who is in an image, where no annotations say so."""
    renumbered: bool = field(default=False, compare=False)
    """Whether ids of train had gaps, which official loaders refuse."""

    def to_json(self) -> Json:
        """The counts as JSON; `splits` by name."""
        names = ("written", "replaced", "kept", "unmatched", "without_caption", "corrected", "renumbered")
        splits = {split: counts._asdict() for split, counts in self.splits.items()}
        return {name: getattr(self, name) for name in names} | {"splits": splits, "cut": list(self.cut)}


def export_captions(
    lines: Iterable[CaptionLine],
    layout: str,
    out: Path,
    *,
    images_root: Path,
    annotations: Path | None = None,
    split: str = "train",
    cut_splits: bool = False,
    keep_human: bool = True,
) -> ExportReport:
    """Write the lines of a `captions.jsonl` as the `cuhk`, `icfg` or `rstp` annotation file.

    images_root: the folder that the benchmark's loader joins paths to, `imgs/`, or the one above it.
    annotations: the data set's own file. Its objects come out in order with the captions of `split` replaced,
        matched by path, else by the end of the path, else by a file name that occurs once; the rest is as it was,
        in the layout's spelling. Without it people are those of `people_of`, in order of path.
    cut_splits: cut val and test from train by person where the set has no test; those of a data set keep their own
        captions.
    keep_human: write the file although images of `split` keep the captions that people gave them.
    Of several records for one path the last with a caption counts.

    Raises:
        CtgiError: unknown layout or split, nothing to export, an image outside `images_root`, annotations not
            in the layout, without a captioned image or (unless `keep_human`) with one that has none, or `out` is those
            or cannot be written.
    """
    form = _layout(layout, split)
    captions, empty = _captions(lines)
    if annotations is None:
        objects, used, report = _from_images(captions, form, _imgs(images_root), split, cut_splits)
    else:
        _refuse_overwrite(annotations, out)
        rows = read_annotations(annotation_files(form, annotations), form).rows
        gone = _missing(form, {row.split for row in rows}) if cut_splits else ()
        rows, is_new = _cut_rows(rows, form, gone)
        objects, used, kept = _replaced(annotations, rows, captions, form, _imgs(images_root), split)
        if kept and not keep_human:
            some = _some_of(kept, sum(row.split == split for row in rows), split)
            raise CtgiError(
                f"{plain(str(annotations))}: {some} would keep the captions that people wrote: they have none of "
                "ours: caption them first, or add --keep-human"
            )
        report = ExportReport(
            len(objects), len(used), len(kept), 0, len(captions) - len(used), kept_paths=kept, cut=gone,
            renumbered=is_new,
        )  # fmt: skip
    write_whole(out, json.dumps(objects).encode("ascii"))
    splits, corrected = _counts(objects), sum(line.corrected for line in used.values())
    made = tuple(one for one in report.cut if one in splits)
    return replace(report, without_caption=empty, corrected=corrected, splits=splits, cut=made)


def check_export(layouts: Sequence[str], annotations: Path | None, most: int | None = None) -> None:
    """Refuse an impossible export before images are captioned for it.

    most: so many images will have a caption at most, and all of train need one; None if nothing is known of that.

    Raises:
        CtgiError: an unknown layout, annotations that are none of it, or too few captions.
    """
    for name in layouts:
        if name not in EXPORTED:
            raise CtgiError(f"--export {name!r}: expected one of {', '.join(EXPORTED)}")
        if not annotations:
            continue
        rows = read_annotations(annotation_files(LAYOUTS[name], annotations), LAYOUTS[name]).rows
        train = sum(row.split == "train" for row in rows)
        if most is not None and most < train:
            raise CtgiError(
                f"{plain(str(annotations))}: with --limit at most {most:,} of {train:,} train images would have a "
                "caption of ours, and the others keep those that people wrote: leave out --limit, or add --keep-human"
            )


def counted(captions: Path) -> tuple[int, int]:
    """How many images a captions file has, and how many of their captions are a person's.

    Raises:
        CtgiError: the file cannot be read.
    """
    corrected: set[str] = set()

    def keys() -> Iterator[bytes]:
        for line in corrected_captions(captions):
            (corrected.add if line.corrected else corrected.discard)(line.path)
            yield key_of(line.path)

    return len(np.unique(np.fromiter(keys(), "S16"))), len(corrected)


def export_all(
    captions: Path,
    layouts: Sequence[str],
    events: Events,
    *,
    images_root: Path,
    annotations: Path | None = None,
    keep_human: bool = False,
) -> dict[str, ExportReport]:
    """Write a captions file, as people corrected it, in several layouts, each as the folder that loaders expect.

    For captions.jsonl and `rstp` that is captions-rstp/RSTPReid/ with data_captions.json, and imgs as a link to the
    images. Splits that a set lacks are cut from train by person.

    Returns what was written, by file.

    Raises:
        CtgiError: as `export_captions` does, or a folder cannot be made.
    """
    if layouts and not captions.exists():
        events.warn(f"nothing to export: no image has a caption in {captions}")
        return {}
    written = {}
    for layout in layouts:
        target = captions.with_name(f"{captions.stem}-{layout}") / LAYOUTS[layout].name / FILE_NAMES[layout]
        with _folders(target.parent.parent, target.parent):
            report = export_captions(
                corrected_captions(captions), layout, target,
                images_root=images_root, annotations=annotations, cut_splits=True, keep_human=keep_human,
            )  # fmt: skip
        _tell(report, target, events)
        _link_images(target, LAYOUTS[layout], _imgs(images_root), annotations, events)
        written[str(target)] = report
    return written


def _tell(report: ExportReport, target: Path, events: Events) -> None:
    if report.kept:
        some = _some_of(report.kept_paths, report.kept + report.replaced, "train")
        events.warn(f"{target}: {some} keep the captions that people wrote")
    if report.people:
        events.tell(f"{target}: {report.people}")
    if report.cut:
        told_of = ", ".join(f"{report.splits[split].people:,} people in {split}" for split in report.cut)
        ours = "; their captions are ours, so what is measured there is agreement with a model" if report.people else ""
        events.warn(f"{target}: cut from train, since there was none: {told_of}{ours}")
    if "test" not in report.splits:
        events.warn(f"{target}: too few people to cut a test from train: official loaders need one")
    if report.renumbered:
        events.tell(f"{target}: ids of train had gaps, which loaders refuse: everybody is numbered anew")
    if report.corrected:
        events.tell(f"{target}: {told(report.corrected)}")


# --- folders


def _imgs(images_root: Path) -> Path:
    return images_root / "imgs" if (images_root / "imgs").is_dir() else images_root


@contextmanager
def _folders(*folders: Path) -> Iterator[None]:
    """Folders to write to, from the outermost; those that were made go again if nothing comes of it."""
    made = [folder for folder in folders if not folder.exists()]
    try:
        for folder in folders:
            folder.mkdir(exist_ok=True)
    except OSError as error:
        raise CtgiError(f"cannot make the folder {folder} ({error.strerror}): choose another --out") from None
    try:
        yield
    except CtgiError:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


def _link_images(target: Path, form: Layout, root: Path, annotations: Path | None, events: Events) -> None:
    """Put the images beside the annotations, as a link; where links cannot be made, it is said what to copy."""
    names = [entry[form.path_key] for entry in json.loads(target.read_bytes())]
    if annotations and not any((root / name).is_file() for name in names):
        root = image_folder(annotation_files(form, annotations)[0].path, form, names)
    link, folder = target.parent / "imgs", root.resolve()
    try:
        if link.is_symlink():
            link.unlink()
        if not link.exists():
            link.symlink_to(folder, target_is_directory=True)
    except OSError as error:
        events.warn(f"{link}: cannot be linked ({error.strerror}): copy {folder} there")
    if missing := [name for name in names if not (root / name).is_file()]:
        events.warn(f"{target}: {_some_of(missing, len(names), 'listed')} are not below {root}")


# --- objects


def _from_images(
    captions: dict[str, CaptionLine], form: Layout, root: Path, split: str, cut_splits: bool
) -> tuple[list[Json], dict[str, CaptionLine], ExportReport]:
    """Objects for captioned images alone, the captions in them, and the counts."""
    if inside := [path for path in captions if is_reference(path)]:
        raise CtgiError(
            f"{plain(inside[0])}: no file of its own, so other people's loaders would not find it: unpack or download "
            "the images, and caption them there"
        )
    below = {below_root(path, root): path for path in captions}
    if None in below:
        raise CtgiError(
            f"{plain(below[None])}: not below the image folder {plain(str(root))}, so a loader would not "
            "find it: give the folder that holds all captioned images, or caption those of one folder"
        )
    names = sorted(filter(None, below))
    known, how = people_of(names, root)
    gone = _missing(form, {one.split for one in known.values()}) if cut_splits else ()
    splits = cut([one.person for one in known.values() if one.split in ("", "train")], gone)
    who = {
        name: replace(
            one, split=(splits[one.person] if one.split in ("", "train") else one.split) if cut_splits else split
        )
        for name, one in known.items()
    }
    ids = renumbered(who.values(), form.first_train_id if "train" in {one.split for one in who.values()} else 0)
    objects = [
        {"split": who[name].split, form.path_key: name, "id": ids[who[name].person]}
        | _texts(captions[below[name]].captions, form)
        for name in names
    ]
    return objects, captions, ExportReport(len(objects), 0, 0, 0, 0, cut=gone, people=how if cut_splits else "")


def _missing(form: Layout, there: Iterable[str]) -> tuple[str, ...]:
    """The splits of a layout to cut from train: those that a set without test lacks; with one, loaders are content."""
    found = set(there)
    return () if "test" in found else tuple(split for split in form.splits if split not in found and split != "train")


def _cut_rows(rows: Sequence[Annotation], form: Layout, gone: Sequence[str]) -> tuple[list[Annotation], bool]:
    """The rows with people of train in the splits that are missing, and whether they had to be numbered anew."""
    if gone:
        split_of = cut((row.pid for row in rows if row.split == "train"), gone)
        rows = [replace(row, split=split_of[row.pid]) if row.split == "train" else row for row in rows]
    train = {row.pid for row in rows if row.split == "train"}
    if train == set(range(form.first_train_id, form.first_train_id + len(train))):
        return list(rows), False
    ids = renumbered((Who(row.pid, row.split) for row in rows), form.first_train_id)
    return [replace(row, pid=ids[row.pid]) for row in rows], True


def _replaced(
    annotations: Path,
    rows: Sequence[Annotation],
    captions: dict[str, CaptionLine],
    form: Layout,
    root: Path,
    split: str,
) -> tuple[list[Json], dict[str, CaptionLine], tuple[str, ...]]:
    """The data set's objects with our captions, ours by the paths there, and the paths of the split without one."""
    wanted = [row.name for row in rows if row.split == split]
    ours = match_images(captions, root, wanted, [row.name for row in rows])
    if not ours:
        raise CtgiError(
            f"{plain(str(annotations))}: none of the {len(captions)} captioned images is in its split "
            f"{split!r}: expected them below {plain(str(root))} or with the same file names; check both"
        )
    kept = tuple(name for name in wanted if name not in ours)
    objects = [
        _as_loaders_read(row, form) | _texts(ours[row.name].captions, form)
        if row.split == split and row.name in ours
        else _as_loaders_read(row, form)
        for row in rows
    ]
    return objects, ours, kept


def _as_loaders_read(row: Annotation, form: Layout) -> Json:
    """A data set's object, with the keys and values that its official loader expects."""
    fields: dict[str, Any] = {
        "split": row.split,
        form.path_key: row.name,
        "id": row.pid,
        "captions": list(row.captions),
    }
    kept = {key: value for key, value in row.entry.items() if key in fields or key not in (*PATH_KEYS, *CAPTION_KEYS)}
    if form.tokens and len(kept.get("processed_tokens") or ()) != len(row.captions):
        fields |= _texts(row.captions, form)
    return kept | fields


def _texts(captions: Sequence[str], form: Layout) -> Json:
    words = {"processed_tokens": [_WORD.findall(text.lower()) for text in captions]} if form.tokens else {}
    return {"captions": list(captions)} | words


def _counts(objects: Iterable[Json]) -> dict[str, Counts]:
    found = {}
    for split in SPLITS:
        members = [entry for entry in objects if entry["split"] == split]
        if members:
            texts = sum(len(entry["captions"]) for entry in members)
            found[split] = Counts(len(members), texts, len({entry["id"] for entry in members}))
    return found


def _some_of(paths: Sequence[str], total: int, split: str) -> str:
    """How many images, and the first of them."""
    shown = ", ".join(plain(path) for path in paths[:_SHOWN]) + (" ..." if len(paths) > _SHOWN else "")
    return f"{len(paths)} of {total} {split} images ({shown})"


def _layout(name: str, split: str) -> Layout:
    if name not in EXPORTED:
        raise CtgiError(f"unknown export layout {name!r}: expected one of {', '.join(EXPORTED)}")
    if split not in LAYOUTS[name].splits:
        raise CtgiError(f"layout {name} has no split {split!r}: expected one of {', '.join(LAYOUTS[name].splits)}")
    return LAYOUTS[name]


def _captions(lines: Iterable[CaptionLine]) -> tuple[dict[str, CaptionLine], int]:
    """Path -> the last line with a caption, and how many paths have none."""
    captions: dict[str, CaptionLine] = {}
    paths: set[str] = set()
    for line in lines:
        paths.add(line.path)
        if line.has_caption:
            captions[line.path] = line.alone()
    if not captions:
        raise CtgiError(f"nothing to export: none of {len(paths)} images has a caption: run ctgi caption first")
    return captions, len(paths) - len(captions)


def _refuse_overwrite(annotations: Path, out: Path) -> None:
    if out.exists() and annotations.exists() and out.samefile(annotations):
        raise CtgiError(f"{plain(str(out))}: this is the data set's own annotation file: write to another file")
