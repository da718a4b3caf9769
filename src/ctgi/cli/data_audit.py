"""`ctgi data audit` and `ctgi data patch`: captions that contradict their picture, and their correction."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import Terminal, print_json
from ctgi.cli.options import AsJson, Bind, Config, DryRun, NoCache, NoTrace, Profile, Quiet
from ctgi.cli.terminal import plain
from ctgi.errors import CtgiError

if TYPE_CHECKING:
    from ctgi.reading import Json
    from ctgi.runs.audit import AuditReport

_SHOWN = 10

Place = Annotated[
    Path, typer.Argument(metavar="ROOT", help="Folder of the data set, or its annotation file.", show_default=False)
]
LayoutName = Annotated[
    str | None,
    typer.Option(
        "--data", metavar="DATA", help="Its layout, as for ctgi train (default: recognized).", show_default=False
    ),
]
OneSplit = Annotated[
    str | None, typer.Option("--split", metavar="SPLIT", help="Only this split: train, val or test (default: all).")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, help="Images at most, drawn over all people (default: all)."),
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the results (default: runs/audit-DATA).")
]
Patch = Annotated[
    Path, typer.Argument(metavar="PATCH", help="Corrections: a JSON Patch, as ctgi data audit writes it.")
]
NewFile = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="New annotation file to write.", show_default=False)
]
InPlace = Annotated[bool, typer.Option("--in-place", help="Change the data set's own annotation file.")]


def audit(
    root: Place,
    layout: LayoutName = None,
    split: OneSplit = None,
    limit: Limit = None,
    out: Out = None,
    bind: Bind = None,
    profile: Profile = None,
    config: Config = None,
    dry_run: DryRun = False,
    no_cache: NoCache = False,
    no_trace: NoTrace = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the captions of a data set that contradict their picture, worst first.

    A model says whether each picture shows what its captions say, and answers the questions that they answer. Writes
    audit.html, to look at, and corrections.json, a patch to edit and apply with ctgi data patch; your data stay as
    they are. Run the same command again to resume.

    Example: ctgi data audit ./RSTPReid --bind images=vllm:Qwen/Qwen2-VL-7B-Instruct
    """
    import asyncio

    from ctgi.cli.arguments import tell_unused_config
    from ctgi.config import load_settings
    from ctgi.reports.audit_page import write_audit_page
    from ctgi.runs.audit import audit as run_audit
    from ctgi.runs.audit import chosen, estimate, write_corrections
    from ctgi.runs.human_captions import described_images

    settings = load_settings(binds=bind, profile=profile, config=config, cache={"enabled": False} if no_cache else {})
    tell_unused_config([root], config, quiet=quiet)
    source, events = described_images(root, layout, split), Terminal(quiet)
    folder = out or Path("runs") / f"audit-{source.layout}"
    images = chosen(source.images, limit)
    if dry_run:
        _tell_estimate(estimate(images, settings), as_json)
        return
    report = asyncio.run(run_audit(source.name, images, folder, settings, events, trace=not no_trace))
    write_audit_page(report, folder / "audit.html")
    patches, lost = write_corrections(report, source.files, folder)
    if lost:
        events.warn(f"{lost} corrections are of captions that stand otherwise in the annotations: left out")
    if as_json:
        print_json(report.to_json())
    else:
        _print(report, folder, patches)
    if report.failed:
        raise typer.Exit(1)


def _tell_estimate(expected: "Json", as_json: bool) -> None:
    if as_json:
        print_json(expected)
        return
    sys.stdout.write(
        f"{expected['images']:,} images, {expected['captions']:,} captions: {expected['calls']:,} calls, and at most "
        f"{expected['calls_most'] - expected['calls']:,} more for the parts of doubted captions; nothing was sent\n"
    )


def _print(report: "AuditReport", folder: Path, patches: Sequence[Path]) -> None:
    sys.stdout.write(
        f"{report.data}: {report.images:,} images, {len(report.captions):,} captions: {report.denied:,} that the model "
        f"says no to, {report.doubted - report.denied:,} more that an answer contradicts"
        f"{f'; {report.not_judged:,} not judged' if report.not_judged else ''}"
        f"{f'; {len(report.failed):,} images failed' if report.failed else ''}\n"
    )
    for one in [one for one in report.captions if one.is_doubted][:_SHOWN]:
        probability = "   no" if one.probability is None else f"{one.probability:5.2f}"
        said = "; ".join(f"{answer.question} {answer.answer}" for answer in one.against)
        sys.stdout.write(f"{probability}  {plain(one.image)}: {plain(one.caption)}\n")
        if said:
            sys.stdout.write(f"       {plain(said)}\n")
    written = ", ".join(["audit.html", "audit.jsonl", *(one.name for one in patches)])
    sys.stdout.write(f"{plain(str(folder))}: {written}\n")


def patch(
    root: Place, patch: Patch, layout: LayoutName = None, out: NewFile = None, in_place: InPlace = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Write a data set's annotations with corrections: into a new file, or in place if you say so.

    The patch is the corrections.json of ctgi data audit, a JSON Patch (RFC 6902). Edit it first: delete what you do
    not want, put better words in. It fits only the annotations that it was made for.

    Example: ctgi data patch ./RSTPReid runs/audit-rstp/corrections.json --out corrected.json
    """
    from ctgi.runs.annotation_patch import apply_patch
    from ctgi.runs.human_captions import annotations_of

    if (out is None) == (not in_place):
        raise CtgiError("where to? give --out FILE for a new file, or --in-place to change the data set's own")
    files = annotations_of(root, layout)
    if len(files) > 1:
        named = ", ".join(plain(str(file)) for file in files)
        raise CtgiError(f"{plain(str(root))}: has several annotation files: give one of them as ROOT: {named}")
    place = out or files[0]
    changed = apply_patch(files[0], patch, place)
    if as_json:
        print_json({"out": str(place), "corrected": changed})
    else:
        sys.stdout.write(f"{plain(str(place))}: {changed:,} captions corrected\n")
