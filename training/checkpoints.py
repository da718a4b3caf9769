"""Checkpoints of tensors and plain values, written so that a kill cannot damage them."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ctgi.errors import CtgiError
from ctgi.files import is_full
from ctgi.retrieval.checkpoint import FORMAT, first_line
from ctgi.retrieval.checkpoint import load_checkpoint as load_checkpoint
from ctgi.text import plain


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values to `path` through a temporary file beside it and a rename.

    A kill in between leaves the previous checkpoint intact; the next save removes leftovers.

    Raises:
        CtgiError: it cannot be written; what was at `path` is untouched.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        with suppress(OSError):
            temporary.unlink()
        full = not isinstance(error, OSError) or is_full(error)
        raise CtgiError(
            f"cannot write the checkpoint {plain(str(path))!r} ({first_line(error)}): "
            f"{'free some space' if full else 'make its folder writable'} and continue with --resume; "
            "the previous checkpoint is intact"
        ) from None


def differences(saved: Mapping[str, Any], current: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The differences between two resolved configs, one line per setting: `optim.lr: checkpoint 1e-05, now 2e-05`."""
    lines = []
    for key in sorted(saved.keys() | current.keys()):
        then, now = saved.get(key), current.get(key)
        if isinstance(then, Mapping) and isinstance(now, Mapping):
            lines += differences(then, now, f"{prefix}{key}.")
        elif then != now:
            lines.append(f"{prefix}{key}: checkpoint {then!r}, now {now!r}")
    return lines
