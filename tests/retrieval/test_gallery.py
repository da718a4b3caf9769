import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval.encoder import Encoder, load_encoder
from ctgi.retrieval.fusion import fuse
from ctgi.retrieval.gallery import Gallery, GalleryReport, build_gallery, gallery_folder, is_gallery, open_gallery
from ctgi.retrieval.gallery_names import encoder_name
from ctgi.retrieval.images import digest, read_image
from ctgi.retrieval.ranking import Refinement

SMALL = RetrieverSettings(batch_size=3)


def indexed(folder: Path, encoder: Encoder, **settings: object) -> GalleryReport:
    return build_gallery([str(folder)], folder / ".ctgi", encoder, SMALL.model_copy(update=settings))


def counts(report: GalleryReport) -> dict[str, int]:
    names = ("total", "added", "reused", "removed", "duplicates", "encoded")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def paths(gallery: Gallery) -> list[str]:
    return [Path(image.path).name for image in gallery.refs()]


def brute_force(folder: Path, encoder: Encoder, query: str) -> dict[str, float]:
    import torch

    files = sorted(folder.glob("*.png"))
    pixels = torch.stack([encoder.preprocess(read_image(str(path))) for path in files])
    scores = encoder.encode_images(pixels) @ encoder.encode_texts([query]).vectors[0]
    return {str(path): float(score) for path, score in zip(files, scores, strict=True)}


def test_a_search_ranks_as_brute_force_does(people: Path, encoder: Encoder) -> None:
    assert counts(indexed(people, encoder)) == {"total": 8, "added": 8, "encoded": 8}
    scores = brute_force(people, encoder, "a man in red")
    ranking = open_gallery(people, encoder).search("a man in red", 5)
    best = sorted(scores, key=lambda path: -scores[path])[:5]
    assert [candidate.image.path for candidate in ranking.candidates] == best
    for place, candidate in enumerate(ranking.candidates, start=1):
        assert candidate.score == candidate.score_before == pytest.approx(scores[candidate.image.path], abs=1e-5)
        assert candidate.rank_before == place
        assert candidate.image.sha256 == digest(candidate.image.path)


def test_more_than_there_is_gives_all_there_is(people: Path, encoder: Encoder) -> None:
    indexed(people, encoder)
    gallery = open_gallery(people / ".ctgi", encoder)
    assert len(gallery.search("a man", 100).candidates) == len(gallery) == 8
    assert gallery.search("red " * 80, 1).truncated_tokens == 5


@pytest.mark.parametrize("mode", ["refined", "final"])
def test_a_refined_search_is_eq_7(people: Path, encoder: Encoder, mode: str) -> None:
    indexed(people, encoder)
    gallery = open_gallery(people, encoder)
    images = list(gallery.refs())
    query, refined = "a man", "a woman in a yellow shirt"
    vectors = np.concatenate([np.fromfile(people / ".ctgi" / "embeddings-1.bin", np.float32).reshape(8, -1)])
    both = encoder.encode_texts([query, refined]).vectors @ vectors.T
    fused = fuse(both[:1], both[1:], [[3, 6]], 0.7, mode)[0]
    order = np.argsort(-fused, kind="stable")
    found = gallery.search(query, 8, Refinement(refined, (images[3].sha256, images[6].sha256), 0.7, mode)).candidates
    assert [candidate.image for candidate in found] == [images[row] for row in order]
    np.testing.assert_allclose([candidate.score for candidate in found], fused[order], atol=1e-6)
    before = np.argsort(np.argsort(-both[0], kind="stable")) + 1
    assert [candidate.rank_before for candidate in found] == before[order].tolist()
    np.testing.assert_allclose([candidate.score_before for candidate in found], both[0][order], atol=1e-6)


