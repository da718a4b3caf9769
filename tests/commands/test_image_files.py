"""Every command sees the same images in the same folder, and says what it passes over."""

import io
import json
import os
import struct
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ctgi.testing import ScriptedServer
from tests.support.commands import Run


def jpeg(color: str, **options: object) -> bytes:
    picture = Image.new("RGB", (64, 128), color)
    ImageDraw.Draw(picture).rectangle((16, 32, 48, 96), fill="white")
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def bind(double: ScriptedServer) -> list[str]:
    return ["--bind", f"images=vllm:double@{double.url}"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images, a damaged one, and three files that are none."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x0112, 2, 2, 0x36) + bytes(4)
    contents = {
        "a.jpg": jpeg("red"),
        "b.jpg": jpeg("green")[:-2],
        "c.jpg": jpeg("blue", exif=exif),
        "d.photo": jpeg("yellow"),
        "e": jpeg("cyan"),
        "f.jpg": jpeg("magenta")[:600],
        "notes.txt": b"Taken on Monday.",
        "people.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0isommp42",
        "Thumbs.db": b"\xd0\xcf\x11\xe0",
    }
    place = tmp_path / "folder"
    place.mkdir()
    for name, content in contents.items():
        (place / name).write_bytes(content)
    return place


PASSED = {".db": 1, ".mp4": 1, ".txt": 1}
LINES = (
    "2 files taken as images by their content: .photo (1), no extension (1)",
    "3 files passed over: .db (1), .txt (1), .mp4 (1)",
    "people.mp4 is a video: ctgi crop cuts the people out of it",
)


def test_all_commands_agree_on_every_file(ctgi: Run, double: ScriptedServer, tiny_clip: Path, folder: Path) -> None:
    clip = ["--bind", f"search_gallery=open_clip:local-dir:{tiny_clip}"]
    expected = ctgi("caption", folder, *bind(double), "--dry-run", "--json")
    captioned = ctgi("caption", folder, *bind(double), "--json")
    indexed = ctgi("index", folder, *clip, "--json")
    assert (expected.json["images"], captioned.json["captioned"], indexed.json["total"]) == (5, 5, 5)
    (failed,) = captioned.json["failed"]
    assert failed["path"] == str(folder / "f.jpg")
    assert failed["reason"].startswith("damaged image")
    assert expected.json["failed"] == [failed]
    assert indexed.json["failed"] == [[failed["path"], failed["reason"]]]
    for done in (expected, captioned, indexed):
        assert done.json["passed_over"] == PASSED
        for line in LINES:
            assert line in done.err.splitlines()
    assert (expected.code, captioned.code, indexed.code) == (0, 1, 1)


def test_what_is_passed_over_is_said_before_the_first_image(ctgi: Run, double: ScriptedServer, folder: Path) -> None:
    err = ctgi("caption", folder, *bind(double)).err
    assert err.index("passed over") < err.index("failed: ")


def test_a_search_says_what_indexing_on_first_use_left_out(
    ctgi: Run, double: ScriptedServer, tiny_clip: Path, folder: Path
) -> None:
    search = ["search", "a man", "-g", folder, "--no-mti", "--bind", f"search_gallery=open_clip:local-dir:{tiny_clip}"]
    first = ctgi(*search, "--json")
    assert first.json["passed_over"] == PASSED
    assert [failure["path"] for failure in first.json["not_indexed"]] == [str(folder / "f.jpg")]
    assert first.code == 1
    assert LINES[1] in first.err.splitlines()
    second = ctgi(*search, "--json")
    assert (second.json["passed_over"], second.json["not_indexed"], second.code) == ({}, [], 0)


def test_a_photo_is_captioned_once_however_its_folder_is_named(
    ctgi: Run, double: ScriptedServer, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(people.parent)
    Path("link").symlink_to(people)
    assert ctgi("caption", people.name, *bind(double), "--json").json["captioned"] == 8
    for way in (people, "link", f"./{people.name}/../link"):
        assert ctgi("caption", way, *bind(double), "--dry-run", "--json").json["already"] == 8
        again = ctgi("caption", way, *bind(double), "--json").json
        assert (again["already"], again["captioned"], again["copied"]) == (8, 0, 0)
    assert len(Path("captions.jsonl").read_text().splitlines()) == 8


def test_a_photo_is_one_row_of_a_gallery_however_its_list_names_it(
    ctgi: Run, people: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(people.parent)
    Path("link").symlink_to(people)
    index = ["index", "--out", "g", "--bind", f"search_gallery=open_clip:local-dir:{tiny_clip}", "--json"]
    names = sorted(path.name for path in people.iterdir())
    assert ctgi(*index, *(f"{people.name}/{name}" for name in names)).json["added"] == 8
    for way in (people, Path("link")):
        again = ctgi(*index, *(way / name for name in names)).json
        assert (again["total"], again["added"], again["reused"], again["removed"]) == (8, 0, 8, 0)


def test_names_that_are_not_utf8_survive_from_folder_to_page(
    ctgi: Run, double: ScriptedServer, tiny_clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    path = str(folder / os.fsdecode(b"m\xfcller.jpg"))
    Path(path).write_bytes(jpeg("red"))
    clip = ["--bind", f"search_gallery=open_clip:local-dir:{tiny_clip}"]
    assert ctgi("caption", folder, *bind(double), "--json").json["captioned"] == 1
    assert json.loads(Path("captions.jsonl").read_text())["path"] == path
    assert ctgi("caption", folder, *bind(double), "--json").json["already"] == 1
    assert ctgi("index", folder, *clip, "--json").json["total"] == 1
    assert ctgi("index", folder, *clip, "--json").json["reused"] == 1
    found = ctgi("search", "a man", "-g", folder, *bind(double), *clip, "--html", "page.html", "--json")
    assert (found.code, found.json["results"][0]["path"]) == (0, path)
    assert r"m\udcfcller.jpg" in Path("page.html").read_text()
    assert ctgi("trace", "replay", "last", "--json").code == 0
