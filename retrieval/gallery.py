"""An indexed set of images, opened for searching, whatever keeps it: a folder with faiss, or LanceDB."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.files import WithoutLocks
from ctgi.retrieval.caption_rows import CAPTION_WEIGHT, CaptionOf
from ctgi.retrieval.columns import ColumnsReport
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.gallery_build import GalleryReport, Progress, gallery_folder
from ctgi.retrieval.images import ImageRef, display
from ctgi.retrieval.parts import Part, Space
from ctgi.retrieval.passed_over import PassedOver
from ctgi.retrieval.ranking import Candidate, Ranking, Refinement
from ctgi.retrieval.rerank import matcher_of, reordered
from ctgi.settings_tables import RetrieverSettings
from ctgi.text import plain

__all__ = ["Gallery", "GalleryReport", "build_gallery", "gallery_folder", "is_gallery", "open_gallery"]

DEPTH = 1000
"""Depth of the original ranking in which `rank_before` is looked up."""


@dataclass(frozen=True)
class Narrowing:
    """What part of a gallery is ranked."""

    where: str | None
    """A condition of SQL over the columns; only images for which it holds are ranked."""
    group: str | None
    """A column; of the images with the same value in it only the best is ranked."""
    images: int
    """Images that pass the condition."""
    ungrouped: int = 0
    """Images without a value in the column, which count each for itself."""

    def told(self) -> dict[str, str]:
        """The condition and the column, as far as they are given."""
        told = {"where": self.where, "group": self.group}
        return {name: value for name, value in told.items() if value is not None}


LOOKED_AT = 10_000
"""Images of a large gallery that a check looks at, evenly spread."""


@dataclass(frozen=True)
class Check:
    """What has become of a gallery's images."""

    changed: tuple[str, ...]
    """Paths of those that were deleted or changed."""
    looked_at: int
    """Images; fewer than all in a large gallery."""


