"""Writes a trained model for other programs: as IRRA's and RDE's code, open_clip or ONNX read it, or without pickle."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from ctgi.errors import CtgiError
from ctgi.files import whole_file, write_whole
from ctgi.retrieval.checkpoint import FORMAT, HEADER, is_own, load_content
from ctgi.retrieval.foreign.conversion import Converted, Encoder, to_irra, to_open_clip, to_rde
from ctgi.retrieval.foreign.official_config import NAME
from ctgi.retrieval.onnx_encoder import FACTS, IMAGE, TEXT
from ctgi.retrieval.trained_encoder import ReadModel, read_model
from ctgi.text import plain

Heads = Mapping[str, Tensor]
"""Weights of training beside the encoder's, in our names."""


@dataclass(frozen=True)
class Target:
    """A program that shall load the model."""

    files: tuple[str, ...]
    """What is written for it."""
    prepare: Callable[[ReadModel, Heads], Callable[[Path], None]]
    """What writes a model into a folder; a CtgiError says why the other program would make other vectors."""


def export_model(path: str, to: str, out: Path | None = None) -> list[Path]:
    """Write a run or checkpoint for another program into a folder; returns the files. The vectors are the same.

    irra and rde: best.pth and configs.yaml of the official code, with the heads of training if the checkpoint is
    last.pt. open_clip: a folder that open_clip loads as local-dir. onnx: a graph for each tower. safetensors: the
    checkpoint itself, which `ctgi` reads, without pickle.

    Args:
        path: the run, or any checkpoint that `read_model` understands.
        to: the target.
        out: the folder; None is one beside `path`, named after it and the target.

    Raises:
        CtgiError: no such target, the other program would make other vectors, or a file cannot be written.
    """
    if to not in TARGETS:
        raise CtgiError(f"--to {to}: expected one of {', '.join(TARGETS)}")
    out = _beside(Path(path), to) if out is None else out
    target, model = TARGETS[to], read_model(path)
    try:
        write = target.prepare(model, _heads(model))
    except CtgiError as error:
        raise CtgiError(f"{plain(str(model.file))}: {error}") from None
    files = [out / name for name in target.files]
    if there := [file for file in files if file.exists()]:
        raise CtgiError(f"{plain(str(there[0]))} is there already: choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write(out)
    except OSError as error:
        raise CtgiError(f"--out {plain(str(out))}: cannot write ({error.strerror}): choose another folder") from None
    return files


def _beside(path: Path, to: str) -> Path:
    named = path.resolve() if path.name in ("", "..") else path
    return named.with_name(f"{named.name if path.is_dir() else named.stem}-{to}")


def _heads(model: ReadModel) -> Heads:
    content = load_content(model.file)
    state = content["state"] if is_own(content) else {}
    return {name: value for name, value in state.items() if not name.startswith("encoder.")}


def _official(convert: Callable[[Encoder, Heads], Converted]) -> Target:
    def prepare(model: ReadModel, heads: Heads) -> Callable[[Path], None]:
        return partial(_write_official, convert(model.encoder, heads))

    return Target(("best.pth", NAME), prepare)


def _write_official(converted: Converted, out: Path) -> None:
    with whole_file(out / "best.pth") as file:
        torch.save({"model": _contiguous(converted.weights)}, file)
    write_whole(out / NAME, yaml.safe_dump({**converted.options, "output_dir": str(out)}).encode())


_OPEN_CLIP = ("open_clip_model.safetensors", "open_clip_config.json")


def _open_clip(model: ReadModel, heads: Heads) -> Callable[[Path], None]:
    converted = to_open_clip(model.encoder, heads)

    def write(out: Path) -> None:
        save_file(_contiguous(converted.weights), out / _OPEN_CLIP[0])
        write_whole(out / _OPEN_CLIP[1], (json.dumps(converted.options, indent=2) + "\n").encode())

    return write


def _safetensors(model: ReadModel, heads: Heads) -> Callable[[Path], None]:
    encoder = {f"encoder.{name}": value for name, value in model.encoder.state_dict().items()}
    header = {HEADER: json.dumps({"format": FORMAT, "kind": model.kind, "description": model.described})}
    return lambda out: save_file(_contiguous({**encoder, **heads}), out / "model.safetensors", header)


def _onnx(model: ReadModel, heads: Heads) -> Callable[[Path], None]:
    from ctgi.retrieval.onnx_export import check_libraries, write_onnx

    check_libraries()
    return partial(write_onnx, model.encoder)


def _contiguous(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.contiguous() for name, value in weights.items()}


TARGETS: Mapping[str, Target] = {
    "irra": _official(to_irra),
    "rde": _official(to_rde),
    "open_clip": Target(_OPEN_CLIP, _open_clip),
    "onnx": Target((IMAGE, TEXT, FACTS), _onnx),
    "safetensors": Target(("model.safetensors",), _safetensors),
}
