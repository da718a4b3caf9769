"""`ctgi train`: a retrieval model from captions."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import notice, print_json, progress
from ctgi.cli.options import AsJson, Quiet, TrainSets
from ctgi.cli.terminal import plain

if TYPE_CHECKING:
    from ctgi.training.loop import Progress, TrainReport


Model = Annotated[str, typer.Argument(metavar="MODEL", help="Model to train: irra or rde.")]
DataSetName = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DATA",
        help="Layout of the data set: cuhk, icfg, rstp, ufine, interactive-pedes, chatpedes, market1501, msmt17, prw "
        "or folder (ctgi data check tells).  [required, here or in --train-config]",
        show_default=False,
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--root",
        "-r",
        metavar="FOLDER",
        help="Folder of the data set.  [required, here or in --train-config]",
        show_default=False,
    ),
]
Captions = Annotated[
    str | None,
    typer.Option(
        "--captions",
        metavar="SOURCE",
        help="Captions to train on: human, FILE or mtg:FILE of ctgi caption, or initial:FILE, the first captions in it "
        "(default: human).",
    ),
]
Identity = Annotated[
    str | None,
    typer.Option(
        "--identity",
        metavar="KIND",
        help="Who is in an image: labels, or image, where each image is a person of its own (default: labels).",
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the run.")]
Recipe = Annotated[
    Path | None,
    typer.Option(
        "--train-config",
        "--config",
        metavar="FILE|NAME",
        help="YAML file, or one of our recipes like irra_248_fp16, that overrides the model's.",
        show_default=False,
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue after the last epoch of the run in --out, if there is one.")
]


def train(
    model: Model,
    data: DataSetName = None,
    root: DataRoot = None,
    captions: Captions = None,
    identity: Identity = None,
    out: Out = Path("run"),
    config: Recipe = None,
    sets: TrainSets = None,
    resume: Resume = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train IRRA or RDE on human captions or on those of ctgi caption.

    The folder of the run gets settings, metrics, curves and checkpoints. To search with the result, use ctgi search
    --bind search_gallery=trained:RUN. On several GPUs: torchrun --no-python --nproc-per-node 2 ctgi train ...

    Example: ctgi train irra --data rstp --root ./RSTPReid --captions captions.jsonl --out runs/irra
    """
    from ctgi.training.config import load_config

    given = {"dataset": data, "root": root and str(root), "captions": captions, "identity": identity}
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = load_config(model, file=config, sets=sets, data=chosen)
    from ctgi.corrections import told
    from ctgi.retrieval.benchmarks.datasets import DataSet
    from ctgi.training.loop import train as run
    from ctgi.training.run_folder import missing_extras

    quiet = quiet or os.environ.get("RANK", "0") != "0"  # under torchrun the first process speaks for all
    if missing := missing_extras():
        notice(f"without {' and '.join(missing)} (pip install 'ctgi[train]'): no {_lost(missing)}", quiet=quiet)

    def tell(data: DataSet) -> None:
        for split in data.splits.values() if not data.is_published else ():
            notice(split.overview(data.root), quiet=quiet)
        if data.corrected:
            notice(told(data.corrected), quiet=quiet)

    with progress(f"train {model}", None, quiet=quiet) as update:
        report = run(settings, out, resume=resume, on_progress=lambda state: update(*_shown(state)), on_data=tell)
    if report.is_main:
        _print_report(report, as_json)
    if report.bad_images:
        raise typer.Exit(1)


def _lost(missing: list[str]) -> str:
    return " and no ".join({"tensorboard": "event files", "matplotlib": "plot of the curves"}[name] for name in missing)


def _shown(state: "Progress") -> tuple[int, int, str]:
    loss = "" if state.loss is None else f", loss {state.loss:.3f}"
    best = "" if state.best_r1 is None else f", best R@1 {state.best_r1:.1f}"
    return state.step, state.steps, f"epoch {state.epoch}/{state.epochs}, {state.doing}{loss}{best}"


def _print_report(report: "TrainReport", as_json: bool) -> None:
    if as_json:
        print_json(report.as_json())
        return
    measured = ", ".join(f"{name} {value:.2f}" for name, value in (report.retrieval or {}).items())
    chosen = f", chosen on {report.select_on}: {measured}" if measured else ", the last one"
    left_out = f"{len(report.bad_images)} images could not be read and were left out\n" if report.bad_images else ""
    sys.stdout.write(
        f"{report.epochs} epochs in {report.seconds:.0f} s ({report.ended}); "
        f"best.pt is epoch {report.best_epoch}{chosen}\n"
        f"{left_out}{plain(str(report.best))}\n"
    )
