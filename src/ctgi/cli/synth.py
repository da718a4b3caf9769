"""`ctgi synth`: a data set of synthetic pedestrians with known attributes."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import print_json, progress
from ctgi.cli.options import AsJson, Quiet
from ctgi.cli.terminal import plain
from ctgi.synth.renderers import Render

if TYPE_CHECKING:
    from ctgi.synth.dataset import SynthReport


def synth(
    out: Annotated[Path, typer.Argument(help="Folder of the data set; made if it is not there.")],
    identities: Annotated[int, typer.Option(min=1, help="People, each seen by five cameras.")] = 200,
    val: Annotated[
        int | None, typer.Option(min=0, help="People in the val split (default: a tenth).", show_default=False)
    ] = None,
    test: Annotated[
        int | None, typer.Option(min=0, help="People in the test split (default: a tenth).", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed draws the same people.")] = 0,
    render: Annotated[
        Render, typer.Option(help="How the people are pictured; mixed renders two in five in 3D.")
    ] = Render.DRAWN,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that draw (default: one per core).", show_default=False)
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw synthetic pedestrians: images, witness descriptions, and what is true of each image.

    The folder has the layout of RSTPReid, and attributes.jsonl with the truth. Needs ctgi[synth]; in 3D
    ctgi[synth3d].
    Run the same command again to go on where it stopped.

    Example: ctgi synth ./people --identities 200 --seed 0
    """
    from ctgi.config import load_settings
    from ctgi.synth.dataset import Splits, write_dataset

    splits, settings = Splits.of(identities, val, test), load_settings()
    with progress("synth", identities, quiet=quiet) as update:
        report = write_dataset(
            out,
            splits,
            seed,
            render=render,
            workers=min(workers or os.cpu_count() or 1, identities),
            without_locks=settings.without_locks,
            on_progress=update,
        )
    _print_report(report, as_json)


def _print_report(report: "SynthReport", as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report))
        return
    parts = ", ".join(f"{count} {split}" for split, count in report.images_by_split.items())
    sys.stdout.write(
        f"{report.images} images of {report.identities} people ({parts}), {report.captions} captions; "
        f"{report.drawn} drawn now\n{plain(report.out)}\n"
    )
