"""A gallery in a folder, searched by faiss."""

from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ctgi.errors import CtgiError
from ctgi.retrieval.caption_rows import CAPTION_WEIGHT, CaptionOf, caption_vectors, fused_gallery, owners
from ctgi.retrieval.columns import FILE as COLUMNS
from ctgi.retrieval.columns import Columns, Listing, column_names
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.fusion import blend, check_mode
from ctgi.retrieval.gallery import DEPTH, Check, Gallery, Narrowing
from ctgi.retrieval.gallery_files import check_encoder, gallery_for, read_header
from ctgi.retrieval.gallery_header import Header, has_header, image_root
from ctgi.retrieval.gallery_manifest import Entry, Manifest
from ctgi.retrieval.gallery_names import DamagedGalleryError, gallery_home, index_command, named_by_person
from ctgi.retrieval.gallery_rows import open_embeddings, open_for_some
from ctgi.retrieval.images import ImageRef, display
from ctgi.retrieval.index import Index, exact_index, is_exact, open_index
from ctgi.retrieval.metadata import PATH, Value
from ctgi.retrieval.parts import PART_ROWS, Part, Space
from ctgi.retrieval.ranking import Candidate, Refinement
from ctgi.retrieval.sources.reading import is_unchanged
from ctgi.retrieval.sources.references import placed


