"""Makes a run of a checkpoint that others published."""

import json
from pathlib import Path

from ctgi.errors import CtgiError
from ctgi.files import write_whole
from ctgi.retrieval.trained_encoder import OWN, ReadModel, read_model
from ctgi.text import plain
from ctgi.training.checkpoints import save_checkpoint
from ctgi.training.run_folder import RunFolder, origin


def import_checkpoint(
    path: str, out: Path, *, quick_gelu: bool | None = None, image_size: tuple[int, int] | None = None
) -> ReadModel:
    """Write checkpoints/best.pt and run.json of a run that holds the model of a checkpoint; see `read_model`.

    Args:
        path: the checkpoint, or the folder that it is in.
        out: folder of the run.
        quick_gelu: the activation, where the checkpoint does not tell it.
        image_size: (height, width), where the checkpoint does not tell it.

    Raises:
        CtgiError: the checkpoint cannot be read, is of `ctgi train` already, or `out` holds a run or cannot be written.
    """
    run = RunFolder(out)
    if run.best.exists():
        raise CtgiError(f"--out {plain(str(out))} holds a run already: choose another folder")
    model = read_model(path, quick_gelu=quick_gelu, image_size=image_size)
    if model.layout == OWN:
        raise CtgiError(f"{plain(str(model.file))} is a checkpoint of ctgi train: use it as it is, trained:{path}")
    try:
        run.best.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CtgiError(
            f"--out {plain(str(out))}: cannot make this folder ({error.strerror}): choose another"
        ) from None
    state = {f"encoder.{name}": value for name, value in model.encoder.state_dict().items()}
    save_checkpoint(run.best, {"kind": model.kind, "description": model.encoder.settings(), "epoch": 0, "state": state})
    facts = {**origin(), "imported": {"file": str(model.file), "layout": model.layout, "assumed": model.assumed}}
    write_whole(out / "run.json", (json.dumps(facts, indent=2) + "\n").encode())
    return model
