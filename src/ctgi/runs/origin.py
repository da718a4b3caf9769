"""The origin of a run: images, code and packages."""

import platform
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from os.path import commonpath
from pathlib import Path

from ctgi.retrieval.images import ImageRef
from ctgi.runs.digests import digest_bytes
from ctgi.version import __version__, revision

_PACKAGES = ("langgraph", "langchain-core", "httpx2", "transformers", "open_clip_torch", "torch", "faiss-cpu")


def root_of(inputs: Sequence[str]) -> str:
    """The common folder of all inputs, if they are absolute paths; else ""."""
    paths = [text.removeprefix("@") for text in inputs]
    if not paths or not all(Path(path).is_absolute() for path in paths):
        return ""
    common = commonpath(paths)
    return common if Path(common).is_dir() else str(Path(common).parent)


def digest_of(images: Iterable[ImageRef]) -> str:
    """A digest of the searched images and their order."""
    return digest_bytes("".join(image.sha256 for image in images).encode())


@cache
def versions() -> dict[str, str]:
    """Versions of ctgi, Python, and packages that affect results."""
    found = {"ctgi": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def code_commit() -> str | None:
    """The commit that this code is of, with -dirty where files were changed; None for a copy outside its repository."""
    found = revision()
    return f"{found.commit}{'-dirty' if found.changed else ''}" if found else None