def test_an_anchor_below_the_depth_still_counts(
    people: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed(people, encoder)
    gallery = open_gallery(people, encoder)
    last = gallery.search("a man", 8).candidates[-1].image
    monkeypatch.setattr("ctgi.retrieval.folder_gallery.DEPTH", 2)
    found = gallery.search("a man", 2, Refinement("a man", (last.sha256,), 0.8, "final")).candidates
    assert (found[0].image, found[0].score, found[0].rank_before) == (last, 1, None)
    with pytest.raises(CtgiError, match="expected one of"):
        gallery.search("a man", 2, Refinement("a man", (), 0.8, "mean"))


def test_only_what_changed_is_encoded(people: Path, encoder: Encoder) -> None:
    indexed(people, encoder)
    assert counts(indexed(people, encoder)) == {"total": 8, "reused": 8}
    Image.new("RGB", (40, 80), "pink").save(people / "new.png")
    Image.new("RGB", (40, 80), "cyan").save(people / "0_a.png")
    (people / "1_a.png").unlink()
    os.utime(people / "2_a.png", ns=(1, 1))
    report = indexed(people, encoder)
    assert counts(report) == {"total": 8, "added": 2, "reused": 6, "removed": 1, "encoded": 2}
    gallery = open_gallery(people, encoder)
    assert sorted(paths(gallery)) == sorted(path.name for path in people.glob("*.png"))
    scores = brute_force(people, encoder, "pink")
    for candidate in gallery.search("pink", 8).candidates:
        assert candidate.score == pytest.approx(scores[candidate.image.path], abs=1e-5)
    assert counts(indexed(people, encoder)) == {"total": 8, "reused": 8}
    assert len(list((people / ".ctgi").glob("embeddings-*"))) == 1


def test_the_same_content_is_encoded_once_and_listed_under_each_name(people: Path, encoder: Encoder) -> None:
    shutil.copy(people / "0_a.png", people / "again.png")
    assert counts(indexed(people, encoder)) == {"total": 9, "added": 9, "duplicates": 1, "encoded": 8}
    shutil.copy(people / "0_a.png", people / "later.png")
    assert counts(indexed(people, encoder)) == {"total": 10, "added": 1, "reused": 9, "duplicates": 2}
    found = open_gallery(people, encoder).search("a man", 10).candidates
    scores = {Path(c.image.path).name: c.score for c in found}
    assert scores["0_a.png"] == scores["again.png"] == scores["later.png"]


def test_images_are_found_by_content_and_by_name(people: Path, encoder: Encoder) -> None:
    shutil.copy(people / "0_a.png", people / "9_Copy.png")
    indexed(people, encoder)
    gallery = open_gallery(people, encoder)
    assert gallery.rows_of(digest(str(people / "0_a.png"))) == [0, 8]
    for row, image in enumerate(gallery.refs()):
        assert row in gallery.rows_of(image.sha256)
    for nobody in ("", "0" * 64, "f" * 64, "é", gallery.ref(0).sha256[:63]):
        assert gallery.rows_of(nobody) == []
    assert gallery.rows_named("_COPY") == [8]
    assert gallery.rows_named("") == list(range(9))


def test_unusable_images_are_listed_and_the_rest_indexed(people: Path, encoder: Encoder) -> None:
    (people / "empty.png").touch()
    (people / "text.png").write_text("no image")
    report = indexed(people, encoder)
    assert report.total == 8
    assert [(Path(path).name, reason) for path, reason in report.failed] == [
        ("empty.png", "the file is empty (0 bytes)"),
        ("text.png", "not an image that can be read"),
    ]


def test_where_nothing_is_usable_nothing_is_left(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "a.png").touch()
    assert len(indexed(tmp_path, encoder).failed) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    (tmp_path / "none").mkdir()
    with pytest.raises(CtgiError, match="no images in this folder"):
        indexed(tmp_path / "none", encoder)
    assert not list((tmp_path / "none").iterdir())


def test_progress_counts_what_is_to_do(people: Path, encoder: Encoder) -> None:
    seen: list[tuple[int, int | None]] = []
    build_gallery([str(people)], people / ".ctgi", encoder, SMALL, progress=lambda *at: seen.append(at))
    assert seen == [(0, 8), (3, 8), (6, 8), (8, 8)]


def test_a_gallery_moves_with_its_images(people: Path, encoder: Encoder, tmp_path: Path) -> None:
    indexed(people, encoder)
    people.rename(tmp_path / "moved")
    assert not open_gallery(tmp_path / "moved", encoder).check().changed
    assert counts(indexed(tmp_path / "moved", encoder)) == {"total": 8, "reused": 8}


def test_a_gallery_of_files_from_several_places(people: Path, encoder: Encoder, tmp_path: Path) -> None:
    given = [str(people / "0_?.png"), str(people / "3_b.png")]
    report = build_gallery(given, tmp_path / "gallery", encoder, SMALL)
    gallery = open_gallery(tmp_path / "gallery", encoder)
    assert report.total == 3
    assert not gallery.check().changed
    assert [image.path for image in gallery.refs()] == [str(people / n) for n in ("0_a.png", "0_b.png", "3_b.png")]


def test_where_a_gallery_goes_by_default(people: Path, tmp_path: Path) -> None:
    assert gallery_folder([str(people)]) == people / ".ctgi"
    assert not is_gallery(people)
    with pytest.raises(CtgiError, match="--out FOLDER"):
        gallery_folder([str(people / "*.png")])
    with pytest.raises(CtgiError, match="no such file or folder"):
        gallery_folder([str(tmp_path / "missing")])


def test_images_deleted_or_changed_since_are_told(people: Path, encoder: Encoder) -> None:
    indexed(people, encoder)
    (people / "0_a.png").unlink()
    Image.new("RGB", (20, 20)).save(people / "1_b.png")
    assert open_gallery(people, encoder).check().changed == (str(people / "0_a.png"), str(people / "1_b.png"))
    indexed(people, encoder)
    assert open_gallery(people, encoder).check().changed == ()


def test_of_a_large_gallery_some_images_are_looked_at(
    people: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctgi.retrieval.gallery.LOOKED_AT", 2)
    indexed(people, encoder)
    (people / "0_a.png").unlink()
    check = open_gallery(people, encoder).check()
    assert (check.changed, check.looked_at) == ((str(people / "0_a.png"),), 2)


def test_names_that_are_not_utf8_survive(people: Path, encoder: Encoder) -> None:
    name = os.fsdecode(b"caf\xe9 '<b>\".png")
    (people / "0_a.png").rename(people / name)
    indexed(people, encoder)
    assert name in paths(open_gallery(people, encoder))
    assert counts(indexed(people, encoder)) == {"total": 8, "reused": 8}


def test_each_encoder_has_a_gallery_of_its_own(people: Path, encoder: Encoder, tiny_clip: Path) -> None:
    indexed(people, encoder)
    first = open_gallery(people, encoder).search("a man", 8)
    other = load_encoder(f"open_clip:local-dir:{tiny_clip}", RetrieverSettings(image_size=(32, 32)))
    message = f"made with {encoder.spec} .*{encoder.fingerprint[:12]}.*{other.fingerprint[:12]}.*ctgi index .*--bind"
    with pytest.raises(CtgiError, match=message):
        open_gallery(people, other)
    assert (is_gallery(people, encoder), is_gallery(people, other)) == (True, False)
    report = indexed(people, other)
    assert report.folder.parent == people / ".ctgi"
    assert counts(report) == {"total": 8, "added": 8, "encoded": 8}
    assert counts(indexed(people, other)) == {"total": 8, "reused": 8}
    assert open_gallery(people, other).header.fingerprint == other.fingerprint
    assert open_gallery(people, encoder).search("a man", 8) == first
    assert open_gallery(people, other).name == open_gallery(people, encoder).name == str(people)


@pytest.mark.parametrize("index", ["HNSW32", "IVF4,Flat", "SQfp16", "IDMap,Flat", "IDMap2,HNSW8", "PCA4,Flat,RFlat"])
def test_any_faiss_index_finds_as_many_as_there_are(people: Path, encoder: Encoder, index: str) -> None:
    indexed(people, encoder)
    exact = open_gallery(people, encoder).search("a man", 8).candidates
    assert counts(indexed(people, encoder, index=index)) == {"total": 8, "reused": 8}
    gallery = open_gallery(people, encoder)
    assert gallery.search("a man", 8).candidates == exact  # an inverted list alone holds fewer
    assert gallery.search("a man", 8, Refinement("a man", (), 0.8, "refined")).candidates[0].image == exact[0].image


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("Foo", "faiss cannot make it"),
        ("LSH", "faiss cannot make it"),
        ("PQ8np", "8 images are too few to train it"),  # np: without a training that takes ten times as long
        ("PQ7", "for 64 dimensions"),
        ("HNSW0", "faiss crashes on it"),
        ("IVF0,Flat", "faiss cannot search it"),
        ("NSG8,Flat", "faiss cannot make it of 8 images"),
        ("PCA999,Flat", "faiss cannot make it of"),
        ("ZnLattice2x4_3", "faiss cannot use it: use another factory string"),
        ("Flat\0", "not a faiss factory string"),
    ],
)
def test_an_index_that_cannot_be_made_says_so(people: Path, encoder: Encoder, index: str, message: str) -> None:
    with pytest.raises(CtgiError, match=message):
        indexed(people, encoder, index=index)
    known_too_late = index in ("PQ8np", "NSG8,Flat")
    assert (people / ".ctgi").exists() == known_too_late
    assert indexed(people, encoder).encoded == (0 if known_too_late else 8)  # what was encoded is kept


