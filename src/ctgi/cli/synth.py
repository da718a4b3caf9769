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
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the data set; created if missing.")],
    identities: Annotated[int, typer.Option(metavar="N", min=1, help="People, each seen by five cameras.")] = 200,
    val: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="People in the val split (default: a tenth).", show_default=False),
    ] = None,
    test: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="People in the test split (default: a tenth).", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed; the same seed draws the same people.")] = 0,
    render: Annotated[
        Render, typer.Option(help="How the people are pictured; mixed renders two in five in 3D.")
    ] = Render.DRAWN,
    scenes: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Also whole photographs of several people, in 3D, with a box for each of them."
        ),
    ] = 0,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Drawing processes (default: one per core).", show_default=False),
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
    from dataclasses import replace

    from ctgi.config import load_settings
    from ctgi.synth.crowds import write_scenes
    from ctgi.synth.dataset import Splits, write_dataset

    splits, settings, workers = Splits.of(identities, val, test), load_settings(), workers or os.cpu_count() or 1
    if scenes:
        Render.IN_3D.require()
    with progress("synth", identities, quiet=quiet) as update:
        report = write_dataset(
            out,
            splits,
            seed,
            render=render,
            workers=min(workers, identities),
            without_locks=settings.without_locks,
            on_progress=update,
        )
    if scenes:
        locks = settings.without_locks
        with progress("scenes", scenes, quiet=quiet) as update:
            write_scenes(out, scenes, seed, workers=min(workers, scenes), without_locks=locks, on_progress=update)
    _print_report(replace(report, scenes=scenes), as_json)


def _print_report(report: "SynthReport", as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report))
        return
    scenes = f"; {report.scenes} photographs of several people" if report.scenes else ""
    parts = ", ".join(f"{count} {split}" for split, count in report.images_by_split.items())
    sys.stdout.write(
        f"{report.images} images of {report.identities} people ({parts}), {report.captions} captions; "
        f"{report.drawn} drawn now{scenes}\n{plain(report.out)}\n"
    )
