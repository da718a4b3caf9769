"""Reads checkpoint files: tensors and plain values, never code."""

import re
import zlib
from argparse import Namespace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from ctgi.errors import CtgiError
from ctgi.reading import MALFORMED, parse_json
from ctgi.retrieval.torchscript import is_torchscript, read_torchscript
from ctgi.text import plain

FORMAT = 2
"""1 called the description of the model "model", under which others look for weights and then find none."""
HEADER = "ctgi"
"""Key of a safetensors file's metadata under which ours says, in JSON, what else a checkpoint holds."""
_KNOWN = (1, FORMAT)
_OBJECT = re.compile(r"(?:GLOBAL|class) ([\w.]+)|it holds ([\w.]+)")
_SCALARS = (np.float64, np.float32, np.float16, np.int64, np.int32, np.bool_)
_PLAIN = [
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
    np.dtype,
    *(type(np.dtype(scalar)) for scalar in _SCALARS),
    Namespace,
]
"""Containers of plain values besides those that torch lets through: what training loops save beside the weights."""


def load_checkpoint(path: Path, *, device: str | torch.device = "cpu") -> dict[str, Any]:
    """The content of a checkpoint of `ctgi train`. Code in the file is never run.

    Raises:
        CtgiError: no such file, not a checkpoint, or of another format.
    """
    content = load_content(path, device=device)
    if not is_own(content):
        raise CtgiError(of_another_format(path, content))
    own: dict[str, Any] = content
    return own


def of_another_format(path: Path, content: Any) -> str:
    """What to say of content that is not what this version of `ctgi train` saves."""
    found = content.get("format") if isinstance(content, dict) else type(content).__name__
    return f"{plain(str(path))}: expected a checkpoint of `ctgi train` in format {FORMAT}, got {found!r}"


def is_own(content: Any) -> bool:
    """Whether this is what `ctgi train` saves."""
    return isinstance(content, dict) and content.get("format") in _KNOWN


def load_content(path: Path, *, device: str | torch.device = "cpu") -> Any:
    """What a file of torch, safetensors or TorchScript holds. Code in the file is never run.

    Raises:
        CtgiError: no such file, or not a checkpoint of tensors and plain values.
    """
    try:
        if path.suffix == ".safetensors":
            return _safetensors(path, str(device))
        packed = is_zipfile(path)
        if packed and is_torchscript(path):
            return read_torchscript(path)
        with torch.serialization.safe_globals(_PLAIN):
            return torch.load(path, map_location=device, weights_only=True, mmap=packed)
    except FileNotFoundError:
        raise CtgiError(
            f"{plain(str(path))}: no such checkpoint: give the run folder of ctgi train, or a .pt file"
        ) from None
    except (KeyError, IndexError):  # the unpickler's own, about its opcodes
        raise CtgiError(
            f"{plain(str(path))}: not a checkpoint of tensors and plain values: neither torch nor safetensors wrote it"
        ) from None
    except UnpicklingError as error:
        raise CtgiError(
            f"{plain(str(path))}: not a checkpoint of tensors and plain values: {_unpickled(error)}"
        ) from None
    except (
        OSError,
        RuntimeError,
        BadZipFile,
        zlib.error,
        SafetensorError,
        EOFError,
        MemoryError,
        *MALFORMED,
    ) as error:
        raise CtgiError(
            f"{plain(str(path))}: not a checkpoint of tensors and plain values: {first_line(error)}"
        ) from None


def _safetensors(path: Path, device: str) -> dict[str, Any]:
    """The weights by name; of a file that `ctgi export` wrote, the whole checkpoint."""
    weights = load_file(path, device=device)
    with safe_open(path, "pt") as file:
        said = (file.metadata() or {}).get(HEADER)
    header = None if said is None else parse_json(said)
    return {**header, "state": weights} if isinstance(header, dict) else weights


def _unpickled(error: UnpicklingError) -> str:
    """What stopped the reading; torch's own words are about how to run a file's code."""
    found = _OBJECT.search(str(error))
    if found is None:
        return "damaged, or of another kind"
    return f"it holds {plain(found[1] or found[2])[:100]}: save plain weights with torch.save(model.state_dict(), FILE)"


def first_line(error: Exception) -> str:
    """The first line of another library's error, safe to print."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return plain(lines[0])[:300] if lines else type(error).__name__
