"""A gallery on disk: gallery.json names the generation of the manifest, embeddings and index beside it.

Embeddings are raw rows in memory order; line i of the manifest is row i. Both only grow within a generation, the
embeddings first, so whatever a kill leaves has a common prefix. Replacing gallery.json is what commits a change.
"""

import json
import mmap
import os
import re
import shlex
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError

from ctgi.embedded import CLIP
from ctgi.errors import CtgiError
from ctgi.files import write_whole
from ctgi.reading import TextError, parse_json
from ctgi.retrieval.checksums import Checksums, damaged_blocks, is_complete, sample
from ctgi.retrieval.images import display
from ctgi.text import is_file_name

FORMAT: Literal[1] = 1
FOLDER = ".ctgi"
HEADER = "gallery.json"
_BLOCK = 2**24
_NORMS_CHECKED = 1024
_MOST = 2**48
"""More rows or bytes than any gallery has."""

T = TypeVar("T")


class DamagedGalleryError(CtgiError):
    """Files of a gallery do not hold what its header says; indexing again mends it."""

    def __init__(self, folder: Path, what: str, header: "Header | None" = None, spec: str = "") -> None:
        """Take the header where it can be read: it knows which command mends the gallery; else the encoder's spec."""
        if header:
            cure = index_command(folder, header)
        elif folder.name == FOLDER:
            cure = shlex.join(map(display, ["ctgi", "index", str(folder.parent), *_binding(spec)]))
        else:
            home = str(gallery_home(folder))
            cure = shlex.join(map(display, ["ctgi", "index", "IMAGES", "--out", home, *_binding(spec)]))
        super().__init__(f"{display(str(folder))}: the gallery is damaged ({what}): run {cure} to mend it")
        self.what = what


class UnreadableError(CtgiError):
    """A file of a gallery cannot be read just now, which says nothing about what it holds."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"{display(str(path))}: cannot be read ({error.strerror}): nothing was changed; "
            "make it readable and run the same command again"
        )


class Entry(NamedTuple):
    """One image of a gallery: a line of the manifest."""

    path: str
    """Relative to the gallery's root."""
    sha256: str
    size: int
    mtime_ns: int


def _text(value: object) -> str:
    if not isinstance(value, str) or not is_file_name(value):
        raise ValueError("no text")
    return value


_Text = Annotated[str, PlainValidator(_text)]  # pydantic's own refuses names that are no UTF-8
_Crc32 = Annotated[int, Field(ge=0, lt=2**32)]
_FromList = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)


class Header(BaseModel):
    """What gallery.json says."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    format: Literal[1] = FORMAT
    spec: _Text
    """The binding of the encoder, for messages."""
    fingerprint: _Text
    dim: int = Field(ge=1, le=2**20)
    dtype: Literal["float32", "float16"]
    root: _Text
    """The images' folder: relative to the gallery's where that lies inside, so that both can move together."""
    index: _Text
    """A faiss factory string."""
    generation: int = Field(1, ge=1, lt=_MOST)
    count: int = Field(0, ge=0, lt=_MOST)
    manifest_bytes: int = Field(0, ge=0, lt=_MOST)
    manifest_crc32: _Crc32 = 0
    embeddings_crc32: Annotated[tuple[_Crc32, ...] | None, _FromList] = None
    """Of each block of the embeddings; None in a gallery of a version that had none."""
    index_bytes: int = Field(0, ge=0, lt=_MOST)
    index_crc32: Annotated[tuple[_Crc32, ...] | None, _FromList] = None
    """Of each block of the index file; None where there is no such file."""
    inputs: Annotated[tuple[_Text, ...] | None, _FromList] = None
    """What was indexed, as it was given in the folder `root`; None for the folder itself, () for very many things."""
    failed: int = Field(0, ge=0, lt=_MOST)
    """Images among them that could not be read."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one embedding."""
        return self.dim * np.dtype(self.dtype).itemsize

    @property
    def embeddings_bytes(self) -> int:
        """Bytes of all of them."""
        return self.count * self.row_bytes


def has_header(folder: Path) -> bool:
    """Whether a gallery lies right in `folder`.

    Raises:
        UnreadableError: that cannot be told just now.
    """
    try:
        return stat.S_ISREG((folder / HEADER).stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UnreadableError(folder / HEADER, error) from None


def disk_bytes(folder: Path) -> int:
    """What the files of a gallery take, without those of other encoders."""
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())