def test_the_cure_binds_the_encoder_as_it_is_called_now(people: Path, encoder: Encoder) -> None:
    indexed(people, encoder)
    header = people / ".ctgi" / "gallery.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"spec": "open_clip:local-dir:/gone"}))
    cure = open_gallery(people, encoder).index_command
    assert cure == f"ctgi index {people} --bind search_gallery={encoder.spec}"


def test_the_cure_need_not_bind_the_embedded_encoder(people: Path) -> None:
    embedded = load_encoder("embedded", SMALL)
    indexed(people, embedded)
    assert open_gallery(people, embedded).index_command == f"ctgi index {people}"
    assert encoder_name(embedded.spec) == "embedded"


def test_rows_that_an_index_names_but_nobody_has_are_not_found(people: Path, encoder: Encoder) -> None:
    import faiss

    indexed(people, encoder, index="IDMap,Flat")
    exact = open_gallery(people, encoder).search("a man", 8).candidates
    header = people / ".ctgi" / "gallery.json"
    values = json.loads(header.read_text()) | {"index_crc32": None}
    header.write_text(json.dumps(values))
    foreign = faiss.index_factory(64, "IDMap,Flat", faiss.METRIC_INNER_PRODUCT)
    rows = np.eye(64, dtype=np.float32)[:8]
    foreign.add_with_ids(rows, np.arange(8) + 10**9)
    faiss.write_index(foreign, str(next((people / ".ctgi").glob("*.faiss"))))
    assert open_gallery(people, encoder).search("a man", 8).candidates == exact


