"""Places of images and lists of paths in temporary files: what is found, and that they stay out of memory."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ctgi.places import Places, key_of
from ctgi.retrieval.finding import find_images
from ctgi.retrieval.gallery_header import Header
from ctgi.retrieval.gallery_manifest import Entry
from ctgi.retrieval.gallery_writer import GalleryWriter
from ctgi.runs.captions_file import open_captions
from ctgi.spool import Spool

MANY = 4000
LEAST = 400_000
"""Bytes that anything takes, however short."""


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def peak_per_record() -> float:
    return (tracemalloc.get_traced_memory()[1] - LEAST) / MANY


def test_the_last_place_counts() -> None:
    places = Places([(1, "a", "x"), (2, "b", "x"), (3, "a", "y")])
    assert places.of_path("a") == (3, key_of("y"))
    assert [places.with_content(content) for content in "xyz"] == [2, 3, None]
    places.add([(7, "c", "x")])
    assert places.with_content("x") == 7
    assert places.of_path("d") is None
    assert (places.paths(), places.contents()) == (3, 2)


def test_a_spool_gives_back_what_was_put_in() -> None:
    items = [("ä" * number, number) for number in range(MANY)]
    spool = Spool(iter(items))
    assert (len(spool), spool[17], [*spool]) == (MANY, items[17], items)


@pytest.mark.usefixtures("traced")
def test_a_captions_file_takes_little_memory_for_a_record(tmp_path: Path) -> None:
    out = tmp_path / "captions.jsonl"
    records = ({"path": f"/people/{n:0100}.jpg", "sha256": f"{n:064x}", "caption": "a man"} for n in range(MANY))
    with out.open("w") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    with open_captions(out) as captions:
        assert captions.holds(f"/people/{7:0100}.jpg", f"{7:064x}")
        assert peak_per_record() < 20


@pytest.mark.usefixtures("traced")
def test_a_gallery_that_is_written_takes_little_memory_for_an_image(tmp_path: Path) -> None:
    header = Header(spec="made-up", fingerprint="made-up", dim=1, dtype="float32", root="..", index="Flat")
    writer = GalleryWriter(tmp_path, header)
    for start in range(0, MANY, 100):
        numbers = range(start, start + 100)
        writer.append([Entry(f"{n:0100}.jpg", f"{n:064x}", 1, 1) for n in numbers], np.ones((100, 1)))
    assert writer.row_of(f"{7:064x}") == 7
    writer.close()
    assert peak_per_record() < 40


@pytest.mark.usefixtures("traced")
def test_a_list_of_images_takes_little_memory_for_a_path(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number:0100}.jpg").touch()
    spool = Spool(path for _ in range(MANY // 100) for path in find_images([str(tmp_path)]))
    assert len(spool) == MANY
    assert peak_per_record() < 40
