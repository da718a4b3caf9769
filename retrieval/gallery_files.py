"""A gallery on disk: gallery.json names the generation of the manifest, embeddings and index beside it.

Embeddings are raw rows in memory order; line i of the manifest is row i. Both only grow within a generation, the
embeddings first, so whatever a kill leaves has a common prefix. Replacing gallery.json is what commits a change.
"""

import json
import mmap
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.files import write_whole
from ctgi.retrieval.images import display

FORMAT = 1
FOLDER = ".ctgi"
HEADER = "gallery.json"
_BLOCK = 2**24
_NORMS_CHECKED = 1024


class DamagedGalleryError(CtgiError):
    """Files of a gallery do not hold what its header says; indexing again mends it."""

    def __init__(self, folder: Path, what: str) -> None:
        super().__init__(f"{display(str(folder))}: the gallery is damaged ({what}): run ctgi index again to mend it")
        self.what = what


class Entry(NamedTuple):
    """One image of a gallery: a line of the manifest."""

    path: str
    """Relative to the gallery's root."""
    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Header:
    """What gallery.json says."""

    format: int
    spec: str
    """The binding of the encoder, for messages."""
    fingerprint: str
    dim: int
    dtype: str
    root: str
    """The images' folder: relative to the gallery's where that lies inside, so that both can move together."""
    index: str
    """A faiss factory string."""
    generation: int = 1
    count: int = 0
    manifest_bytes: int = 0
    manifest_crc32: int = 0

    @property
    def row_bytes(self) -> int:
        """Bytes of one embedding."""
        return self.dim * np.dtype(self.dtype).itemsize


def find_gallery(path: Path) -> Path | None:
    """The gallery at `path` or in the images folder `path`; None where there is none."""
    return next((folder for folder in (path / FOLDER, path) if (folder / HEADER).is_file()), None)


def manifest_path(folder: Path, header: Header) -> Path:
    """Where this generation's manifest lies."""
    return folder / f"manifest-{header.generation}.jsonl"


def embeddings_path(folder: Path, header: Header) -> Path:
    """Where this generation's embeddings lie."""
    return folder / f"embeddings-{header.generation}.bin"


def index_path(folder: Path, header: Header) -> Path:
    """Where the faiss index over this generation's first `count` rows lies, if it needs a file."""
    factory = re.sub(r"\W+", "_", header.index)
    return folder / f"index-{header.generation}-{header.count}-{factory}.faiss"


def read_header(folder: Path) -> Header:
    """What gallery.json in `folder` says.

    Raises:
        DamagedGalleryError: it cannot be understood.
        CtgiError: it is of another format version.
    """
    try:
        values = json.loads((folder / HEADER).read_bytes())
        version = values["format"]
        if version == FORMAT:
            header = Header(**values)
            np.dtype(header.dtype)
            return header
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DamagedGalleryError(folder, f"{HEADER}: {type(error).__name__}") from None
    raise CtgiError(
        f"{display(str(folder))}: a gallery of format {version!r}, this ctgi reads {FORMAT}: "
        "use the ctgi that made it, or run ctgi index --rebuild"
    )


def write_header(folder: Path, header: Header) -> None:
    """Commit: from here on the gallery is what `header` says."""
    write_whole(folder / HEADER, json.dumps(asdict(header), indent=1).encode())


def check_encoder(folder: Path, header: Header, spec: str, fingerprint: str) -> None:
    """Raise CtgiError unless the gallery's vectors are of this encoder's space."""
    if fingerprint != header.fingerprint:
        raise CtgiError(
            f"{display(str(folder))}: made with {display(header.spec)} (fingerprint {header.fingerprint[:12]}), "
            f"opened with {display(spec)} ({fingerprint[:12]}): weights, image size or context length differ. "
            "Bind search_gallery to the first, or make the gallery anew with ctgi index --rebuild"
        )


def image_root(folder: Path, header: Header) -> str:
    """The folder that the manifest's paths start from."""
    return os.path.normpath(folder / header.root)


def open_embeddings(folder: Path, header: Header) -> NDArray[np.floating]:
    """The committed rows, memory-mapped: [count, D].

    Raises:
        DamagedGalleryError: the file is missing or too short, or rows of it are no unit vectors.
    """
    path = embeddings_path(folder, header)
    try:
        rows = np.memmap(path, header.dtype, "r", shape=(header.count, header.dim))
    except (OSError, ValueError):
        raise DamagedGalleryError(folder, f"{path.name} is missing or too short") from None
    sample = rows[:: max(1, header.count // _NORMS_CHECKED)].astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        sound = np.abs(np.einsum("ij,ij->i", sample, sample) - 1) < 0.02
    if not sound.all():
        raise DamagedGalleryError(folder, f"{path.name} holds other data")
    return np.asarray(rows)


class Manifest:
    """The committed lines of a manifest, memory-mapped: a million images open without being parsed."""

    def __init__(self, folder: Path, header: Header) -> None:
        """Open and check the file.

        Raises:
            DamagedGalleryError: it is missing or is not what was committed.
        """
        path = manifest_path(folder, header)
        try:
            with path.open("rb") as file:
                self._lines = mmap.mmap(file.fileno(), header.manifest_bytes, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            raise DamagedGalleryError(folder, f"{path.name} is missing or too short") from None
        self._ends, crc = _line_ends(self._lines)
        if crc != header.manifest_crc32 or len(self._ends) != header.count:
            raise DamagedGalleryError(folder, f"{path.name} holds other data")

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> Entry:
        start = int(self._ends[row - 1]) + 1 if row else 0
        return parse_line(self._lines[start : int(self._ends[row])])

    def __iter__(self) -> Iterator[Entry]:
        return (self[row] for row in range(len(self)))

    def rows_with(self, sha256: str) -> list[int]:
        """Rows of the images with this content, ascending."""
        needle = f'"sha256": "{sha256}"'.encode()  # quotes within a path are escaped, so no name can look like it
        places: set[int] = set()
        for start in range(0, len(self._lines), _BLOCK):
            block = self._lines[start : start + _BLOCK + len(needle)]  # bytes.find is many times mmap.find
            place = block.find(needle)
            while place >= 0:
                places.add(start + place)
                place = block.find(needle, place + 1)
        return [int(np.searchsorted(self._ends, place)) for place in sorted(places)]


def format_line(entry: Entry) -> bytes:
    """An entry as a line of the manifest; names that are no UTF-8 survive as escapes."""
    return json.dumps(entry._asdict()).encode() + b"\n"


def parse_line(line: bytes) -> Entry:
    """A line of the manifest as an entry.

    Raises:
        ValueError, KeyError or TypeError: it is none.
    """
    values = json.loads(line)
    return Entry(values["path"], values["sha256"], values["size"], values["mtime_ns"])


def _line_ends(lines: mmap.mmap) -> tuple[NDArray[np.int64], int]:
    """Offsets of the line breaks, and the crc32 of everything."""
    ends, crc = [], 0
    for start in range(0, len(lines), _BLOCK):
        block = lines[start : start + _BLOCK]
        crc = zlib.crc32(block, crc)
        ends.append(np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + start)
    return np.concatenate(ends), crc
