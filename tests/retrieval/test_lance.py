"""Galleries on LanceDB: the same results as the faiss folder's, rows by path, an encoder that fits."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval.gallery import Gallery, GalleryReport, build_gallery, open_gallery
from ctgi.retrieval.images import read_image
from ctgi.retrieval.ranking import Refinement
from tests.support.color_encoder import ColorEncoder
from tests.support.storage import save_tar

ENCODER = ColorEncoder()
SETTINGS = RetrieverSettings(batch_size=3)


def built(people: Path, out: Path, settings: RetrieverSettings = SETTINGS) -> GalleryReport:
    return build_gallery([str(people)], f"lance:{out}", ENCODER, settings)


def found(gallery: Gallery, k: int = 8, refinement: Refinement | None = None) -> list[tuple[str, float, int | None]]:
    candidates = gallery.search("a man in red", k, refinement).candidates
    return [(one.image.path, round(one.score, 6), one.rank_before) for one in candidates]


@pytest.fixture
def both(people: Path, tmp_path: Path) -> tuple[Gallery, Gallery]:
    build_gallery([str(people)], people / ".ctgi", ENCODER, SETTINGS)
    built(people, tmp_path / "db")
    return open_gallery(people, ENCODER), open_gallery(f"lance:{tmp_path}/db", ENCODER)


def test_it_finds_what_a_folder_finds(both: tuple[Gallery, Gallery]) -> None:
    folder, lance = both
    assert len(lance) == len(folder) == 8
    assert found(lance) == found(folder)
    assert found(lance, 3) == found(folder, 3)
    assert {image.path for image in lance.refs()} == {image.path for image in folder.refs()}
    assert lance.root == folder.root
    assert lance.check().changed == ()


def test_of_a_large_gallery_some_images_are_looked_at(
    both: tuple[Gallery, Gallery], people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctgi.retrieval.gallery.LOOKED_AT", 2)
    built(people, people.parent / "db")  # rows are deleted and added: some have other offsets
    first, middle = (both[1].ref(row).path for row in (0, 4))
    for name in (first, middle):
        Path(name).unlink()
    check = both[1].check()
    assert (check.changed, check.looked_at) == ((first, middle), 2)


def test_images_in_an_archive_are_kept_by_reference(people: Path, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in sorted(people.iterdir())}
    shard, place = save_tar(tmp_path / "people.tar", files), f"lance:{tmp_path}/db"
    assert build_gallery([str(shard)], place, ENCODER, SETTINGS).total == 8
    assert build_gallery([str(shard)], place, ENCODER, SETTINGS).reused == 8
    gallery = open_gallery(place, ENCODER)
    assert {read_image(image.path).size for image in gallery.refs()} == {(48, 96)}
    assert gallery.check().changed == ()
    shard.write_bytes(shard.read_bytes()[:2000])
    damaged = build_gallery([str(shard)], place, ENCODER, SETTINGS)
    assert (damaged.total, damaged.removed, damaged.failed[-1][0]) == (8, 0, str(shard))
    save_tar(shard, dict([*files.items()][:3]))
    fewer = build_gallery([str(shard)], place, ENCODER, SETTINGS)
    assert (fewer.total, fewer.removed) == (3, 5)


@pytest.mark.parametrize("mode", ["refined", "final"])
def test_eq_7_with_anchors(both: tuple[Gallery, Gallery], mode: str) -> None:
    folder, lance = both
    worst = found(folder)[-1][0]
    anchor = next(image.sha256 for image in folder.refs() if image.path == worst)
    refinement = Refinement("a woman in yellow", (anchor,), 0.6, mode)
    assert found(lance, 5, refinement) == found(folder, 5, refinement)


def test_indexing_again_reads_only_what_is_new(people: Path, tmp_path: Path) -> None:
    first = built(people, tmp_path / "db")
    assert (first.total, first.added, first.encoded, first.folder) == (8, 8, 8, f"lance:{tmp_path}/db")
    images = sorted(people.glob("*.*g"))
    images[0].unlink()
    shutil.copy(images[1], people / "copy.png")
    shutil.copy(images[2], images[3])
    again = built(people, tmp_path / "db")
    assert (again.total, again.added, again.reused, again.removed) == (8, 2, 6, 1)
    assert (again.encoded, again.duplicates, again.failed) == (0, 2, ())
    assert built(people, tmp_path / "db").reused == 8
    assert open_gallery(f"lance:{tmp_path}/db").check().changed == ()


def test_rows_of_other_folders_stay(people: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(people, other)
    built(people, tmp_path / "db")
    assert built(other, tmp_path / "db").total == 16
    sorted(other.glob("*.*g"))[0].unlink()
    assert built(people, tmp_path / "db").removed == 0
    assert built(other, tmp_path / "db").removed == 1
    paths = {Path(image.path) for image in open_gallery(f"lance:{tmp_path}/db").refs()}
    assert paths == {*people.glob("*.*g"), *other.glob("*.*g")}


def test_another_encoder_is_refused(people: Path, tmp_path: Path) -> None:
    class Other(ColorEncoder):
        spec, fingerprint = "double:other", "others"

    built(people, tmp_path / "db")
    for refused in (
        lambda: open_gallery(f"lance:{tmp_path}/db", Other()),
        lambda: build_gallery([str(people)], f"lance:{tmp_path}/db", Other(), SETTINGS),
    ):
        with pytest.raises(
            CtgiError, match=r"made with double:colors \(fingerprint colors\), opened with double:other"
        ):
            refused()


def test_rows_keep_the_precision_that_is_set(people: Path, tmp_path: Path) -> None:
    half = SETTINGS.model_copy(update={"storage": "float16"})
    built(people, tmp_path / "db", half)
    folder = build_gallery([str(people)], people / ".ctgi", ENCODER, half)
    assert found(open_gallery(f"lance:{tmp_path}/db", ENCODER)) == found(open_gallery(folder.folder, ENCODER))
    with pytest.raises(CtgiError, match="stored as float16, but the configuration says float32"):
        built(people, tmp_path / "db")
    assert build_gallery([str(people)], f"lance:{tmp_path}/db", ENCODER, SETTINGS, rebuild=True).total == 8


def test_where_there_is_none(people: Path, tmp_path: Path) -> None:
    with pytest.raises(CtgiError, match="no gallery here: make one with ctgi index IMAGES --out lance:"):
        open_gallery(f"lance:{tmp_path}/db", ENCODER)
    assert not (tmp_path / "db").exists()
    with pytest.raises(CtgiError, match="is for faiss"):
        built(people, tmp_path / "db", SETTINGS.model_copy(update={"index": "HNSW32"}))


def test_a_row_is_found_again(both: tuple[Gallery, Gallery]) -> None:
    lance = both[1]
    for row, image in enumerate(lance.refs()):
        assert lance.ref(row) == image
        assert lance.rows_of(image.sha256) == [row]
        assert lance.rows_named(Path(image.path).name.upper()) == [row]
        assert np.allclose(lance.vectors(np.array([row])), lance.vectors(np.arange(8))[row])
