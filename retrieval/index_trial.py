"""Tries a faiss factory string in a separate process before hours go into a gallery: some crash the process."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ctgi.errors import CtgiError
from ctgi.retrieval.gallery_header import Header
from ctgi.retrieval.gallery_names import DamagedGalleryError
from ctgi.retrieval.index import Storage, TooFewError, build_index, new_index, open_index

_ROWS = 300
_SECONDS = 60


def check_index(dim: int, factory: str, storage: Storage) -> None:
    """Make, fill, store and search an index of a few random rows.

    Raises:
        CtgiError: faiss cannot do that with this factory string.
    """
    if factory == "Flat":
        return
    command = [sys.executable, "-P", "-m", __name__, str(dim), storage, factory]
    if "\0" in factory:
        raise CtgiError(f"index {factory!r}: not a faiss factory string: expected one like Flat, HNSW32 or IVF256,Flat")
    try:
        tried = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return  # slow, but not known to be wrong
    if tried.returncode:
        raise CtgiError(tried.stdout.strip() or f"index {factory!r}: faiss crashes on it: {_CURE}")


_CURE = "use another factory string, like Flat, HNSW32 or IVF256,Flat"


def _try(dim: int, storage: Storage, factory: str) -> None:
    new_index(dim, factory, storage)
    rows = np.random.default_rng(0).standard_normal((_ROWS, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    header = Header(spec="", fingerprint="", dim=dim, dtype=storage, root="", index=factory, count=_ROWS)
    with TemporaryDirectory() as folder:
        build_index(Path(folder), header, rows)
        open_index(Path(folder), header, rows).search(rows[:2], 10)


def main(dim: str, storage: Storage, factory: str) -> int:
    """Exit code 1, with the reason on stdout, if the index does not work."""
    try:
        _try(int(dim), storage, factory)
    except TooFewError:
        return 0
    except (CtgiError, RuntimeError, MemoryError, AssertionError) as error:
        told = isinstance(error, CtgiError) and not isinstance(error, DamagedGalleryError)
        reason = str(error) if told else f"index {factory!r}: faiss cannot use it: {_CURE}"
        sys.stdout.write(reason)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3]))  # type: ignore[arg-type]  # as check_index gives it
