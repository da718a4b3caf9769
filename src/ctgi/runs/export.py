"""Captions as annotation files of the person search benchmarks, which other people's code reads."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ctgi.captions import CaptionLine
from ctgi.corrections import corrected_captions, told
from ctgi.errors import CtgiError
from ctgi.files import write_whole
from ctgi.reading import Json
from ctgi.retrieval.benchmarks.layouts import LAYOUTS, Layout, below_root, match_images, read_annotations
from ctgi.runs.events import Events
from ctgi.text import plain

_SHOWN = 3
_WORD = re.compile(r"\w+(?:['-]\w+)*")


FILE_NAMES = {name: layout.file_name for name, layout in LAYOUTS.items()}


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


def export_captions(
    lines: Iterable[CaptionLine],
    layout: str,
    out: Path,
    *,
    images_root: Path,
    annotations: Path | None = None,
    split: str = "train",
    keep_human: bool = True,
) -> ExportReport:
    """Write the lines of a `captions.jsonl` as the `cuhk`, `icfg` or `rstp` annotation file.

    images_root: the folder that the benchmark's loader joins paths to, `imgs/`, or the one above it.
    annotations: the data set's own file. Its objects come out in order with the captions of `split` replaced,
        matched by path, else by a file name that occurs once; the rest is as it was. Without it each image is
        a person of its own, in order of path.
    keep_human: write the file although images of `split` keep the captions that people gave them.
    Of several records for one path the last with a caption counts.

    Raises:
        CtgiError: unknown layout or split, nothing to export, an image outside `images_root`, annotations not
            in the layout, without a captioned image or (unless `keep_human`) with one that has none, or `out` is those
            or cannot be written.
    """
    form = _layout(layout, split)
    root = images_root / "imgs" if (images_root / "imgs").is_dir() else images_root
    captions, empty = _captions(lines)
    if annotations is None:
        objects = _people(captions, form, root, split)
        used = captions
        report = ExportReport(len(objects), replaced=0, kept=0, without_caption=empty, unmatched=0)
    else:
        _refuse_overwrite(annotations, out)
        objects, used, kept = _replaced(annotations, captions, form, root, split)
        if kept and not keep_human:
            some = _some_of(kept, sum(entry["split"] == split for entry in objects), split)
            raise CtgiError(
                f"{plain(str(annotations))}: {some} would keep the captions that people wrote: they have none of "
                "ours: caption them first, or add --keep-human"
            )
        report = ExportReport(len(objects), len(used), len(kept), empty, len(captions) - len(used), kept_paths=kept)
    write_whole(out, json.dumps(objects).encode("ascii"))
    return replace(report, corrected=sum(line.corrected for line in used.values()))


def _replaced(
    annotations: Path, captions: dict[str, CaptionLine], form: Layout, root: Path, split: str
) -> tuple[list[Json], dict[str, CaptionLine], tuple[str, ...]]:
    """The data set's objects with our captions, ours by the paths there, and the paths of the split without one."""
    objects = read_annotations(annotations, form)
    known = [entry[form.path_key] for entry in objects]
    wanted = [entry[form.path_key] for entry in objects if entry["split"] == split]
    ours = match_images(captions, root, wanted, known)
    if not ours:
        raise CtgiError(
            f"{plain(str(annotations))}: none of the {len(captions)} captioned images is in its split "
            f"{split!r}: expected them below {plain(str(root))} or with the same file names; check both"
        )
    kept = tuple(path for path in wanted if path not in ours)
    return [_recaptioned(entry, ours, form, split) for entry in objects], ours, kept


def check_export(layouts: Sequence[str], annotations: Path | None) -> None:
    """Refuse an impossible export before images are captioned for it.

    Raises:
        CtgiError: an unknown layout, or annotations that are none of it.
    """
    for name in layouts:
        if name not in LAYOUTS:
            raise CtgiError(f"--export {name!r}: expected one of {', '.join(LAYOUTS)}")
        if annotations:
            read_annotations(annotations, LAYOUTS[name])


def export_all(
    captions: Path,
    layouts: Sequence[str],
    events: Events,
    *,
    images_root: Path,
    annotations: Path | None = None,
    keep_human: bool = False,
) -> dict[str, ExportReport]:
    """Write a captions file, as people corrected it, in several layouts, each in a folder beside it.

    Returns what was written, by file.

    Raises:
        CtgiError: as `export_captions` does, or a folder cannot be made.
    """
    if layouts and not captions.exists():
        events.warn(f"nothing to export: no image has a caption in {captions}")
        return {}
    written = {}
    for layout in layouts:
        target = captions.with_name(f"{captions.stem}-{layout}") / FILE_NAMES[layout]
        try:
            target.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise CtgiError(
                f"cannot make the folder {target.parent} ({error.strerror}): choose another --out"
            ) from None
        report = export_captions(
            corrected_captions(captions), layout, target,
            images_root=images_root, annotations=annotations, keep_human=keep_human,
        )  # fmt: skip
        if report.kept:
            some = _some_of(report.kept_paths, report.kept + report.replaced, "train")
            events.warn(f"{target}: {some} keep the captions that people wrote")
        if report.corrected:
            events.tell(f"{target}: {told(report.corrected)}")
        written[str(target)] = report
    return written


def _some_of(paths: Sequence[str], total: int, split: str) -> str:
    """How many images, and the first of them."""
    shown = ", ".join(plain(path) for path in paths[:_SHOWN]) + (" ..." if len(paths) > _SHOWN else "")
    return f"{len(paths)} of {total} {split} images ({shown})"


def _layout(name: str, split: str) -> Layout:
    if name not in LAYOUTS:
        raise CtgiError(f"unknown export layout {name!r}: expected one of {', '.join(LAYOUTS)}")
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
            captions[line.path] = line
    if not captions:
        raise CtgiError(f"nothing to export: none of {len(paths)} images has a caption: run ctgi caption first")
    return captions, len(paths) - len(captions)


def _people(captions: dict[str, CaptionLine], form: Layout, root: Path, split: str) -> list[Json]:
    """Objects in which every image is a person of its own."""
    below = {below_root(path, root): path for path in captions}
    if None in below:
        raise CtgiError(
            f"{plain(below[None])}: not below the image folder {plain(str(root))}, so a loader would not "
            "find it: give the folder that holds all captioned images, or caption those of one folder"
        )
    first = form.first_train_id if split == "train" else 0
    return [
        {"split": split, form.path_key: name, "id": pid} | _texts(captions[below[name]].caption, form)
        for pid, name in enumerate(sorted(filter(None, below)), first)
    ]


def _texts(caption: str, form: Layout) -> Json:
    words = {"processed_tokens": [_WORD.findall(caption.lower())]} if form.tokens else {}
    return {"captions": [caption]} | words


def _refuse_overwrite(annotations: Path, out: Path) -> None:
    if out.exists() and annotations.exists() and out.samefile(annotations):
        raise CtgiError(f"{plain(str(out))}: this is the data set's own annotation file: write to another file")


def _recaptioned(entry: Json, ours: dict[str, CaptionLine], form: Layout, split: str) -> Json:
    if entry["split"] != split or entry[form.path_key] not in ours:
        return entry
    return entry | _texts(ours[entry[form.path_key]].caption, form)
