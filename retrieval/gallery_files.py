"""A gallery on disk: gallery.json names the generation of the manifest, embeddings and index beside it.

Embeddings are raw rows in memory order; line i of the manifest is row i. Both only grow within a generation, the
embeddings first, so whatever a kill leaves has a common prefix. Replacing gallery.json is what commits a change.
"""

import json
import re
import zlib
from pathlib import Path

from pydantic import ValidationError

from ctgi.errors import CtgiError
from ctgi.faults import first_place
from ctgi.files import write_whole
from ctgi.reading import TextError, parse_json
from ctgi.retrieval.gallery_header import FORMAT, HEADER, Header, UnreadableError, has_header
from ctgi.retrieval.gallery_names import FOLDER, DamagedGalleryError, encoder_name, index_command
from ctgi.retrieval.images import display
from ctgi.retrieval.lance.place import PREFIX, holds_table


def find_gallery(path: Path) -> Path | None:
    """The gallery at `path` or in the image folder `path`, preferring one with images; None if there is none.

    Raises:
        UnreadableError: the file system does not say.
    """
    found = [folder for folder in (path / FOLDER, path) if has_header(folder)]
    return next((folder for folder in found if _holds_images(folder)), found[0] if found else None)


def gallery_at(path: Path) -> Path:
    """The gallery at `path` or in the image folder `path`.

    Raises:
        CtgiError: there is none, or one on LanceDB, which has another name.
    """
    home = find_gallery(path)
    if home is None:
        refuse_lance(path)
        raise CtgiError(f"{display(str(path))}: no gallery here: make one with ctgi index {display(str(path))}")
    return home


def refuse_lance(path: Path) -> None:
    """Refuse a folder that is a gallery on LanceDB.

    Raises:
        CtgiError: it is one; says its name.
    """
    if holds_table(path) and not has_header(path):
        raise CtgiError(f"{display(str(path))}: a gallery on LanceDB: name it {PREFIX}{display(str(path))}")


def refuse_two_galleries(folder: Path) -> None:
    """Refuse a folder that is a gallery of both kinds: whoever names it might mean either.

    Raises:
        CtgiError: it is; says how to part them.
    """
    if holds_table(folder) and has_header(folder):
        name = display(str(folder))
        copies = f"ctgi gallery copy {PREFIX}{name} {PREFIX}OTHER, or ctgi gallery copy {name} OTHER"
        raise CtgiError(f"{name}: two galleries, one in the folder and one on LanceDB: copy the one you want: {copies}")


def _holds_images(folder: Path) -> bool:
    try:
        return read_header(folder).count > 0
    except CtgiError:
        return False


def gallery_for(home: Path, fingerprint: str) -> Path:
    """The folder for an encoder's gallery: `home` if it is free or this encoder's, else a subfolder of it.

    Raises:
        UnreadableError: the gallery at `home` cannot be read.
    """
    try:
        its_own = not has_header(home) or read_header(home).fingerprint == fingerprint
    except DamagedGalleryError:
        its_own = True  # it will be rebuilt
    return home if its_own else home / f"encoder-{zlib.crc32(fingerprint.encode()):08x}"


def disk_bytes(folder: Path) -> int:
    """Bytes of a gallery's files, without the galleries of other encoders."""
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())


def manifest_path(folder: Path, header: Header) -> Path:
    """Path of this generation's manifest."""
    return folder / f"manifest-{header.generation}.jsonl"


def lines_path(folder: Path, header: Header) -> Path:
    """Path of the file that says where the lines of the manifest's first `count` rows lie, if it is large."""
    return folder / f"lines-{header.generation}-{header.count}.bin"


def embeddings_path(folder: Path, header: Header) -> Path:
    """Path of this generation's embeddings."""
    return folder / f"embeddings-{header.generation}.bin"


def index_path(folder: Path, header: Header) -> Path:
    """Path of the faiss index over this generation's first `count` rows, if it needs a file."""
    factory = re.sub(r"\W+", "_", header.index)
    return folder / f"index-{header.generation}-{header.count}-{factory}.faiss"


def read_header(folder: Path, name: str = HEADER, *, spec: str = "") -> Header:
    """The header of a gallery, gallery.json.

    Args:
        folder: the gallery's folder.
        name: the file name.
        spec: the requested encoder, for messages.

    Raises:
        DamagedGalleryError: its content is not a header.
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
            f"{display(str(folder))}: a gallery of format {version}, but this ctgi reads format {FORMAT}: "
            "use the ctgi that made it, or run ctgi index --rebuild"
        )
    try:
        return Header.model_validate(values)
    except ValidationError as error:
        place = first_place(error) or "its value"
        raise DamagedGalleryError(folder, f"{name}: {place} is not valid", spec=spec) from None


def write_header(folder: Path, header: Header, name: str = HEADER) -> None:
    """Commit: from now on the gallery is what `header` says."""
    write_whole(folder / name, json.dumps(header.model_dump(), indent=1).encode())


def check_encoder(folder: Path, header: Header, spec: str, fingerprint: str) -> None:
    """Raise CtgiError unless the gallery's vectors are of this encoder's space."""
    if fingerprint != header.fingerprint:
        made, opened = display(encoder_name(header.spec)), display(encoder_name(spec))
        raise CtgiError(
            f"{display(str(folder))}: made with {made} (fingerprint {display(header.fingerprint[:12])}), opened with "
            f"{opened} ({fingerprint[:12]}): weights, image size, resizing or context length differ. "
            "Bind search_gallery to the first, or make a gallery for the second beside it: "
            f"{index_command(folder, header.model_copy(update={'spec': spec}))}"
        )
