"""`ctgi import`, `ctgi inspect` and `ctgi export RUN --to`: checkpoints from and for other programs."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ctgi.cli.console import print_json
from ctgi.cli.options import AsJson
from ctgi.cli.terminal import plain
from ctgi.reading import Json

if TYPE_CHECKING:
    from ctgi.retrieval.trained_encoder import ReadModel


class Activation(StrEnum):
    """What a CLIP was trained with."""

    QUICKGELU = "quickgelu"
    GELU = "gelu"


Checkpoint = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="Checkpoint of IRRA, RDE, ICL, TBPS-CLIP, Long-CLIP, OpenAI or Hugging Face, or its folder.",
    ),
]
ActivationOption = Annotated[
    Activation | None,
    typer.Option(
        "--activation",
        help="Activation of weights that do not tell theirs: quickgelu if they descend from OpenAI's.",
        show_default=False,
    ),
]


def import_(
    file: Checkpoint,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the run.")],
    activation: ActivationOption = None,
    as_json: AsJson = False,
) -> None:
    """Make a run of a checkpoint that others published.

    Searching and evaluating need no import: they take the file as it is. Nothing in the file is run.

    Example: ctgi import ./irra/best.pth --out runs/irra-official
    """
    from ctgi.config import load_settings
    from ctgi.training.imported import import_checkpoint

    size = load_settings().retriever.image_size
    model = import_checkpoint(file, out, quick_gelu=_quick(activation), image_size=size)
    _print(model, as_json, {"run": str(out)})


class Target(StrEnum):
    """Whose program shall load it."""

    IRRA = "irra"
    RDE = "rde"
    OPEN_CLIP = "open_clip"
    ONNX = "onnx"
    SAFETENSORS = "safetensors"


def write_model(run: str, to: Target, out: Path | None, as_json: bool) -> None:
    """What `ctgi export RUN --to TARGET` does.

    Raises:
        CtgiError: as `export_model` does.
    """
    from ctgi.training.exported import export_model

    files = [str(file) for file in export_model(run, to.value, out)]
    if as_json:
        print_json({"files": files})
        return
    sys.stdout.write("".join(f"{plain(file)}\n" for file in files))


def inspect(file: Checkpoint, as_json: AsJson = False) -> None:
    """Say what a checkpoint is: whose layout, which sizes, what is not used and what is missing.

    Example: ctgi inspect ./irra/best.pth
    """
    from ctgi.config import load_settings
    from ctgi.retrieval.foreign.layouts import UntoldActivationError
    from ctgi.retrieval.trained_encoder import read_model

    size = load_settings().retriever.image_size
    try:
        _print(read_model(file, image_size=size), as_json, {})
    except UntoldActivationError:
        _print(read_model(file, image_size=size, quick_gelu=False), as_json, {"activation": "not told by the file"})


def _quick(activation: Activation | None) -> bool | None:
    return None if activation is None else activation is Activation.QUICKGELU


def _print(model: "ReadModel", as_json: bool, more: Json) -> None:
    facts = {**_facts(model), **more}
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        sys.stdout.write(f"{name.replace('_', ' '):15} {plain(text) or '-'}\n")


def _facts(model: "ReadModel") -> Json:
    height, width = model.described["image_size"]
    return {
        "file": str(model.file),
        "layout": model.layout,
        "encoder": "CLIP with token selection" if model.kind == "rde" else "CLIP",
        "activation": model.activation,
        "image_size": [height, width],
        "context_length": model.described["context_length"],
        "parameters": sum(value.numel() for value in model.encoder.parameters()),
        "assumed": list(model.assumed),
        "not_used": list(model.left_out),
    }
