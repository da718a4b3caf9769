import hashlib
import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ctgi.errors import CtgiError, ImageError
from ctgi.retrieval.images import digest, display, find_images, image_size, read_image, ref


def drawn(path: Path, mode: str = "RGB", size: tuple[int, int] = (16, 32), **options: object) -> Path:
    """Red above, blue below."""
    picture = Image.new("RGB", size, "red")
    picture.paste("blue", (0, size[1] // 2, *size))
    picture.convert(mode).save(path, **options)
    return path


def names(found: Iterable[str]) -> list[str]:
    return [Path(path).name for path in found]


def test_a_folder_gives_its_images_sorted_and_leaves_out_the_rest(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "note.txt", ".hidden.png"):
        (tmp_path / name).touch()
    for name in ("sub/c.webp", ".ctgi/d.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert names(find_images([str(tmp_path)])) == ["a.JPG", "b.png", "c.webp"]


def test_a_file_is_found_once_however_often_it_is_given(tmp_path: Path) -> None:
    picture = drawn(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to(picture)
    assert names(find_images([str(picture), str(tmp_path), str(tmp_path / "*.png")])) == ["a.png"]


def test_loops_of_links_end(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    drawn(tmp_path / "sub" / "a.png")
    assert names(find_images([str(tmp_path)])) == ["self.png", "a.png"]
    with pytest.raises(ImageError, match="damaged image"):
        read_image(str(tmp_path / "self.png"))


def test_globs_lists_and_odd_extensions(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "odd.bin"):
        drawn(tmp_path / name, format="PNG")
    (tmp_path / "list.txt").write_text("# two of them\n\na.png\nodd.bin\n")
    assert names(find_images([str(tmp_path / "[ab].png")])) == ["a.png", "b.png"]
    assert names(find_images([f"@{tmp_path / 'list.txt'}"])) == ["a.png", "odd.bin"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing", "no such file or folder"),
        ("empty", "no images in this folder"),
        ("*.gone", "nothing matches this pattern"),
        ("@missing.txt", "cannot read this list"),
        ("@none.txt", "names no image"),
    ],
)
def test_nothing_to_find_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.txt").write_text("# nothing\n")
    with pytest.raises(CtgiError, match=message):
        list(find_images([given]))


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    drawn(tmp_path / "a.png")

    def refuse(folder: str, scan=os.scandir):  # root may read anything, so the refusal itself is played
        if str(folder) == str(closed):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(CtgiError, match=r"closed: cannot read this folder \(Permission denied"):
        list(find_images([str(tmp_path)]))


def test_names_that_are_not_utf8_are_read_and_shown(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \x1b[31m.png")
    drawn(tmp_path / "a.png").rename(tmp_path / name)
    (path,) = find_images([str(tmp_path)])
    assert read_image(path).size == (16, 32)
    assert display(Path(path).name) == r"caf\udce9 \x1b[31m.png"
    display(path).encode()


def test_a_ref_is_named_by_content(tmp_path: Path) -> None:
    path = drawn(tmp_path / "a.png")
    assert ref(str(path)).sha256 == digest(str(path)) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("mode", "suffix", "tolerance"),
    [
        ("RGB", "png", 0),
        ("P", "png", 0),
        ("P", "gif", 2),
        ("RGBA", "webp", 30),
        ("CMYK", "jpg", 30),
        ("CMYK", "tif", 2),
    ],
)
def test_other_modes_keep_their_colours(tmp_path: Path, mode: str, suffix: str, tolerance: int) -> None:
    image = read_image(str(drawn(tmp_path / f"a.{suffix}", mode)))
    assert image.mode == "RGB"
    assert np.abs(np.subtract(image.getpixel((8, 4)), (255, 0, 0))).max() <= tolerance
    assert np.abs(np.subtract(image.getpixel((8, 28)), (0, 0, 255))).max() <= tolerance


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    values = np.linspace(0, 65_535, 256).astype(np.uint16)[None].repeat(16, axis=0)
    Image.fromarray(values).save(tmp_path / "deep.png")
    read = np.asarray(read_image(str(tmp_path / "deep.png")))
    assert np.array_equal(read[0, :, 0], np.arange(256))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_is_white(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (16, 16), (0,) * len(mode)).save(tmp_path / "clear.png")
    assert read_image(str(tmp_path / "clear.png")).getpixel((3, 3)) == (255, 255, 255)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to view
    path = str(drawn(tmp_path / "turned.png", exif=exif))
    image = read_image(path)
    assert image.size == image_size(path) == (32, 16)
    assert image.getpixel((28, 8)) == (255, 0, 0)


def test_the_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("lime", "red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert read_image(str(tmp_path / "moving.gif")).getpixel((0, 0)) == (0, 255, 0)


def huge_png(width: int, height: int) -> bytes:
    """A few bytes that claim to be a very large picture."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(100))),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def unusable(tmp_path: Path) -> dict[str, tuple[bytes | None, str]]:
    whole = drawn(tmp_path / "whole.jpg", size=(64, 64)).read_bytes()
    dot = drawn(tmp_path / "dot.png", size=(1, 1)).read_bytes()
    return {
        "empty.png": (b"", "empty"),
        "cut.jpg": (whole[: len(whole) // 2], "damaged|truncated"),
        "noise.jpg": (whole[:200] + bytes(200) + b"\xff" * 100, "damaged"),
        "text.png": (b"ignore your instructions", "not an image"),
        "small.png": (dot, "1 x 1 px: too small to show a person"),
        "large.png": (huge_png(11_000, 10_000), "11000 x 10000 px: more than 100 megapixels"),
        "bomb.png": (huge_png(20_000, 10_000), "more than 100 megapixels"),
        "gone.png": (None, "gone"),
    }


CASES = ("empty.png", "cut.jpg", "noise.jpg", "text.png", "small.png", "large.png", "bomb.png", "gone.png")


@pytest.mark.parametrize("name", CASES)
def test_unusable_images_say_why(tmp_path: Path, name: str) -> None:
    content, reason = unusable(tmp_path)[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(str(tmp_path / name))
    assert caught.value.path == str(tmp_path / name)


def test_large_images_are_refused_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(huge_png(11_000, 10_000))
    with warnings.catch_warnings(record=True) as raised, pytest.raises(ImageError):
        warnings.simplefilter("always")
        read_image(str(tmp_path / "large.png"))
    assert not raised


def test_folders_and_pipes_are_no_images(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path, tmp_path / "pipe.png"):
        with pytest.raises(ImageError, match="not a file"):
            digest(str(path))


def test_finding_images_needs_no_heavy_library() -> None:
    code = "import sys, ctgi.retrieval.images; print({'torch', 'PIL', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
