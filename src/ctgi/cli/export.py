"""`ctgi export`: captions as a page, table or annotations that training code reads, and models for other programs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.arguments import refuse_idle
from ctgi.cli.checkpoints import Target, write_model
from ctgi.cli.console import Terminal, print_json
from ctgi.cli.options import Annotations, AsJson, CaptionsHtml, CaptionsTable, KeepHuman, MovedImages, Quiet
from ctgi.cli.terminal import plain
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.reading import Json
    from ctgi.runs.export import ExportReport

_CAPTIONS = Path("captions.jsonl")
What = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE",
        help="Captions file of ctgi caption (default: captions.jsonl); with --layout also one made elsewhere. With "
        "--to: a run or checkpoint of ctgi train, or any other.",
        show_default=False,
    ),
]
To = Annotated[
    Target | None,
    typer.Option("--to", help="Write the model of a run for another program instead.", show_default=False),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FOLDER", help="With --to: folder of the files (default: beside the run)."),
]
Layouts = Annotated[
    list[str] | None,
    typer.Option("--layout", metavar="LAYOUT", help="Write a data set: cuhk, icfg or rstp. Repeatable."),
]
ImagesRoot = Annotated[
    Path | None,
    typer.Option(
        "--images-root",
        metavar="FOLDER",
        help="Folder that exported paths are relative to.  [required with --layout]",
        show_default=False,
    ),
]


def export(
    file: What = None,
    html: CaptionsHtml = None,
    table: CaptionsTable = None,
    images: MovedImages = None,
    layouts: Layouts = None,
    images_root: ImagesRoot = None,
    annotations: Annotations = None,
    keep_human: KeepHuman = False,
    to: To = None,
    out: Out = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write captions as a page, a table, or a data set in the layout of a benchmark; with --to, a trained model.

    No model is called. What people corrected in ctgi ui is used; the page and the table show the model's own words
    beside it.

    --to writes a model for other programs, with the same vectors. irra, rde: best.pth and configs.yaml of the official
    code (name checkpoints/last.pt of the run to include the heads of training). open_clip: a folder that it loads as
    local-dir:FOLDER. onnx: one graph each for images and texts. safetensors: one file without pickle.

    Example: ctgi export captions.jsonl --html captions.html --csv captions.csv

    Example: ctgi export runs/irra --to irra --out ./official
    """
    from ctgi.runs.export import check_export, counted, export_all

    captions_only: dict[str, object] = {
        "--html": html, "--csv": table, "--images": images, "--layout": layouts, "--images-root": images_root,
        "--annotations": annotations, "--keep-human": keep_human,
    }  # fmt: skip
    if to:
        _model(file, to, out, captions_only, as_json)
        return
    captions = file or _CAPTIONS
    refuse_idle({"--out": out}, "without --to")
    _check(html, table, images, layouts, images_root, annotations, keep_human)
    check_export(layouts or [], annotations)
    if not captions.is_file():
        raise CtgiError(f"{plain(str(captions))}: no such file: ctgi caption makes one")
    events = Terminal(quiet)
    root = images_root or Path()
    exported = export_all(
        captions, layouts or [], events, images_root=root, annotations=annotations, keep_human=keep_human
    )
    write_pages(captions, html, table, images, events)
    pages = [*map(str, filter(None, (html, table)))]
    count, corrected = counted(captions)
    if as_json:
        told = {"images": count, "corrected": corrected, "written": [*pages, *exported]}
        print_json(told | exports_as_json(exported))
        return
    sys.stdout.write(f"{count:,} images, {corrected:,} of them corrected by people\n")
    sys.stdout.write("".join(f"{plain(path)}\n" for path in pages) + told_exports(exported))


def exports_as_json(exported: "dict[str, ExportReport]") -> "Json":
    """What was exported, by file: counts, and the images that keep people's captions."""
    kept = {path: list(one.kept_paths) for path, one in exported.items()}
    return {"kept_human": kept, "exports": {path: one.to_json() for path, one in exported.items()}}


def told_exports(exported: "dict[str, ExportReport]") -> str:
    """A line for each exported file: what is in it, and whose captions."""
    return "".join(f"{plain(path)}: {_told(one)}\n" for path, one in exported.items())


def _told(report: "ExportReport") -> str:
    splits = "; ".join(
        f"{split} {counts.images:,} images of {counts.people:,} people" for split, counts in report.splits.items()
    )
    left_out = f", {report.without_caption:,} images without a caption left out" if report.without_caption else ""
    if report.people:
        return f"{splits}; all captions are ours{left_out}"
    return (
        f"{splits}; in train {report.replaced:,} images with our captions, {report.kept:,} keep those of people; "
        f"{report.unmatched:,} captioned images are not in train{left_out}"
    )


def _model(run: Path | None, to: Target, out: Path | None, captions_only: dict[str, object], as_json: bool) -> None:
    refuse_idle(captions_only, "with --to, which writes a model and no captions")
    if run is None:
        raise CtgiError(f"--to {to.value} needs the run to write: ctgi export RUN --to {to.value}")
    write_model(str(run), to, out, as_json)


def check_pages(html: Path | None, table: Path | None) -> None:
    """Refuse, before anything is captioned for it, a page or a table that cannot be written.

    Raises:
        CtgiError: as `expect_file_place` does.
    """
    from ctgi.cli.arguments import expect_file_place

    expect_file_place("--html", html)
    expect_file_place("--csv", table)


def check_layouts(
    option: str, layouts: list[str] | None, images_root: Path | None, annotations: Path | None, keep_human: bool
) -> None:
    """Refuse options of an export of annotations that would change nothing.

    option: the one that names the layouts.

    Raises:
        CtgiError: one was given.
    """
    if not layouts:
        given = {"--annotations": annotations, "--images-root": images_root, "--keep-human": keep_human}
        refuse_idle(given, f"without {option} LAYOUT")
    elif annotations is None:
        refuse_idle({"--keep-human": keep_human}, "without --annotations: nothing that people wrote is exported")


def write_pages(captions: Path, html: Path | None, table: Path | None, images: Path | None, events: Terminal) -> None:
    """Write the page and the table of a captions file, where they are wanted.

    images: where the images are now, if they were moved.

    Raises:
        CtgiError: one cannot be written, or a record cannot be read.
    """
    if not (html or table):
        return
    from ctgi.captions_index import CaptionsIndex
    from ctgi.reports.captions_page import write_captions_page, write_captions_table

    index = CaptionsIndex(captions)
    index.refresh()
    if html:
        left_out = write_captions_page(index, html, images)
        events.tell(f"wrote {html}")
        if left_out:
            events.tell(f"{html}: {left_out:,} more images are not on the page; --csv FILE writes all into a table")
    if table:
        write_captions_table(index, table)
        events.tell(f"wrote {table}")


def _check(
    html: Path | None,
    table: Path | None,
    images: Path | None,
    layouts: list[str] | None,
    images_root: Path | None,
    annotations: Path | None,
    keep_human: bool,
) -> None:
    if not (html or table or layouts):
        raise CtgiError("nothing to write: add --html FILE, --csv FILE or --layout LAYOUT")
    check_pages(html, table)
    if not html:
        refuse_idle({"--images": images}, "without --html")
    check_layouts("--layout", layouts, images_root, annotations, keep_human)
    if layouts and images_root is None:
        raise CtgiError("--layout needs --images-root FOLDER: exported paths are relative to it")
