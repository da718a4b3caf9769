"""A manifest is read where its lines stand."""

import os
import random
import zlib
from hashlib import sha256
from pathlib import Path

import pytest

from ctgi.retrieval import gallery_manifest
from ctgi.retrieval.gallery_files import manifest_path
from ctgi.retrieval.gallery_header import Header
from ctgi.retrieval.gallery_manifest import Entry, Manifest, format_line
from ctgi.retrieval.gallery_names import DamagedGalleryError


def written(folder: Path, entries: list[Entry]) -> Header:
    content = b"".join(map(format_line, entries))
    header = Header(
        spec="", fingerprint="", dim=8, dtype="float16", root=".", index="Flat", count=len(entries),
        manifest_bytes=len(content), manifest_crc32=zlib.crc32(content),
    )  # fmt: skip
    manifest_path(folder, header).write_bytes(content)
    return header


@pytest.fixture
def entries() -> list[Entry]:
    chosen = random.Random(0)
    contents = [sha256(str(number % 90).encode()).hexdigest() for number in range(100)]
    return [Entry("a\n" * chosen.randrange(1, 200), content, row + 1, -row) for row, content in enumerate(contents)]


@pytest.mark.parametrize("block", [1, 64, 1000, 2**16])
def test_lines_are_found_wherever_blocks_end(
    tmp_path: Path, entries: list[Entry], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_manifest, "_BLOCK", block)
    monkeypatch.setattr(gallery_manifest, "_PIECE", 3 * block)
    manifest = Manifest(tmp_path, written(tmp_path, entries))
    assert len(manifest) == len(list(manifest)) == 100
    assert list(manifest) == entries == [manifest[row] for row in range(100)]
    assert [manifest[row] for row in (99, 0, 50)] == [entries[row] for row in (99, 0, 50)]
    for row in (-1, 100):
        with pytest.raises(IndexError):
            manifest[row]
    assert manifest.rows_with(entries[3].sha256) == [3, 93]
    assert manifest.rows_with(entries[50].sha256) == [50]
    assert manifest.rows_with(entries[3].sha256[:16] + "0" * 48) == []  # starts like another


@pytest.mark.parametrize("piece", [1, 100, 2**22])
def test_names_are_found_whatever_their_letters(tmp_path: Path, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery_manifest, "_PIECE", piece)
    names = ("north/a.jpg", "north/B.jpg", 'quote".jpg', "back\\slash.jpg", "Café", os.fsdecode(b"caf\xe9"), "a.jpg")
    manifest = Manifest(tmp_path, written(tmp_path, [Entry(name, "0" * 64, 1, 1) for name in names]))
    wanted = {"b": [1, 3], "CAFÉ": [4], "\udce9": [5], 'e"': [2], "k\\": [3], "\\u": [], "sha": [], "A.JPG": [0, 6]}
    assert {name: manifest.rows_named(name) for name in wanted} == wanted
    assert manifest.rows_named("") == [*range(len(names))]


def test_a_line_too_few_is_damage(tmp_path: Path, entries: list[Entry]) -> None:
    header = written(tmp_path, entries)
    with pytest.raises(DamagedGalleryError, match="has changed since it was written"):
        Manifest(tmp_path, header.model_copy(update={"count": 101}))
