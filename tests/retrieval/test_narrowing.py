"""A filter before the ranking, and one result per group: exact, with refinements and anchors."""

from pathlib import Path

import numpy as np
import pytest

from ctgi.config import RetrieverSettings
from ctgi.errors import ArgumentError
from ctgi.retrieval.columns import update_columns
from ctgi.retrieval.encoder import Encoder
from ctgi.retrieval.gallery import Gallery, build_gallery, open_gallery
from ctgi.retrieval.ranking import Refinement
from ctgi.retrieval.subset import Subset

TRACKS = ("one", "two", "one", None, "two", "one", None, "three")


@pytest.fixture
def gallery(people: Path, encoder: Encoder) -> Gallery:
    """Eight images, each with a camera and most of them with a track."""
    build_gallery([str(people)], people / ".ctgi", encoder, RetrieverSettings(batch_size=3))
    opened = open_gallery(people, encoder)
    names = [Path(image.path).name for image in opened.refs()]
    lines = [f"{name},{row % 2},{TRACKS[row] or ''}\n" for row, name in enumerate(names)]
    (people / "seen.csv").write_text("path,camera,track\n" + "".join(lines))
    update_columns(opened.home, names, [people / "seen.csv"], people)
    return opened


def order(gallery: Gallery, k: int = 8, refinement: Refinement | None = None) -> list[int]:
    rows = {image.path: row for row, image in enumerate(gallery.refs())}
    return [rows[found.image.path] for found in gallery.search("a man in red", k, refinement).candidates]


def test_a_filter_leaves_the_order_of_the_rest(gallery: Gallery) -> None:
    even = gallery.narrowed("camera = 0")
    assert order(even) == [row for row in order(gallery) if row % 2 == 0]
    assert order(even, 2) == order(even)[:2]
    assert even.narrowing is not None
    assert even.narrowing.images == 4
    assert [found.rank_before for found in even.search("a man in red", 8).candidates] == [1, 2, 3, 4]
    assert even.identity == gallery.identity | {"where": "camera = 0"}
    assert order(gallery.narrowed("camera = 9")) == []


def test_of_a_group_the_best_is_ranked(gallery: Gallery) -> None:
    tracks = gallery.narrowed(group="track")
    seen: set[str | None] = set()
    best = []
    for row in order(gallery):
        if TRACKS[row] is None or TRACKS[row] not in seen:
            best.append(row)
            seen.add(TRACKS[row])
    assert order(tracks) == best
    assert len(best) == 5
    assert order(tracks, 3) == best[:3]
    assert [found.rank_before for found in tracks.search("a man in red", 8).candidates] == [1, 2, 3, 4, 5]
    both = gallery.narrowed("track is not null", "track")
    assert order(both) == [row for row in best if TRACKS[row] is not None]


@pytest.mark.parametrize("mode", ["refined", "final"])
def test_eq_7_counts_only_what_passes(gallery: Gallery, mode: str) -> None:
    images = list(gallery.refs())
    inside, outside = images[2], images[3]
    refinement = Refinement("a woman in yellow", (inside.sha256, outside.sha256), 0.6, mode)
    even = gallery.narrowed("camera = 0")
    wanted = [row for row in order(gallery, 8, refinement) if row % 2 == 0]
    assert order(even, 8, refinement) == wanted
    tracks = gallery.narrowed(group="track").search("a man in red", 8, refinement).candidates
    ranks = [found.rank_before for found in tracks]
    assert sorted(rank for rank in ranks if rank) == [1, 2, 3, 4, 5]


def test_a_column_that_is_not_there_is_named(gallery: Gallery) -> None:
    with pytest.raises(ArgumentError, match="no column trak; did you mean track"):
        gallery.narrowed(group="trak")


@pytest.mark.parametrize("chosen", [0, 3, 150, 1000])
def test_a_subset_is_searched_exactly(chosen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctgi.retrieval.subset._CHUNK_ROWS", 64)
    random = np.random.default_rng(0)
    rows = random.normal(size=(1000, 16)).astype(np.float16)
    picked = np.sort(random.choice(1000, chosen, replace=False))
    queries = random.normal(size=(3, 16)).astype(np.float32)
    scores, found = Subset(rows, picked).search(queries, 20)
    assert found.shape == scores.shape == (3, 20)
    products = queries @ rows[picked].astype(np.float32).T
    for query in range(3):
        best = picked[np.argsort(-products[query], kind="stable")[:20]]
        assert found[query][: len(best)].tolist() == best.tolist()
        assert (found[query][len(best) :] == -1).all()
