"""Galleries in parts, on their way from one place to another."""

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctgi.retrieval.gallery_manifest import Entry
from ctgi.retrieval.metadata import Value
from ctgi.retrieval.sources.references import is_remote

PART_ROWS = 10_000


@dataclass(frozen=True)
class Space:
    """What the embeddings of a gallery are of."""

    spec: str
    """The binding of the encoder, for messages."""
    fingerprint: str
    dim: int
    dtype: str
    """float32 or float16."""
    root: str
    """The folder of the images."""


@dataclass(frozen=True)
class Part:
    """Some rows of a gallery."""

    entries: list[Entry]
    """Images; their paths are absolute."""
    vectors: NDArray[np.floating]
    """As stored, [N, D]."""
    known: list[dict[str, Value]]
    """What is known of each image beside its pixels."""


def relative_to(path: str, root: str) -> str:
    """An absolute path from a folder; addresses are kept whole."""
    return path if is_remote(path) else os.path.relpath(path, root)


def below(path: str, root: str) -> str:
    """An absolute path from a folder if it is below it, else as it is."""
    return relative_to(path, root) if path.startswith(root.rstrip("/") + "/") else path
