"""What is on disk is checked before it is used: other types, flipped bits, files that cannot be read just now."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ctgi.config import RetrieverSettings
from ctgi.errors import CtgiError
from ctgi.retrieval import checksums, gallery_lines, gallery_manifest
from ctgi.retrieval.gallery import GalleryReport, build_gallery, open_gallery
from ctgi.retrieval.gallery_check import damage_of
from ctgi.retrieval.gallery_header import UnreadableError
from ctgi.retrieval.gallery_names import DamagedGalleryError
from tests.support.color_encoder import ColorEncoder

SMALL = RetrieverSettings(batch_size=4)
WRONG: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    float("nan"),
    2**63,
    2**200,
    "",
    "x",
    "\0",
    "\ud800",
    "float16",
    2**40,
    [],
    [[]],
    {},
    "../..",
    "9" * 5000,
]


@pytest.fixture
def encoder() -> ColorEncoder:
    return ColorEncoder()


def index(folder: Path, encoder: ColorEncoder) -> GalleryReport:
    return build_gallery([str(folder)], folder / ".ctgi", encoder, SMALL)


def search_or_error(folder: Path, encoder: ColorEncoder) -> None:
    try:
        open_gallery(folder, encoder).search("a man", 8)
    except CtgiError:
        return


def mend(folder: Path, encoder: ColorEncoder) -> None:
    """Indexing mends whatever was done to the files, and searching works after it."""
    assert index(folder, encoder).total == 8
    assert len(open_gallery(folder, encoder).search("a man", 8).candidates) == 8


def fields(folder: Path) -> list[str]:
    return list(json.loads((folder / ".ctgi" / "gallery.json").read_text()))


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: repr(value)[:12])
def test_no_value_in_gallery_json_is_more_than_damage(people: Path, encoder: ColorEncoder, wrong: Any) -> None:
    index(people, encoder)
    header = people / ".ctgi" / "gallery.json"
    for name in fields(people):
        if name == "format" and isinstance(wrong, int) and wrong > 1:
            continue  # a later format, which is left alone
        header.write_text(json.dumps(json.loads(header.read_text()) | {name: wrong}))
        search_or_error(people, encoder)
        mend(people, encoder)


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff\xfe", b"[1, 2]", b'"text"', b"{}", b'{"format": 1}'])
def test_no_content_of_gallery_json_is_more_than_damage(people: Path, encoder: ColorEncoder, content: bytes) -> None:
    index(people, encoder)
    (people / ".ctgi" / "gallery.json").write_bytes(content)
    with pytest.raises(DamagedGalleryError):
        open_gallery(people, encoder)
    mend(people, encoder)


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """A manifest with another first line, and a header that vouches for it: what no checksum tells."""
    import zlib

    manifest = next((folder / ".ctgi").glob("manifest-*"))
    first, *rest = manifest.read_bytes().splitlines(keepends=True)
    content = json.dumps(change(json.loads(first))).encode() + b"\n" + b"".join(rest)
    manifest.write_bytes(content)
    header = folder / ".ctgi" / "gallery.json"
    said = {"manifest_bytes": len(content), "manifest_crc32": zlib.crc32(content)}
    header.write_text(json.dumps(json.loads(header.read_text()) | said))


@pytest.mark.parametrize("wrong", [*WRONG, 7], ids=lambda value: repr(value)[:12])
def test_no_value_in_the_manifest_is_more_than_damage(people: Path, encoder: ColorEncoder, wrong: Any) -> None:
    for name in ("path", "sha256", "size", "mtime_ns"):
        index(people, encoder)
        rewritten(people, lambda entry, name=name: entry | {name: wrong})
        search_or_error(people, encoder)
        mend(people, encoder)
    rewritten(people, lambda entry: wrong)
    with pytest.raises(DamagedGalleryError, match="line 1 names no image"):
        list(open_gallery(people, encoder).refs())
    mend(people, encoder)


def flipped_signs(content: bytes) -> bytes:
    return (-np.frombuffer(content, np.float32)).tobytes()


def reversed_rows(content: bytes) -> bytes:
    return np.frombuffer(content, np.float32).reshape(8, -1)[::-1].tobytes()


def one_bit(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]


@pytest.mark.parametrize("spoil", [flipped_signs, reversed_rows, one_bit])
def test_embeddings_that_still_look_like_embeddings_are_told(
    people: Path, encoder: ColorEncoder, spoil: Callable[[bytes], bytes]
) -> None:
    index(people, encoder)
    before = open_gallery(people, encoder).search("a man", 8)
    assert damage_of(people) == []
    file = people / ".ctgi" / "embeddings-1.bin"
    file.write_bytes(spoil(file.read_bytes()))
    assert len(damage_of(people)) == 1
    with pytest.raises(DamagedGalleryError, match=r"embeddings-1.bin has changed since it was written"):
        open_gallery(people, encoder)
    assert index(people, encoder).rebuilt == "embeddings-1.bin has changed since it was written"
    assert open_gallery(people, encoder).search("a man", 8) == before


def test_only_images_of_damaged_blocks_are_encoded_anew(
    people: Path, encoder: ColorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (checksums, __import__("ctgi.retrieval.gallery_writer", fromlist=["x"])):
        monkeypatch.setattr(module, "BLOCK_BYTES", 512)  # two rows
    index(people, encoder)
    before = open_gallery(people, encoder).search("a man", 8).candidates
    file = people / ".ctgi" / "embeddings-1.bin"
    file.write_bytes(one_bit(file.read_bytes()))
    report = index(people, encoder)
    assert (report.encoded, report.total, report.reused) == (2, 8, 6)
    after = open_gallery(people, encoder).search("a man", 8).candidates
    assert [(c.image, c.score) for c in after] == [(c.image, c.score) for c in before]


def test_rows_that_are_added_keep_the_checksums_of_full_blocks(
    people: Path, encoder: ColorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "BLOCK_BYTES", 768)  # three rows: the last block of eight is not full
    index(people, encoder)
    Image.new("RGB", (40, 90), "teal").save(people / "new.png")
    index(people, encoder)
    header = open_gallery(people, encoder).header
    path = people / ".ctgi" / "embeddings-1.bin"
    assert header.count == 9
    assert header.embeddings_crc32 == checksums.checksums(path, header.embeddings_bytes)
    assert damage_of(people) == []


def test_a_gallery_of_a_version_without_checksums_opens_and_gets_them(people: Path, encoder: ColorEncoder) -> None:
    index(people, encoder)
    header = people / ".ctgi" / "gallery.json"
    new = ("embeddings_crc32", "index_crc32", "index_bytes", "inputs", "failed")
    old = {name: value for name, value in json.loads(header.read_text()).items() if name not in new}
    header.write_text(json.dumps(old))
    assert open_gallery(people, encoder).header.embeddings_crc32 is None
    assert index(people, encoder).reused == 8
    assert open_gallery(people, encoder).header.embeddings_crc32 is not None


def test_a_large_gallery_keeps_where_its_lines_are_and_one_of_earlier_versions_opens_without(
    people: Path, encoder: ColorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (gallery_lines, gallery_manifest):
        monkeypatch.setattr(module, "BLOCK_BYTES", 8)
    index(people, encoder)
    before = open_gallery(people, encoder).search("a man", 8)
    Image.new("RGB", (40, 90), "teal").save(people / "new.png")
    index(people, encoder)
    (people / "new.png").unlink()
    assert [path.name for path in (people / ".ctgi").glob("lines-*")] == ["lines-1-9.bin"]
    assert len(list(open_gallery(people, encoder).refs())) == 9
    index(people, encoder)
    assert [path.name for path in (people / ".ctgi").glob("lines-*")] == ["lines-2-8.bin"]
    (people / ".ctgi/lines-2-8.bin").unlink()
    assert open_gallery(people, encoder).search("a man", 8) == before


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes the files of these names fail to open, as a share that lost its ticket does; root may read anything."""
    refused: list[str] = []
    really = os.open

    def opened(path: Any, *arguments: Any, **options: Any) -> Any:
        if any(name in str(path) for name in refused):
            raise PermissionError(13, "Permission denied")
        return really(path, *arguments, **options)

    import io

    really_open = io.open

    def io_open(file: Any, *arguments: Any, **options: Any) -> Any:
        if any(name in str(file) for name in refused):
            raise PermissionError(13, "Permission denied")
        return really_open(file, *arguments, **options)

    monkeypatch.setattr("os.open", opened)
    monkeypatch.setattr("io.open", io_open)
    monkeypatch.setattr("builtins.open", io_open)
    yield refused.append
    refused.clear()


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that end so cannot be looked up, as on a share that went away."""
    refused: list[str] = []
    really = os.stat

    def status(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if any(str(path).endswith(name) for name in refused):
            raise OSError(116, "Stale file handle")
        return really(path, *arguments, **options)

    monkeypatch.setattr("os.stat", status)
    return refused


@pytest.mark.parametrize("name", ["gallery.json", "manifest-1", "embeddings-1"])
def test_a_file_that_cannot_be_read_now_is_no_damage_and_nothing_is_deleted(
    people: Path, encoder: ColorEncoder, unreadable: Callable[[str], None], name: str
) -> None:
    index(people, encoder)
    before = {path.name: path.read_bytes() for path in (people / ".ctgi").iterdir()}
    unreadable(name)
    for use in (open_gallery, index):
        with pytest.raises(UnreadableError, match=r"cannot be read \(Permission denied\): nothing was changed"):
            use(people, encoder)  # type: ignore[operator]
    unreadable.__self__.clear()  # type: ignore[attr-defined]
    assert {path.name: path.read_bytes() for path in (people / ".ctgi").iterdir()} == before


def test_a_gallery_that_cannot_be_looked_up_now_is_not_missing(
    people: Path, encoder: ColorEncoder, unknown: list[str]
) -> None:
    index(people, encoder)
    unknown.append(".ctgi/gallery.json")
    for use in (open_gallery, index):
        with pytest.raises(UnreadableError, match=r"cannot be read \(Stale file handle\): nothing was changed"):
            use(people, encoder)  # type: ignore[operator]
    unknown.clear()
    assert index(people, encoder).reused == 8


def test_an_image_that_cannot_be_read_now_keeps_its_row(
    people: Path, encoder: ColorEncoder, unreadable: Callable[[str], None], unknown: list[str]
) -> None:
    index(people, encoder)
    (people / "0_a.png").touch()
    unreadable("0_a.png")
    unknown.append("1_a.png")
    report = index(people, encoder)
    assert sorted((Path(path).name, reason) for path, reason in report.failed) == [
        ("0_a.png", "no permission to read the file"),
        ("1_a.png", "cannot be read: Stale file handle"),
    ]
    assert (report.total, report.added, report.removed) == (8, 0, 0)
    unknown.clear()
    assert [Path(path).name for path in open_gallery(people, encoder).check().changed] == ["0_a.png"]
    unreadable.__self__.clear()  # type: ignore[attr-defined]
    report = index(people, encoder)
    assert (report.total, report.encoded, report.failed) == (8, 0, ())


def test_a_reader_meets_the_old_or_the_new_gallery(people: Path, encoder: ColorEncoder) -> None:
    index(people, encoder)
    extra = Image.new("RGB", (40, 90), "teal")
    ended = threading.Event()
    failures: list[Exception] = []

    def read() -> None:
        while not ended.is_set():
            try:
                assert len(open_gallery(people, encoder)) in (8, 9)
                assert damage_of(people) == []
            except (CtgiError, AssertionError) as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(15):
        extra.save(people / "new.png")
        index(people, encoder)
        (people / "new.png").unlink()
        index(people, encoder)
    ended.set()
    reader.join()
    assert failures == []


def test_a_rebuild_that_is_killed_leaves_the_gallery(people: Path, encoder: ColorEncoder) -> None:
    index(people, encoder)
    before = open_gallery(people, encoder).search("a man", 8)

    def stop(done: int, total: int | None) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_gallery([str(people)], people / ".ctgi", encoder, SMALL, rebuild=True, progress=stop)
    assert open_gallery(people, encoder).search("a man", 8) == before
    assert build_gallery([str(people)], people / ".ctgi", encoder, SMALL, rebuild=True).encoded == 8
    assert sorted(path.name for path in (people / ".ctgi").iterdir()) == [
        "embeddings-3.bin", "gallery.json", "lock", "manifest-3.jsonl",
    ]  # fmt: skip


def test_an_empty_gallery_does_not_hide_a_good_one(people: Path, encoder: ColorEncoder, tmp_path: Path) -> None:
    good = tmp_path / "good"
    build_gallery([str(people)], good, encoder, SMALL)
    (good / ".ctgi").mkdir()
    header = json.loads((good / "gallery.json").read_text())
    for broken in (json.dumps(header | {"count": 0}), "no JSON"):
        (good / ".ctgi" / "gallery.json").write_text(broken)
        assert len(open_gallery(good, encoder)) == 8


def test_what_has_no_checksums_is_not_called_whole(people: Path, encoder: ColorEncoder) -> None:
    index(people, encoder)
    header = people / ".ctgi" / "gallery.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"embeddings_crc32": None}))
    assert ["without checksums" in found for found in damage_of(people)] == [True]


@pytest.mark.parametrize("name", ["manifest-1.jsonl", "embeddings-1.bin"])
def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(people: Path, encoder: ColorEncoder, name: str) -> None:
    index(people, encoder)
    (people / ".ctgi" / name).unlink()
    os.mkfifo(people / ".ctgi" / name)
    with pytest.raises(DamagedGalleryError, match="is not a file"):
        open_gallery(people, encoder)
    mend(people, encoder)
