"""A gallery that is searched by its images and by the captions that MTG wrote of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import BinaryIO
from weakref import finalize

import numpy as np

from ctgi.agents.splitting import Stored, StoredCaptions
from ctgi.caption_table import WITHOUT, Wanted
from ctgi.captions import CaptionLine, caption_line, placed_captions
from ctgi.captions_index import CaptionsIndex
from ctgi.corrections import corrections_path, read_corrections
from ctgi.errors import CtgiError
from ctgi.places import Places
from ctgi.reading import JsonLine, TextError, parse_quickly
from ctgi.retrieval.caption_rows import CAPTION_WEIGHT, caption_vectors, with_captions
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.evaluate import EncodedSplit
from ctgi.retrieval.gallery import Gallery
from ctgi.runs.events import Events
from ctgi.text import plain


@dataclass(frozen=True)
class Captioned:
    """What captions add to a search."""

    gallery: Gallery
    """Compares a query with images and captions."""
    stored: StoredCaptions

    def read(self) -> StoredCaptions:
        """What tells the candidates apart."""
        return self.stored


def captioned(gallery: Gallery, file: Path, events: Events) -> Captioned:
    """The gallery with the captions of a captions.jsonl, as people corrected them; told how many images have one.

    Raises:
        CtgiError: the file cannot be read, or has a caption of no image of the gallery.
    """
    stored = CaptionsOnDisk(file)
    found, known = gallery.with_captions(stored.caption_of)
    if not known:
        raise CtgiError(f"{plain(str(file))}: no caption of an image of {gallery.name}: run ctgi caption on its images")
    events.tell(f"{known} of {len(gallery)} images have a caption in {plain(str(file))}")
    return Captioned(found, stored)


def captioned_split(
    encoded: EncodedSplit, file: Path, encoder: Encoder, events: Events
) -> tuple[EncodedSplit, StoredCaptions]:
    """The same for a split of a data set: its images, each with its caption.

    Raises:
        CtgiError: the file cannot be read, or has a caption of no image of the split.
    """
    stored = CaptionsOnDisk(file)
    owners = [row for row, image in enumerate(encoded.images) if image.sha256 in stored]
    if not owners:
        raise CtgiError(f"{plain(str(file))}: no caption of an image of this split: run ctgi caption on its images")
    events.tell(f"{len(owners)} of {len(encoded.images)} images have a caption in {plain(str(file))}")
    vectors = caption_vectors((stored[encoded.images[row].sha256].caption for row in owners), encoder)
    rows = with_captions(encoded.image_features, np.array(owners), vectors, CAPTION_WEIGHT)
    return replace(encoded, image_features=rows), stored


class CaptionsOnDisk(Mapping[str, Stored]):
    """The captions of a file with the answers that led to them, as people corrected them, by sha256.

    Each is read where it stands when it is asked for. The file is taken as it was opened, even if it is replaced.
    """

    def __init__(self, file: Path) -> None:
        """Look where the captions stand.

        Raises:
            CtgiError: the file cannot be read.
        """
        self._path, self._lock = file, Lock()
        self._corrections = read_corrections(file)
        self._places = Places((start, line.path, line.sha256) for start, line in self._captioned())
        self._file = _opened(file)
        finalize(self, self._file.close)

    def __getitem__(self, sha256: str) -> Stored:
        start = self._places.with_content(sha256)
        if start is None:
            raise KeyError(sha256)
        with self._lock:
            self._file.seek(start)
            content = self._file.readline()
        try:
            line = caption_line(self._path, JsonLine(0, start, content, parse_quickly(content)))
        except (CtgiError, TextError):
            line = None
        if line is None or line.sha256 != sha256:
            raise CtgiError(f"{plain(str(self._path))} was changed meanwhile: run the same command again")
        line = self._corrections.apply(line)
        return Stored(line.caption, dict(_answers(line)))

    def __iter__(self) -> Iterator[str]:
        return (line.sha256 for start, line in self._captioned() if self._places.with_content(line.sha256) == start)

    def __len__(self) -> int:
        return self._places.contents()

    def caption_of(self, sha256: str) -> str | None:
        """The caption of an image, if there is one."""
        stored = self.get(sha256)
        return stored.caption if stored else None

    def _captioned(self) -> Iterator[tuple[int, CaptionLine]]:
        lines = ((start, self._corrections.apply(line)) for start, line in placed_captions(self._path))
        return ((start, line) for start, line in lines if line.sha256 and line.has_caption)


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise CtgiError(f"captions {plain(str(file))}: {error.strerror}") from None


class IndexedCaptions(Mapping[str, Stored]):
    """The captions of a file, each read where it stands when it is asked for."""

    def __init__(self, index: CaptionsIndex) -> None:
        """As of the index's last `refresh`."""
        self._index = index

    def __getitem__(self, sha256: str) -> Stored:
        entry = self._index.find(sha256)
        if entry is None or not entry.has_caption:
            raise KeyError(sha256)
        try:
            line = self._index.corrections.apply(self._index.read(entry))
        except CtgiError:  # the file was replaced since: the next search sees the new one
            raise KeyError(sha256) from None
        return Stored(line.caption, dict(_answers(line)))

    def __iter__(self) -> Iterator[str]:
        return (line.image for line in self._index if self._index.corrections.apply(line).has_caption)

    def __len__(self) -> int:
        return len(self._index.entries) - len(self._index.wanted(Wanted(only=WITHOUT)))


def read_index(index: CaptionsIndex, events: Events) -> StoredCaptions:
    """What a captions file holds now, nothing where it cannot be read; may be called from several threads."""
    try:
        index.refresh()
    except CtgiError as error:
        events.warn(f"{error}: until then the questions come in the pool's order")
        return {}
    return IndexedCaptions(index)


def _answers(line: CaptionLine) -> Iterable[tuple[str, str]]:
    """Attributes and answers; turns that lack one of them are passed over."""
    for turn in line.turns:
        attribute, answer = turn.get("attribute"), turn.get("answer")
        if isinstance(attribute, str) and isinstance(answer, str):
            yield attribute, answer


def written_at(file: Path) -> tuple[int, ...]:
    """When captions and their corrections were last written; another value where they changed."""
    return tuple(one.stat().st_mtime_ns for one in (file, corrections_path(file)) if one.exists())
