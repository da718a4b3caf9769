"""A manifest is read where its lines stand."""

import os
import random
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from ctgi.retrieval import gallery_lines, gallery_manifest
from ctgi.retrieval.checksums import spread
from ctgi.retrieval.gallery_files import lines_path, manifest_path
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


def with_blocks(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    for module in (gallery_lines, gallery_manifest):
        monkeypatch.setattr(module, "BLOCK_BYTES", size)
        monkeypatch.setattr(module, "PIECE_BLOCKS", 3)


def kept(folder: Path, entries: list[Entry]) -> Header:
    """A manifest with what is kept beside large ones."""
    header = written(folder, entries)
    lines = gallery_lines.survey(manifest_path(folder, header), header.manifest_bytes)
    assert lines.are_many
    gallery_lines.keep(lines_path(folder, header), lines)
    return header


@pytest.mark.parametrize("keeping", [written, kept])
@pytest.mark.parametrize("block", [7, 64, 250])
def test_lines_are_found_wherever_blocks_end(
    tmp_path: Path,
    entries: list[Entry],
    block: int,
    keeping: Callable[[Path, list[Entry]], Header],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_blocks(monkeypatch, block)
    manifest = Manifest(tmp_path, keeping(tmp_path, entries))
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
    with_blocks(monkeypatch, piece)
    names = ("north/a.jpg", "north/B.jpg", 'quote".jpg', "back\\slash.jpg", "Café", os.fsdecode(b"caf\xe9"), "a.jpg")
    manifest = Manifest(tmp_path, written(tmp_path, [Entry(name, "0" * 64, 1, 1) for name in names]))
    wanted = {"b": [1, 3], "CAFÉ": [4], "\udce9": [5], 'e"': [2], "k\\": [3], "\\u": [], "sha": [], "A.JPG": [0, 6]}
    assert {name: manifest.rows_named(name) for name in wanted} == wanted
    assert manifest.rows_named("") == [*range(len(names))]
    assert [*manifest.paths()] == [*names]


def test_a_line_too_few_is_damage(tmp_path: Path, entries: list[Entry]) -> None:
    header = written(tmp_path, entries)
    with pytest.raises(DamagedGalleryError, match="has changed since it was written"):
        Manifest(tmp_path, header.model_copy(update={"count": 101}))


def test_of_a_large_manifest_a_sample_is_read_and_no_changed_line_passes(
    tmp_path: Path, entries: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_blocks(monkeypatch, 64)
    header = kept(tmp_path, entries)
    path = manifest_path(tmp_path, header)
    content = path.read_bytes()
    changed = content.index(entries[50].sha256.encode())
    while changed // 64 in spread(-(-len(content) // 64)):
        changed += 64
    other = b"0" if content[changed : changed + 1] != b"0" else b"1"
    path.write_bytes(content[:changed] + other + content[changed + 1 :])
    row = content[:changed].count(b"\n")
    manifest = Manifest(tmp_path, header)
    assert [manifest[at] for at in (0, row - 9, row + 9, 99)] == [entries[at] for at in (0, row - 9, row + 9, 99)]
    uses: list[Callable[[], object]] = [
        lambda: manifest[row],
        lambda: list(manifest),
        lambda: list(manifest.paths()),
        lambda: manifest.rows_with(entries[0].sha256),
        lambda: manifest.rows_named("a"),
        lambda: Manifest(tmp_path, header, whole=True),
    ]
    for use in uses:
        with pytest.raises(DamagedGalleryError, match="has changed since it was written"):
            use()
    path.write_bytes(b"[" + content[1:])  # in a block of the sample
    with pytest.raises(DamagedGalleryError, match="has changed since it was written"):
        Manifest(tmp_path, header)
    path.write_bytes(content[:-1])
    with pytest.raises(DamagedGalleryError, match="is too short"):
        Manifest(tmp_path, header)


@pytest.mark.parametrize("wrong", [b"", b"x", b"other"])
def test_what_is_kept_beside_a_manifest_is_not_believed_where_it_is_damaged_or_of_another(
    tmp_path: Path, entries: list[Entry], wrong: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_blocks(monkeypatch, 64)
    other = lines_path(tmp_path, kept(tmp_path, [*entries[:50], *entries[51:], entries[50]])).read_bytes()
    header = kept(tmp_path, entries)
    beside = lines_path(tmp_path, header)
    content = bytearray(beside.read_bytes())
    content[len(content) // 3] ^= 1
    beside.write_bytes({b"x": bytes(content), b"other": other}.get(wrong, b""))
    assert list(Manifest(tmp_path, header)) == entries
