"""Writes a run as a checkpoint for other programs."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file

from ctgi.errors import CtgiError
from ctgi.files import whole_file, write_whole
from ctgi.retrieval.checkpoint import is_own, load_content
from ctgi.retrieval.foreign.conversion import CONVERSIONS, Converted
from ctgi.retrieval.foreign.official_config import NAME
from ctgi.retrieval.trained_encoder import read_model
from ctgi.text import plain


def convert_checkpoint(path: str, to: str, out: Path) -> list[Path]:
    """Write a run or checkpoint for another program into the folder `out`; returns the files.

    irra and rde: best.pth and configs.yaml of the official code, with the heads of training if the checkpoint is
    last.pt. open_clip: a folder that open_clip loads as local-dir. The vectors are the same.

    Raises:
        CtgiError: no such target, the other program would make other vectors, or a file cannot be written.
    """
    if to not in CONVERSIONS:
        raise CtgiError(f"--to {to}: expected one of {', '.join(CONVERSIONS)}")
    model = read_model(path)
    content = load_content(model.file)
    state = content["state"] if is_own(content) else {}
    heads = {name: value for name, value in state.items() if not name.startswith("encoder.")}
    try:
        converted = CONVERSIONS[to](model.encoder, heads)
    except CtgiError as error:
        raise CtgiError(f"{plain(str(model.file))}: {error}") from None
    files = [out / name for name in _NAMES.get(to, _OFFICIAL)]
    if there := [file for file in files if file.exists()]:
        raise CtgiError(f"{plain(str(there[0]))} is there already: choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        _WRITERS.get(to, _write_official)(out, converted)
    except OSError as error:
        raise CtgiError(f"--out {plain(str(out))}: cannot write ({error.strerror}): choose another folder") from None
    return files


def _write_official(out: Path, converted: Converted) -> None:
    with whole_file(out / _OFFICIAL[0]) as file:
        torch.save({"model": {name: value.contiguous() for name, value in converted.weights.items()}}, file)
    write_whole(out / NAME, yaml.safe_dump(dict(converted.options)).encode())


def _write_open_clip(out: Path, converted: Converted) -> None:
    save_file({name: value.contiguous() for name, value in converted.weights.items()}, out / _OPEN_CLIP[0])
    write_whole(out / _OPEN_CLIP[1], (json.dumps(converted.options, indent=2) + "\n").encode())


_OFFICIAL = ("best.pth", NAME)
_OPEN_CLIP = ("open_clip_model.safetensors", "open_clip_config.json")
_NAMES: Mapping[str, tuple[str, str]] = {"open_clip": _OPEN_CLIP}
_WRITERS: Mapping[str, Callable[[Path, Converted], None]] = {"open_clip": _write_open_clip}