class FolderGallery(Gallery):
    """Rows in memory-mapped files. Made by `open_folder`."""

    def __init__(
        self,
        folder: Path,
        header: Header,
        manifest: Manifest,
        index: Index,
        rows: NDArray[np.floating],
        some: NDArray[np.floating],
        encoder: Encoder | None,
    ) -> None:
        """`some` are the same rows as `rows`, for reading a few of them."""
        super().__init__(encoder)
        self.folder = folder
        self.header = header
        self._root = image_root(folder, header)
        self._manifest = manifest
        self._index = index
        self._rows = rows
        self._some = some
        self._columns: tuple[int | None, Columns] | None = None
        self._captions: int | None = None
        self._chosen: NDArray[np.bool_] | None = None
        self._groups: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self._manifest)

    @property
    def root(self) -> str:
        """The folder of the images."""
        return self._root

    @property
    def home(self) -> Path:
        """The folder shared with the galleries of other encoders."""
        return gallery_home(self.folder)

    @property
    def place(self) -> Path:
        """What `open_gallery` finds it by."""
        return self.home

    @property
    def name(self) -> str:
        """The name for messages and for `--gallery`."""
        return str(named_by_person(self.folder))

    @property
    def index_command(self) -> str:
        """The command that updates it."""
        return index_command(self.folder, self.header)

    @property
    def made_with(self) -> str:
        """The binding of its encoder."""
        return self.header.spec

    @property
    def fingerprint(self) -> str:
        """The digest of its encoder."""
        return self.header.fingerprint

    @property
    def factory(self) -> str | None:
        """Its index as faiss's factory string."""
        return self.header.index

    @property
    def failed(self) -> int:
        """How many images could not be read when it was indexed last."""
        return self.header.failed

    def is_current(self) -> bool:
        """Whether it still stands on disk as it was opened: nobody indexed it again meanwhile.

        Raises:
            CtgiError: it is gone, damaged, or cannot be read.
        """
        header = read_header(self.folder, spec=self.header.spec)
        return header.model_copy(update={"spec": self.header.spec}) == self.header

    def is_of(self, encoder: Encoder) -> bool:
        """Whether what stands on disk now was made with this encoder. Raises as `is_current` does."""
        return read_header(self.folder, spec=encoder.spec).fingerprint == encoder.fingerprint

    @property
    def identity(self) -> dict[str, str | int]:
        """What distinguishes this gallery from others: encoder, images, captions, filter."""
        header = self.header
        identity: dict[str, str | int] = {
            "fingerprint": header.fingerprint, "count": header.count, "manifest_crc32": header.manifest_crc32,
        }  # fmt: skip
        if self._captions is not None:
            identity["captions_crc32"] = self._captions
        return identity | (self.narrowing.told() if self.narrowing else {})

    def ref(self, row: int) -> ImageRef:
        """The image of a row."""
        entry = self._manifest[row]
        return ImageRef(self._path(entry), entry.sha256)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The stored embeddings of some rows, [N, D], L2-normalized."""
        return self._some[rows].astype(np.float32)

    def refs(self) -> Iterator[ImageRef]:
        """All images in row order, streamed."""
        return map(self.ref, range(len(self)))

    def rows_of(self, sha256: str) -> list[int]:
        """Rows of the images with this content: one, several for copies, none for an image of elsewhere."""
        return self._manifest.rows_with(sha256)

    def rows_named(self, part: str) -> list[int]:
        """Rows of the images whose path within the gallery holds this text, whatever its case."""
        return self._manifest.rows_named(part)

    def check(self) -> Check:
        """Whether images were deleted or changed since indexing; of a large gallery a sample is looked at."""
        looked_at = [self._manifest[row] for row in self._looked_at()]
        found = ((self._path(entry), entry) for entry in looked_at)
        changed = (path for path, entry in found if not is_unchanged(path, entry.size, entry.mtime_ns))
        return Check(tuple(changed), len(looked_at))

    @property
    def space(self) -> Space:
        """What its embeddings are of."""
        header = self.header
        return Space(header.spec, header.fingerprint, header.dim, header.dtype, self._root)

    def parts(self) -> Iterator[Part]:
        """All of it, streamed."""
        known = self._known()
        columns = {name: known.values(name) for name in known.names if name != PATH}
        for first in range(0, len(self), PART_ROWS):
            rows = range(first, min(first + PART_ROWS, len(self)))
            entries = [entry._replace(path=self._path(entry)) for entry in map(self._manifest.__getitem__, rows)]
            values = [{name: column[row] for name, column in columns.items()} for row in rows]
            yield Part(entries, np.array(self._rows[rows.start : rows.stop]), values)

    def with_captions(self, caption_of: CaptionOf, weight: float = CAPTION_WEIGHT) -> tuple[Gallery, int]:
        """This gallery, searched by image and caption together, and how many of its images have a caption."""
        if self.encoder is None:
            return self, 0
        known = owners(((row, image.sha256) for row, image in enumerate(self.refs())), caption_of, weight)
        if not len(known.places):
            return self, 0
        firsts = (self.ref(int(row)).sha256 for row in known.places[known.firsts])
        vectors = caption_vectors((caption_of(sha256) or "" for sha256 in firsts), self.encoder)
        found = copy(self)
        rows = fused_gallery(self._rows, known, vectors, weight)
        found._rows, found._some, found._index = rows, rows, exact_index(rows)
        found._captions = known.crc32
        return found, len(known.places)

    def column_names(self) -> tuple[str, ...]:
        """What is known of its images beside their pixels."""
        return column_names(self.home)

    def _known(self) -> Columns:
        """What is known of its images, read anew where a table was taken over since."""
        place = self.home / COLUMNS
        state = place.stat().st_mtime_ns if place.exists() else None
        if self._columns is None or self._columns[0] != state:
            listing = Listing(self.header.manifest_crc32, self.header.count)
            self._columns = state, Columns(place, self._manifest.paths(), listing)
        return self._columns[1]

    def narrowed(self, where: str | None = None, group: str | None = None) -> Self:
        """This gallery with a filter before the ranking; `narrowing` says how many images pass it.

        Args:
            where: a condition of SQL over the columns; only images for which it holds are ranked.
            group: a column; of the images with the same value in it only the best is ranked.

        Raises:
            ArgumentError: not a condition over the columns, or no such column.
        """
        columns = self._known()
        found, count, ungrouped = copy(self), len(self), 0
        if where is not None:
            rows = columns.rows(where)
            found._index, found._chosen, count = self._index.narrowed(rows), np.zeros(len(self), np.bool_), len(rows)
            found._chosen[rows] = True
        if group is not None:
            values = columns.values(group)
            found._groups, ungrouped = _numbered(values), values.count(None)
        found.narrowing = Narrowing(where, group, count, ungrouped)
        return found

    def rank(self, query: NDArray[np.float32], k: int) -> tuple[Candidate, ...]:
        """The k best by a query vector [D]; equal scores keep the gallery's order."""
        rows = self._nearest(query[None], k)[0]
        scores = self._similarities(rows, query)
        order = np.lexsort((rows, -scores))
        best = order[self._first_of_groups(rows[order])][:k]
        return tuple(
            Candidate(self.ref(int(rows[i])), float(scores[i]), float(scores[i]), place + 1)
            for place, i in enumerate(best)
        )

    def rank_refined(
        self, query: NDArray[np.float32], refined: NDArray[np.float32], k: int, refinement: Refinement
    ) -> tuple[Candidate, ...]:
        """The k best by Eq. 7. One search with lam * q + (1 - lam) * q_refined finds them."""
        check_mode(refinement.mode)
        lam = np.float32(refinement.weight)
        both = np.stack([query, lam * query + (1 - lam) * refined])
        before, after = self._nearest(both, max(DEPTH, k))
        known = [row for sha256 in refinement.anchors for row in self._manifest.rows_with(sha256)]
        anchors = [row for row in known if self._chosen is None or self._chosen[row]]
        rows = np.union1d(after, np.array(anchors, np.int64))  # ascending, as the order of equal scores wants it
        scores = self._similarities(rows, query)
        fused = blend(
            scores,
            self._similarities(rows, refined),
            np.searchsorted(rows, anchors).tolist(),
            refinement.weight,
            refinement.mode,
        )
        places = self._places(before, query)
        order = np.argsort(-fused, kind="stable")
        return tuple(
            Candidate(self.ref(int(rows[i])), float(fused[i]), float(scores[i]), places.get(self._group(int(rows[i]))))
            for i in order[self._first_of_groups(rows[order])][:k]
        )

    def _path(self, entry: Entry) -> str:
        return placed(self._root, entry.path)

    def _nearest(self, queries: NDArray[np.float32], k: int) -> list[NDArray[np.int64]]:
        """Rows of the k nearest groups at least, or all there are; without groups, the k nearest rows."""
        depth = max(1, min(k, len(self)))
        while True:
            _, found = self._index.search(np.ascontiguousarray(queries, np.float32), depth)
            near = [rows[rows >= 0] for rows in found]
            if depth == len(self) or all(
                len(rows) < depth or len(self._first_of_groups(rows)) >= min(k, depth) for rows in near
            ):
                return near
            depth = min(4 * depth, len(self))

    def _similarities(self, rows: NDArray[np.int64], vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Exact cosines from the stored rows, equal for equal rows: an index may estimate them, and BLAS may round."""
        products: NDArray[np.float32] = np.einsum("ij,j->i", self._some[rows].astype(np.float32), vector)
        if not np.isfinite(products).all():
            raise DamagedGalleryError(self.folder, "an embedding is not finite", self.header)
        return products

    def _places(self, rows: NDArray[np.int64], query: NDArray[np.float32]) -> dict[int, int]:
        ranked = rows[np.lexsort((rows, -self._similarities(rows, query)))]
        return {
            self._group(int(row)): place for place, row in enumerate(ranked[self._first_of_groups(ranked)], start=1)
        }

    def _group(self, row: int) -> int:
        return row if self._groups is None else int(self._groups[row])

    def _first_of_groups(self, ranked: NDArray[np.int64]) -> NDArray[np.intp]:
        """Places in a ranking that keep the best of each group; all of them where nothing is grouped."""
        if self._groups is None:
            return np.arange(len(ranked))
        return np.sort(np.unique(self._groups[ranked], return_index=True)[1])


def _numbered(values: Sequence[Value]) -> NDArray[np.int64]:
    """The same number for the same value; an image without one is a group of its own."""
    numbers: dict[Value, int] = {}
    return np.array([~row if value is None else numbers.setdefault(value, row) for row, value in enumerate(values)])


def open_folder(home: Path, encoder: Encoder | None = None) -> FolderGallery:
    """The gallery at `home`; among those of several encoders, that of `encoder`.

    Raises:
        CtgiError: it is empty or damaged, cannot be read, or is another encoder's.
    """
    folder = gallery_for(home, encoder.fingerprint) if encoder else home
    spec = encoder.spec if encoder else ""
    if encoder and not has_header(folder):
        check_encoder(home, read_header(home, spec=spec), spec, encoder.fingerprint)
    header = read_header(folder, spec=spec)
    while True:
        try:
            return _open(folder, header, encoder)
        except DamagedGalleryError:
            header, before = read_header(folder, spec=spec), header
            if header == before:  # else it was replaced meanwhile
                raise


def _open(folder: Path, header: Header, encoder: Encoder | None) -> FolderGallery:
    if encoder is not None:
        check_encoder(folder, header, encoder.spec, encoder.fingerprint)
        header = header.model_copy(update={"spec": encoder.spec})  # the same encoder may lie elsewhere by now
    if header.count == 0:
        raise CtgiError(f"{display(str(folder))}: the gallery holds no images yet: run {index_command(folder, header)}")
    rows, manifest = open_embeddings(folder, header), Manifest(folder, header)
    some = rows if is_exact(header) else open_for_some(folder, header)
    return FolderGallery(folder, header, manifest, open_index(folder, header, some), rows, some, encoder)
