"""Galleries that are copied from kind to kind find the same, and know the same of their images."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval.gallery import Gallery, build_gallery, kind_of, open_gallery
from ctgi.retrieval.npy_parts import UnknownSpaceError
from ctgi.retrieval.parts import Space
from ctgi.runs.copy_gallery import CopyReport, copy_gallery
from ctgi.runs.events import Logged
from tests.support.color_encoder import ColorEncoder

ENCODER = ColorEncoder()


def unknown() -> Space:
    raise UnknownSpaceError("which encoder?")


def copied(source: object, target: object) -> CopyReport:
    return copy_gallery(str(source), str(target), unknown, Logged())


def told(gallery: Gallery) -> list[tuple[str, float, int | None]]:
    candidates = gallery.narrowed("camera = 'north'").search("a man in red", 8).candidates
    return [(one.image.path, round(one.score, 6), one.rank_before) for one in candidates]


@pytest.fixture(params=["float32", "float16"])
def folder(request: pytest.FixtureRequest, people: Path) -> Path:
    build_gallery([str(people)], people / ".ctgi", ENCODER, RetrieverSettings(storage=request.param))
    names = sorted(path.name for path in people.glob("*.*g"))
    lines = [{"path": name, "camera": "north" if row % 2 else "south", "track": row} for row, name in enumerate(names)]
    (people / "seen.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[:6]))
    kind_of(people).update_columns(people / ".ctgi", [people / "seen.jsonl"])
    return people


def test_from_kind_to_kind_and_back(folder: Path, tmp_path: Path) -> None:
    places = [f"lance:{tmp_path}/db", f"npy:{tmp_path}/npy", f"lance:{tmp_path}/again", tmp_path / "folder"]
    wanted = told(open_gallery(folder, ENCODER))
    assert len(wanted) == 3
    for source, target in zip([folder, *places], places, strict=False):
        assert copied(source, target) == CopyReport(8, ("camera", "track"), ())
        if not str(target).startswith("npy:"):
            gallery = open_gallery(target, ENCODER)
            assert told(gallery) == wanted
            assert gallery.check().changed == ()
            assert kind_of(target).damage_of(Path(target)) == []
            assert len(gallery.narrowed("track >= 4").search("a man", 8).candidates) == 2
    with pytest.raises(CtgiError, match="a gallery is there already"):
        copied(places[0], places[3])
    with pytest.raises(CtgiError, match="not empty"):
        copied(places[0], places[1])
    assert copied(folder, places[0]).images == len(open_gallery(str(places[0]))) == 8


def test_embeddings_of_clip_retrieval(people: Path, tmp_path: Path) -> None:
    build_gallery([str(people)], people / ".ctgi", ENCODER, RetrieverSettings())
    gallery = open_gallery(people, ENCODER)
    paths = [image.path for image in gallery.refs()]
    for name in ("img_emb", "metadata"):
        (tmp_path / name).mkdir()
    for number, rows in enumerate((range(5), range(5, 8))):
        np.save(tmp_path / f"img_emb/img_emb_{number}.npy", 3 * gallery.vectors(np.array(rows)).astype(np.float16))
        table = {"image_path": [paths[row] for row in rows], "caption": [f"person {row}" for row in rows]}
        pq.write_table(pa.table(table), tmp_path / f"metadata/metadata_{number}.parquet")
    Path(paths[6]).unlink()
    with pytest.raises(UnknownSpaceError):
        copied(f"npy:{tmp_path}", f"lance:{tmp_path}/db")
    space = Space(ENCODER.spec, ENCODER.fingerprint, ENCODER.dim, "float32", str(people))
    report = copy_gallery(f"npy:{tmp_path}", f"lance:{tmp_path}/db", lambda: space, Logged())
    assert report == CopyReport(7, ("caption",), ((paths[6], "no such file"),))
    found = open_gallery(f"lance:{tmp_path}/db", ENCODER)
    wanted = [one.image for one in gallery.search("a man in red", 8).candidates if one.image.path != paths[6]]
    assert [one.image for one in found.search("a man in red", 8).candidates] == wanted
    assert len(found.narrowed("caption = 'person 3'").search("a man", 8).candidates) == 1


@pytest.mark.parametrize("fault", ["gone", "short", "torn", "other"])
def test_damaged_embeddings_are_named(people: Path, tmp_path: Path, fault: str) -> None:
    build_gallery([str(people)], people / ".ctgi", ENCODER, RetrieverSettings())
    copied(people, f"npy:{tmp_path}/npy")
    rows, table = tmp_path / "npy/img_emb/img_emb_0.npy", tmp_path / "npy/metadata/metadata_0.parquet"
    if fault == "gone":
        table.unlink()
    elif fault == "short":
        np.save(rows, np.load(rows)[:3])
    else:
        (rows if fault == "torn" else table).write_bytes(b"torn")
    with pytest.raises(CtgiError, match=r"^\S*npy(/img_emb/img_emb_0.npy|/metadata/metadata_0.parquet)?: "):
        copied(f"npy:{tmp_path}/npy", f"lance:{tmp_path}/db")
