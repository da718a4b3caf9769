"""Names of galleries for messages, and the command that makes or repairs one."""

import os
import shlex
from pathlib import Path

from ctgi.embedded import CLIP
from ctgi.errors import CtgiError
from ctgi.retrieval.gallery_header import Header, has_header, image_root
from ctgi.retrieval.images import display

FOLDER = ".ctgi"


class DamagedGalleryError(CtgiError):
    """A gallery's files differ from its header; indexing again repairs it."""

    def __init__(self, folder: Path, what: str, header: "Header | None" = None, spec: str = "") -> None:
        """`header`, if readable, knows the command that repairs the gallery; else the encoder's `spec` is used."""
        if header:
            cure = index_command(folder, header)
        elif folder.name == FOLDER:
            cure = shlex.join(map(display, ["ctgi", "index", str(folder.parent), *_binding(spec)]))
        else:
            home = str(gallery_home(folder))
            cure = shlex.join(map(display, ["ctgi", "index", "IMAGES", "--out", home, *_binding(spec)]))
        super().__init__(f"{display(str(folder))}: the gallery is damaged ({what}): run {cure} to repair it")
        self.what = what


def gallery_home(folder: Path) -> Path:
    """The folder that a gallery shares with those of other encoders; its own folder if it was the first."""
    shared = folder.name.startswith("encoder-") and has_header(folder.parent)
    return folder.parent if shared else folder


def named_by_person(folder: Path) -> Path:
    """A gallery's name for messages, for any encoder: the image folder that contains it, else its own folder."""
    home = gallery_home(folder)
    return home.parent if home.name == FOLDER else home


def index_command(folder: Path, header: Header) -> str:
    """The command that updates this gallery, for messages; it can be pasted into a shell."""
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
    """The option that binds an encoder; empty for the default encoder."""
    return [] if encoder_name(spec) in ("", "embedded") else ["--bind", f"search_gallery={spec}"]


def encoder_name(spec: str) -> str:
    """An encoder's name for messages: `embedded`, or its spec."""
    return "embedded" if spec == f"open_clip:local-dir:{CLIP}" else spec