def find_gallery(path: Path) -> Path | None:
    """The gallery at `path` or in the images folder `path`, one with images first; None where there is none.

    Raises:
        UnreadableError: that cannot be told just now.
    """
    found = [folder for folder in (path / FOLDER, path) if has_header(folder)]
    return next((folder for folder in found if _holds_images(folder)), found[0] if found else None)


def _holds_images(folder: Path) -> bool:
    try:
        return read_header(folder).count > 0
    except CtgiError:
        return False


def gallery_for(home: Path, fingerprint: str) -> Path:
    """Where the gallery of an encoder lies: at `home` if that is its own or nobody's, else in a folder in there.

    Raises:
        UnreadableError: the gallery at `home` cannot be read.
    """
    try:
        its_own = not has_header(home) or read_header(home).fingerprint == fingerprint
    except DamagedGalleryError:
        its_own = True  # it will be made anew
    return home if its_own else home / f"encoder-{zlib.crc32(fingerprint.encode()):08x}"


def gallery_home(folder: Path) -> Path:
    """The folder that a gallery shares with those of other encoders; its own where it is the first."""
    shared = folder.name.startswith("encoder-") and has_header(folder.parent)
    return folder.parent if shared else folder


def named_by_person(folder: Path) -> Path:
    """How a person names a gallery, whichever encoder's: the image folder that it lies in, else its own folder."""
    home = gallery_home(folder)
    return home.parent if home.name == FOLDER else home


def index_command(folder: Path, header: Header) -> str:
    """The command that brings this gallery up to date, for messages: it can be run as it stands."""
    root = image_root(folder, header)
    home = named_by_person(folder)
    where = os.path.relpath(root) if not os.path.relpath(root).startswith("..") else root
    inside = os.path.realpath(home) == os.path.realpath(root)
    inputs = [where] if header.inputs is None else list(header.inputs) or ["@images.txt"]
    elsewhere = header.inputs is not None and os.path.realpath(root) != os.path.realpath(Path.cwd())
    out = [] if inside and header.inputs is None else ["--out", str(home.absolute()) if elsewhere else str(home)]
    words = ["ctgi", "index", *inputs, *out, *_binding(header.spec)]
    return (f"cd {shlex.quote(display(root))} && " if elsewhere else "") + shlex.join(map(display, words))


def _binding(spec: str) -> list[str]:
    """The option that binds an encoder, where it is another than the one that nobody need bind."""
    return [] if encoder_name(spec) in ("", "embedded") else ["--bind", f"search_gallery={spec}"]


def encoder_name(spec: str) -> str:
    """What to call an encoder where a person reads it: `embedded`, or its spec."""
    return "embedded" if spec == f"open_clip:local-dir:{CLIP}" else spec


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


def read_header(folder: Path, name: str = HEADER, *, spec: str = "") -> Header:
    """What gallery.json in `folder` says.

    Args:
        folder: the gallery's.
        name: of the file.
        spec: the encoder that is wanted, for messages.

    Raises:
        DamagedGalleryError: it cannot be understood.
        UnreadableError: it cannot be read.
        CtgiError: it is of another format version.
    """
    try:
        values = parse_json((folder / name).read_bytes())
    except FileNotFoundError:
        raise DamagedGalleryError(folder, f"{name} is missing", spec=spec) from None
    except OSError as error:
        raise UnreadableError(folder / name, error) from None
    except TextError as error:
        raise DamagedGalleryError(folder, f"{name}: {error}", spec=spec) from None
    version = values.get("format") if isinstance(values, dict) else None
    if type(version) is int and version > FORMAT:
        raise CtgiError(
            f"{display(str(folder))}: a gallery of format {version}, this ctgi reads {FORMAT}: "
            "use the ctgi that made it, or run ctgi index --rebuild"
        )
    try:
        return Header.model_validate(values)
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"])) or "its value"
        raise DamagedGalleryError(folder, f"{name}: {place} is not as it should be", spec=spec) from None


def write_header(folder: Path, header: Header, name: str = HEADER) -> None:
    """Commit: from here on the gallery is what `header` says."""
    write_whole(folder / name, json.dumps(header.model_dump(), indent=1).encode())


def check_encoder(folder: Path, header: Header, spec: str, fingerprint: str) -> None:
    """Raise CtgiError unless the gallery's vectors are of this encoder's space."""
    if fingerprint != header.fingerprint:
        made, opened = display(encoder_name(header.spec)), display(encoder_name(spec))
        raise CtgiError(
            f"{display(str(folder))}: made with {made} (fingerprint {display(header.fingerprint[:12])}), opened with "
            f"{opened} ({fingerprint[:12]}): weights, image size or context length differ. Bind search_gallery to the "
            "first, or make one for the second beside it: "
            f"{index_command(folder, header.model_copy(update={'spec': spec}))}"
        )


