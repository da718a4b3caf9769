import hashlib
import os
import re
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from ctgi.errors import ImageError
from ctgi.retrieval import pixels
from ctgi.retrieval.decoding_budget import PixelBudget
from ctgi.retrieval.images import digest, image_size, picture_at, read_image, ref


def drawn(path: Path, mode: str = "RGB", size: tuple[int, int] = (16, 32), **options: object) -> Path:
    """Red above, blue below."""
    picture = Image.new("RGB", size, "red")
    picture.paste("blue", (0, size[1] // 2, *size))
    picture.convert(mode).save(path, **options)
    return path


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
def test_other_modes_keep_their_colors(tmp_path: Path, mode: str, suffix: str, tolerance: int) -> None:
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
    frames = [Image.new("RGB", (16, 16), color) for color in ("lime", "red", "blue")]
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


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "MPO", "TGA"])
def test_rarer_formats_are_read(tmp_path: Path, kind: str) -> None:
    image = read_image(str(drawn(tmp_path / "a", format=kind)))
    assert (image.size, image.mode) == ((16, 32), "RGB")
    assert np.abs(np.subtract(image.getpixel((8, 4)), (255, 0, 0))).max() <= 10


def test_heic_is_read_with_its_extra(tmp_path: Path) -> None:
    import pillow_heif as heif

    picture = Image.new("RGB", (64, 128), "red")
    heif.from_pillow(picture).save(tmp_path / "a.heic")
    image = read_image(str(tmp_path / "a.heic"))
    assert image.size == (64, 128)
    assert np.abs(np.subtract(image.getpixel((8, 4)), (255, 0, 0))).max() <= 10


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 160\n%%EndComments\nshowpage\n%%EOF\n"
DOS_EPS = b"\xc5\xd0\xd3\xc6" + struct.pack("<IIIIIIH", 32, len(EPS), 0, 0, 0, 0, 0xFFFF) + b"\0\0" + EPS


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.eps", "x"])
@pytest.mark.parametrize("content", [EPS, DOS_EPS])
def test_postscript_starts_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match="not an image that can be read"):
        read_image(str(tmp_path / name))
    assert not (tmp_path / "started").exists()


def test_no_image_is_opened_in_whatever_format_it_claims() -> None:
    root = Path(pixels.__file__).resolve().parents[1]
    folders = ("agents", "benchmarks", "docs", "graphs", "retrieval", "src", "tools", "training")
    sources = [path for folder in folders for path in (root / folder).rglob("*.py")]
    calls = [call for path in sources for call in re.findall(r"Image\.open\(.*", path.read_text())]
    assert calls
    assert all("formats=" in call for call in calls)


def sparse(path: Path, head: bytes, size: int) -> str:
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    return str(path)


def test_a_file_too_large_for_an_image_is_refused_unread(tmp_path: Path) -> None:
    whole = drawn(tmp_path / "a.jpg").read_bytes()
    path = sparse(tmp_path / "x.jpg", whole, 40 * 10**9)
    for look in (digest, read_image, image_size):
        with pytest.raises(ImageError, match="a file of more than 400 MB"):
            look(path)
    with pytest.raises(ImageError, match="a video: ctgi crop cuts the people out of it"):
        digest(sparse(tmp_path / "x.mp4", b"", 10**9))


def test_threads_share_a_budget_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(drawn(tmp_path / name)) for name in ("a.png", "b.png")]
    monkeypatch.setattr(pixels, "_BUDGET", PixelBudget(16 * 32 + 1))
    other = Thread(target=read_image, args=(paths[1],))
    with picture_at(paths[0]) as picture:
        other.start()
        other.join(0.2)
        assert other.is_alive()  # waits: two such images are more than there is room for
        assert picture.image.size == (16, 32)
    other.join()
    with pytest.raises(RuntimeError, match="work went wrong"), picture_at(paths[0]):
        raise RuntimeError("work went wrong")
    read_image(paths[1])  # what failed holds nothing back


SHORT_OF_MEMORY = """
import resource, sys
from ctgi.errors import ImageError
from ctgi.retrieval.images import picture_at, read_image
read_image(sys.argv[2])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 40_000_000,) * 2)
for path in sys.argv[1:]:
    try:
        print(read_image(path).size)
    except ImageError as error:
        print(error.reason)
try:
    with picture_at(sys.argv[2]):
        bytearray(10**9)
except ImageError as error:
    print(error.reason)
"""


def test_too_little_memory_fails_that_image_alone(tmp_path: Path) -> None:
    Image.new("RGBA", (4000, 4000)).save(tmp_path / "large.png", compress_level=1)
    drawn(tmp_path / "small.png")
    command = [sys.executable, "-c", SHORT_OF_MEMORY, tmp_path / "large.png", tmp_path / "small.png"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    reason = "too little memory for an image of this size"
    assert result.stdout.splitlines() == [reason, "(16, 32)", reason]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "I;16", "F"])
def test_large_images_are_converted_in_bands_to_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    values = np.random.default_rng(0).integers(0, 256, (37, 23, 4), np.uint8)
    deep = values[..., 0].astype(np.uint32) * (257 if mode == "I;16" else 1)
    image = Image.fromarray(values).convert(mode) if mode.endswith("A") else Image.fromarray(deep.astype("f4"), "F")
    if mode == "I;16":
        image = Image.fromarray(deep.astype(np.uint16))
    path = tmp_path / "a.tif"
    image.convert("RGBA").save(tmp_path / "a.png") if mode == "PA" else image.save(path)
    path = tmp_path / "a.png" if mode == "PA" else path
    whole = read_image(str(path))
    monkeypatch.setattr(pixels, "_BAND_PIXELS", 50)
    assert np.array_equal(read_image(str(path)), whole)
