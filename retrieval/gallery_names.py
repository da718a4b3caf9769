"""How a person names a gallery, and the command that makes or mends it."""

import os
import shlex
from pathlib import Path

from ctgi.embedded import CLIP
from ctgi.errors import CtgiError
from ctgi.retrieval.gallery_header import Header, has_header, image_root
from ctgi.retrieval.images import display

FOLDER = ".ctgi"


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