class Gallery(ABC):
    """Images by row, best found by text. Made by `open_gallery`; threads may search it."""

    narrowing: Narrowing | None = None

    def __init__(self, encoder: Encoder | None) -> None:
        self.encoder = encoder
        """What it was opened with."""

    @abstractmethod
    def __len__(self) -> int: ...

    # --- what it is

    @property
    @abstractmethod
    def root(self) -> str:
        """The folder of the images."""

    @property
    @abstractmethod
    def home(self) -> Path:
        """A folder of this machine for what belongs to the gallery; galleries of other encoders may share it."""

    @property
    @abstractmethod
    def place(self) -> Path:
        """What `open_gallery` finds it by."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name for messages and for `--gallery`."""

    @property
    @abstractmethod
    def index_command(self) -> str:
        """The command that updates it."""

    @property
    @abstractmethod
    def made_with(self) -> str:
        """The binding of its encoder."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """The digest of its encoder."""

    @property
    @abstractmethod
    def factory(self) -> str | None:
        """Its index as faiss's factory string; None where faiss does not search it."""

    @property
    @abstractmethod
    def failed(self) -> int:
        """How many images could not be read when it was indexed last."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, str | int]:
        """What distinguishes this gallery from others: encoder, images, captions, filter."""

    @abstractmethod
    def is_current(self) -> bool:
        """Whether it still stands as it was opened: nobody indexed it again meanwhile.

        Raises:
            CtgiError: it is gone, damaged, or cannot be read.
        """

    @abstractmethod
    def is_of(self, encoder: Encoder) -> bool:
        """Whether what is there now was made with this encoder. Raises as `is_current` does."""

    # --- its images

    @abstractmethod
    def ref(self, row: int) -> ImageRef:
        """The image of a row."""

    @abstractmethod
    def refs(self) -> Iterator[ImageRef]:
        """All images in row order, streamed."""

    @abstractmethod
    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The stored embeddings of some rows, [N, D], L2-normalized."""

    @abstractmethod
    def rows_of(self, sha256: str) -> list[int]:
        """Rows of the images with this content: one, several for copies, none for an image of elsewhere."""

    @abstractmethod
    def rows_named(self, part: str) -> list[int]:
        """Rows of the images whose path within the gallery holds this text, whatever its case."""

    @abstractmethod
    def check(self) -> Check:
        """Whether images were deleted or changed since indexing, judged by size and time only; not in the network."""

    def _looked_at(self) -> range:
        """The rows that a check looks at."""
        return range(0, len(self), max(1, len(self) // LOOKED_AT))

    @property
    @abstractmethod
    def space(self) -> Space:
        """What its embeddings are of."""

    @abstractmethod
    def parts(self) -> Iterator[Part]:
        """All of it, streamed.

        Raises:
            CtgiError: it cannot be read.
        """

    # --- what is searched

    @abstractmethod
    def with_captions(self, caption_of: CaptionOf, weight: float = CAPTION_WEIGHT) -> tuple["Gallery", int]:
        """This gallery, searched by image and caption together, and how many of its images have a caption.

        Args:
            caption_of: the dense caption of an image, by its sha256; asked twice, so that no text is kept.
            weight: share of the caption in a score, in [0, 1].

        Raises:
            CtgiError: a temporary file for the vectors cannot be written.
        """

    @abstractmethod
    def column_names(self) -> tuple[str, ...]:
        """What is known of its images beside their pixels; `path` always is.

        Raises:
            CtgiError: it cannot be read.
        """

    @abstractmethod
    def narrowed(self, where: str | None = None, group: str | None = None) -> Self:
        """This gallery with a filter before the ranking; `narrowing` says how many images pass it.

        Args:
            where: a condition of SQL over the columns; only images for which it holds are ranked.
            group: a column; of the images with the same value in it only the best is ranked.

        Raises:
            ArgumentError: not a condition over the columns, or no such column.
        """

    def search(self, query: str, k: int, refinement: Refinement | None = None) -> Ranking:
        """The k best images by S(q, v), or by the fused score of Eq. 7 after a refinement.

        With a matching head, the first of S(q, v) are in its order; their scores stay S(q, v).

        Raises:
            CtgiError: a text is empty, the fusion mode unknown, or the gallery was opened without an encoder.
        """
        if self.encoder is None:
            raise CtgiError(f"{display(self.name)}: opened without an encoder, so it cannot read a query")
        features = self.encoder.encode_texts([query, *([refinement.query] if refinement else [])])
        found = (
            self.rank_refined(features.vectors[0], features.vectors[1], k, refinement)
            if refinement
            else self._ranked(query, features.vectors[0], k)
        )
        return Ranking(found, sum(features.truncated))

    def _ranked(self, query: str, vector: NDArray[np.float32], k: int) -> tuple[Candidate, ...]:
        matcher = matcher_of(self.encoder)
        if matcher is None:
            return self.rank(vector, k)
        return reordered(self.rank(vector, max(k, matcher.depth)), query, matcher)[:k]

    @abstractmethod
    def rank(self, query: NDArray[np.float32], k: int) -> tuple[Candidate, ...]:
        """The k best by a query vector [D]; equal scores keep the gallery's order."""

    @abstractmethod
    def rank_refined(
        self, query: NDArray[np.float32], refined: NDArray[np.float32], k: int, refinement: Refinement
    ) -> tuple[Candidate, ...]:
        """The k best by Eq. 7. One search with lam * q + (1 - lam) * q_refined finds them."""


class ToMake(NamedTuple):
    """How a gallery that is not there yet can be made on first use."""

    inputs: list[str]
    out: Path
    why: str
    """To be told beforehand; empty where nothing is surprising."""


class Kind(Protocol):
    """What keeps galleries of one kind; a module with these functions. `place` is as given with `--gallery`."""

    def is_gallery(self, place: Path, encoder: Encoder | None = None) -> bool:
        """Whether there is a gallery; with `encoder`, one made with it."""
        ...

    def open_gallery(self, place: Path, encoder: Encoder | None = None) -> Gallery:
        """As `ctgi.retrieval.gallery.open_gallery`."""
        ...

    def build_gallery(
        self,
        inputs: Sequence[str],
        out: Path,
        encoder: Encoder,
        settings: RetrieverSettings,
        *,
        rebuild: bool = False,
        progress: Progress | None = None,
        on_found: Callable[[PassedOver], None] | None = None,
        without_locks: WithoutLocks = "warn",
    ) -> GalleryReport:
        """As `ctgi.retrieval.gallery.build_gallery`."""
        ...

    def update_columns(self, place: Path, tables: Sequence[Path]) -> ColumnsReport | None:
        """Take over what tables say of the images of a gallery that was just built; None where nothing is known."""
        ...

    def to_make(self, place: Path, encoder: Encoder) -> ToMake:
        """How to make the gallery that `is_gallery` did not find. Raises CtgiError where it cannot be made."""
        ...

    def some_paths(self, place: Path, most: int) -> list[str]:
        """Paths of images of a gallery that was just built, evenly spread."""
        ...

    def write(self, place: Path, space: Space, parts: Iterable[Part]) -> int:
        """Write a gallery, or add to one where the kind can; returns the images written.

        Raises:
            CtgiError: another gallery is there, or it cannot be written.
        """
        ...

    def damage_of(self, place: Path) -> list[str]:
        """What is damaged."""
        ...

    def optimize(self, place: Path) -> str:
        """Make searches fast; returns what was done."""
        ...

    def home_of(self, place: Path) -> Path | None:
        """The gallery's `home`; None where there is no gallery."""
        ...

    def is_there(self, place: Path) -> bool:
        """Whether there is something that may be searched."""
        ...

    def lasting_name(self, place: Path) -> str:
        """The name that means the same gallery from any working directory."""
        ...


_LANCE = "lance:"
_BUCKET = re.compile(r"(s3|gs|az|abfss?):/+", re.IGNORECASE)


def kind_of(place: str | Path) -> Kind:
    """What keeps the gallery that this name means: `lance:FOLDER`, `lance:s3://bucket/people`, or a folder.

    Raises:
        CtgiError: it is the address of a bucket alone.
    """
    if found := _BUCKET.match(str(place)):
        name = plain(f"{found[1]}://{str(place)[found.end() :]}")
        raise CtgiError(f"{name}: expected a folder; a gallery in a bucket is named {_LANCE}{name}")
    module = "ctgi.retrieval.lance.kind" if str(place).startswith(_LANCE) else "ctgi.retrieval.folder_kind"
    return cast(Kind, import_module(module))


def is_gallery(place: str | Path, encoder: Encoder | None = None) -> bool:
    """Whether there is a gallery at `place` or in the image folder `place`; with `encoder`, one made with it."""
    return kind_of(place).is_gallery(Path(place), encoder)


def open_gallery(place: str | Path, encoder: Encoder | None = None) -> Gallery:
    """The gallery at `place` or in the image folder `place`; among those of several encoders, that of `encoder`.

    While it is being indexed, this is the gallery as it was before or as it is after.

    Args:
        place: a gallery's folder, an image folder with a gallery in `.ctgi`, or `lance:` and an address.
        encoder: encodes the queries; without one, only search by vector is possible.

    Raises:
        CtgiError: there is none, it is empty or damaged, cannot be read, or is another encoder's.
    """
    return kind_of(place).open_gallery(Path(place), encoder)


def build_gallery(
    inputs: Sequence[str],
    out: str | Path,
    encoder: Encoder,
    settings: RetrieverSettings,
    *,
    rebuild: bool = False,
    progress: Progress | None = None,
    on_found: Callable[[PassedOver], None] | None = None,
    without_locks: WithoutLocks = "warn",
) -> GalleryReport:
    """Make or update the gallery at `out` from these images. Unchanged images are not read again.

    A kill at any moment leaves what was committed, and the next run resumes from there. An image that cannot be read
    just now keeps its row. A folder then holds exactly these images. LanceDB keeps what other runs indexed beside
    them: only images that are gone from the given folders are removed.

    Args:
        inputs: as `find_images` takes them.
        out: the gallery's place.
        encoder: encodes the images.
        settings: batch size, decoding threads, storage type, faiss factory string.
        rebuild: discard what is there.
        progress: called with (images done, images to do), not counting unchanged ones.
        on_found: called with the files that were passed over, before any image is read.
        without_locks: see `ctgi.files.own`.

    Raises:
        CtgiError: nothing to index, another process at work, or a disk that is full or read-only.
    """
    return kind_of(out).build_gallery(
        inputs, Path(out), encoder, settings,
        rebuild=rebuild, progress=progress, on_found=on_found, without_locks=without_locks,
    )  # fmt: skip