def test_half_precision_storage(people: Path, encoder: Encoder) -> None:
    indexed(people, encoder)
    exact = open_gallery(people, encoder).search("a man", 8).candidates
    with pytest.raises(CtgiError, match="stored as float32, but the configuration says float16"):
        indexed(people, encoder, storage="float16")
    settings = RetrieverSettings(storage="float16")
    build_gallery([str(people)], people / ".ctgi", encoder, settings, rebuild=True)
    half = open_gallery(people, encoder).search("a man", 8).candidates
    np.testing.assert_allclose([c.score for c in half], [c.score for c in exact], atol=1e-3)
    assert [file.stat().st_size for file in (people / ".ctgi").glob("embeddings-*")] == [8 * 64 * 2]


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells how a file is mapped")
@pytest.mark.parametrize("index", ["HNSW32", "Flat"])
def test_rows_that_an_index_picks_are_read_without_their_neighbors(people: Path, encoder: Encoder, index: str) -> None:
    indexed(people, encoder, index=index)
    gallery = open_gallery(people, encoder)
    gallery.search("a man", 8)
    told = Path("/proc/self/smaps").read_text().split(f"{people}/.ctgi/embeddings-1.bin")[1:]
    flags = [one.partition("VmFlags:")[2].partition("\n")[0].split() for one in told]
    assert flags
    assert any("rr" in one for one in flags) == (index != "Flat")


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "noise": b"\xa5" * len(content), "empty": b""}[how])


@pytest.mark.parametrize("how", ["cut", "noise", "empty"])
@pytest.mark.parametrize("name", ["gallery.json", "manifest-1.jsonl", "embeddings-1.bin", "index-1-8-HNSW32.faiss"])
def test_damage_is_told_and_indexing_again_mends_it(people: Path, encoder: Encoder, name: str, how: str) -> None:
    indexed(people, encoder, index="HNSW32")
    whole = open_gallery(people, encoder).search("a man", 8)
    damage(people / ".ctgi" / name, how)
    with pytest.raises(CtgiError, match=r"the gallery is damaged .*run ctgi index "):
        open_gallery(people, encoder)
    report = indexed(people, encoder, index="HNSW32")
    assert bool(report.rebuilt) == (not name.startswith("index"))
    assert open_gallery(people, encoder).search("a man", 8) == whole


def test_a_gallery_of_a_later_version_is_left_alone(people: Path, encoder: Encoder) -> None:
    indexed(people, encoder)
    header = people / ".ctgi" / "gallery.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"format": 2}))
    for use in (open_gallery, indexed):
        with pytest.raises(CtgiError, match="format 2, but this ctgi reads format 1"):
            use(people, encoder)


def test_no_gallery_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CtgiError, match="no gallery here: make one with ctgi index"):
        open_gallery(tmp_path)


def test_reading_queries_needs_an_encoder_but_vectors_do_not(people: Path, encoder: Encoder) -> None:
    indexed(people, encoder)
    gallery = open_gallery(people)
    vector = encoder.encode_texts(["a man"]).vectors[0]
    assert gallery.rank(vector, 4) == open_gallery(people, encoder).search("a man", 4).candidates
    with pytest.raises(CtgiError, match="without an encoder"):
        gallery.search("a man", 4)