def image_root(folder: Path, header: Header) -> str:
    """The folder that the manifest's paths start from."""
    return os.path.normpath(folder / header.root)


def open_embeddings(folder: Path, header: Header) -> NDArray[np.floating]:
    """The committed rows, memory-mapped: [count, D]. Some of their blocks are checked, in a small gallery all.

    Raises:
        DamagedGalleryError: the file is missing or too short, or holds something else.
        UnreadableError: it cannot be read.
    """
    path = embeddings_path(folder, header)
    rows: NDArray[np.floating] = _mapped(
        folder, header, path, lambda: np.memmap(path, header.dtype, "r", shape=(header.count, header.dim))
    )
    vectors = rows[:: max(1, header.count // _NORMS_CHECKED)].astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        sound = np.abs(np.einsum("ij,ij->i", vectors, vectors) - 1) < 0.02
    size = header.embeddings_bytes
    if not sound.all() or not is_whole(folder, header, path, size, header.embeddings_crc32, sample(size)):
        raise DamagedGalleryError(folder, f"{path.name} holds other data", header)
    return np.asarray(rows)


def is_whole(
    folder: Path, header: Header, path: Path, size: int, expected: Checksums | None, blocks: list[int] | None = None
) -> bool:
    """Whether all blocks of a file, or these, are as they were committed; True where nothing was noted of them.

    Raises:
        DamagedGalleryError: it is missing.
        UnreadableError: it cannot be read.
    """
    if expected is None:
        return True
    if not is_complete(expected, size):
        return False
    return not _mapped(folder, header, path, lambda: damaged_blocks(path, size, expected, blocks))


def _mapped(folder: Path, header: Header, path: Path, read: Callable[[], T]) -> T:
    """What `read` returns; a file that is missing or too short is damage, one that cannot be read is not."""
    if path.exists() and not path.is_file():  # a pipe would keep whoever opens it waiting
        raise DamagedGalleryError(folder, f"{path.name} is no file", header)
    try:
        return read()
    except FileNotFoundError:
        raise DamagedGalleryError(folder, f"{path.name} is missing", header) from None
    except OSError as error:
        raise UnreadableError(path, error) from None
    except (ValueError, OverflowError):
        raise DamagedGalleryError(folder, f"{path.name} is too short", header) from None


class Manifest:
    """The committed lines of a manifest, memory-mapped: a million images open without being parsed."""

    def __init__(self, folder: Path, header: Header) -> None:
        """Open and check the file.

        Raises:
            DamagedGalleryError: it is missing or is not what was committed.
            UnreadableError: it cannot be read.
        """
        path = manifest_path(folder, header)
        self._folder, self._header, self._name = folder, header, path.name
        self._lines = _mapped(folder, header, path, lambda: _map(path, header.manifest_bytes))
        self._ends, crc = _line_ends(self._lines)
        if crc != header.manifest_crc32 or len(self._ends) != header.count:
            raise DamagedGalleryError(folder, f"{path.name} holds other data", header)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> Entry:
        start = int(self._ends[row - 1]) + 1 if row else 0
        try:
            return parse_line(self._lines[start : int(self._ends[row])])
        except ValueError:
            what = f"{self._name}, line {row + 1} names no image"
            raise DamagedGalleryError(self._folder, what, self._header) from None

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
        ValueError: it is none.
    """
    values = parse_json(line)
    if not isinstance(values, dict):
        raise ValueError("no JSON object")
    entry = Entry(*(values.get(name) for name in Entry._fields))  # type: ignore[arg-type]  # checked below
    if not (_is_path(entry.path) and _is_sha256(entry.sha256) and _is_size(entry.size) and _is_size(entry.mtime_ns, 0)):
        raise ValueError("no entry of a manifest")
    return entry


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value != "" and is_file_name(value)


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_size(value: Any, least: int = 1) -> bool:
    return type(value) is int and (least <= value < 2**63 if least else abs(value) < 2**63)


def _map(path: Path, size: int) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)


def _line_ends(lines: mmap.mmap) -> tuple[NDArray[np.int64], int]:
    """Offsets of the line breaks, and the crc32 of everything."""
    ends, crc = [], 0
    for start in range(0, len(lines), _BLOCK):
        block = lines[start : start + _BLOCK]
        crc = zlib.crc32(block, crc)
        ends.append(np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + start)
    return np.concatenate(ends) if ends else np.empty(0, np.int64), crc
