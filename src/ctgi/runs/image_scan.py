"""Reads all image files of a data set once: content hash, and whether the image can be used."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ctgi.errors import ImageError
from ctgi.retrieval.benchmarks.findings import Examined
from ctgi.retrieval.images import examine
from ctgi.synth.processes import in_order

_CHUNK = 100
_FEW = 1_500  # images that one process reads before others have started
_MOST = 8  # processes: more would wait for the disk


def scan_images(root: Path, names: Sequence[str], progress: Callable[[int], object]) -> dict[str, Examined]:
    """A look at each image below `root`, by name. Several processes share the work where there is much.

    progress: called with the number of images done.

    Raises:
        CtgiError: a process died.
    """
    chunks = [names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK)]
    workers = 1 if len(names) < _FEW else min(_MOST, os.cpu_count() or 1)
    found: dict[str, Examined] = {}
    with in_order(partial(_scan, root), chunks, workers) as results:
        for chunk in results:
            found.update((one.name, one) for one in chunk)
            progress(len(found))
    return found


def _scan(root: Path, names: Sequence[str]) -> list[Examined]:
    return [_look(root, name) for name in names]


def _look(root: Path, name: str) -> Examined:
    path = f"{root}/{name}"
    if not os.path.lexists(path):
        return Examined(name, "", "no such file", is_missing=True)
    try:
        sha256, fault = examine(path)
    except ImageError as error:
        return Examined(name, "", error.reason)
    return Examined(name, sha256, fault)
