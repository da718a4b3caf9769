"""The header of a gallery: gallery.json."""

import os
import stat
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from ctgi.errors import CtgiError
from ctgi.retrieval.images import display
from ctgi.text import is_file_name

FORMAT: Literal[1] = 1
HEADER = "gallery.json"
_MOST = 2**48
"""More rows or bytes than any gallery has."""


class UnreadableError(CtgiError):
    """A file of a gallery cannot be read just now; this says nothing about its content."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"{display(str(path))}: cannot be read ({error.strerror}): nothing was changed; "
            "make it readable and run the same command again"
        )


def _text(value: object) -> str:
    if not isinstance(value, str) or not is_file_name(value):
        raise ValueError("no text")
    return value


_Text = Annotated[str, PlainValidator(_text)]  # pydantic's own type refuses names that are not UTF-8
_Crc32 = Annotated[int, Field(ge=0, lt=2**32)]
_FromList = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)


class Header(BaseModel):
    """The content of gallery.json."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    format: Literal[1] = FORMAT
    spec: _Text
    """The binding of the encoder, for messages."""
    fingerprint: _Text
    dim: int = Field(ge=1, le=2**20)
    dtype: Literal["float32", "float16"]
    root: _Text
    """The image folder. Relative to the gallery if the gallery is inside it, so that both can move together."""
    index: _Text
    """A faiss factory string."""
    generation: int = Field(1, ge=1, lt=_MOST)
    count: int = Field(0, ge=0, lt=_MOST)
    manifest_bytes: int = Field(0, ge=0, lt=_MOST)
    manifest_crc32: _Crc32 = 0
    embeddings_crc32: Annotated[tuple[_Crc32, ...] | None, _FromList] = None
    """Checksum of each block of the embeddings; None in galleries of versions without checksums."""
    index_bytes: int = Field(0, ge=0, lt=_MOST)
    index_crc32: Annotated[tuple[_Crc32, ...] | None, _FromList] = None
    """Checksum of each block of the index file; None if there is no such file."""
    inputs: Annotated[tuple[_Text, ...] | None, _FromList] = None
    """The inputs as given, seen from `root`; None for the folder itself, () if there were very many."""
    failed: int = Field(0, ge=0, lt=_MOST)
    """Number of images that could not be read."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one embedding."""
        return self.dim * np.dtype(self.dtype).itemsize

    @property
    def embeddings_bytes(self) -> int:
        """Bytes of all embeddings."""
        return self.count * self.row_bytes


def has_header(folder: Path) -> bool:
    """Whether `folder` itself is a gallery.

    Raises:
        UnreadableError: the file system does not say.
    """
    try:
        return stat.S_ISREG((folder / HEADER).stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UnreadableError(folder / HEADER, error) from None


def image_root(folder: Path, header: Header) -> str:
    """The folder that manifest paths are relative to."""
    return os.path.normpath(folder / header.root)
