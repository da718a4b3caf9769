"""Reads the checkpoints of `ctgi train`: tensors and plain values, never code."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ctgi.errors import CtgiError
from ctgi.reading import MALFORMED
from ctgi.text import plain

FORMAT = 1


def load_checkpoint(path: Path, *, device: str | torch.device = "cpu") -> dict[str, Any]:
    """A checkpoint file's content. Code in the file is never run.

    Raises:
        CtgiError: no such file, not a checkpoint, or of another format.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True, mmap=True)
    except FileNotFoundError:
        raise CtgiError(
            f"{plain(str(path))}: no such checkpoint: give the run folder of ctgi train, or a .pt file"
        ) from None
    except (OSError, RuntimeError, UnpicklingError, EOFError, MemoryError, *MALFORMED) as error:
        raise CtgiError(
            f"{plain(str(path))}: not a checkpoint of tensors and plain values: {first_line(error)}"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise CtgiError(f"{plain(str(path))}: expected a checkpoint of `ctgi train` in format {FORMAT}, got {found!r}")
    return content


def first_line(error: Exception) -> str:
    """The first line of another library's error, safe to print."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return plain(lines[0])[:300] if lines else type(error).__name__
