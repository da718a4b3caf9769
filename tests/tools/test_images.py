import asyncio
import base64
import dataclasses
import hashlib
import threading
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ctgi.errors import ImageError
from ctgi.retrieval.images import ImageRef, Picture, ref
from ctgi.tools import images
from ctgi.tools.images import DataUrls, data_url

LOW, HIGH = 50_176, 200_704


def saved(path: Path, width: int, height: int, **options: object) -> ImageRef:
    """A picture, red above and blue below."""
    picture = Image.new("RGB", (width, height), "red")
    ImageDraw.Draw(picture).rectangle((0, height // 2, width, height), fill="blue")
    picture.save(path, **options)
    return ref(str(path))


def opened(url: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(url.partition(",")[2])))


@pytest.mark.parametrize(
    ("name", "kind"), [("a.jpg", "jpeg"), ("a.png", "png"), ("wrong.jpg", "png"), ("capitals.JPG", "jpeg")]
)
def test_a_plain_image_within_bounds_is_passed_on_byte_for_byte(tmp_path: Path, name: str, kind: str) -> None:
    image = saved(tmp_path / name, 200, 400, format=kind.upper())
    head, _, data = data_url(image, LOW, HIGH).partition(",")
    assert head == f"data:image/{kind};base64"
    assert base64.b64decode(data) == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 128), (159, 317)),  # enlarged to just over 50,176 px
        ((1000, 3000), (258, 775)),  # shrunk to just under 200,704 px
        ((8, 4000), (11, 5009)),  # 10.02 wide, rounded up
    ],
)
def test_areas_out_of_bounds_are_brought_in_with_their_aspect(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    picture = opened(data_url(saved(tmp_path / "a.png", *size), LOW, HIGH))
    assert picture.size == expected
    assert LOW <= picture.width * picture.height <= HIGH
    assert picture.format == "JPEG"


def test_what_decoders_may_see_differently_becomes_an_upright_rgb_jpeg(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: to be turned by 90 degrees
    odd = {
        "turned": saved(tmp_path / "turned.jpg", 400, 200, exif=exif),
        "webp": saved(tmp_path / "a.webp", 200, 400),
        "frames": saved(tmp_path / "frames.png", 200, 400, save_all=True, append_images=[Image.new("RGB", (200, 400))]),
    }
    for mode in ("CMYK", "L", "RGBA", "P"):
        suffix = "jpg" if mode == "CMYK" else "png"
        Image.new("RGB", (200, 400), "red").convert(mode).save(tmp_path / f"{mode}.{suffix}")
        odd[mode] = ref(str(tmp_path / f"{mode}.{suffix}"))
    for name, image in odd.items():
        picture = opened(data_url(image, LOW, HIGH))
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (200, 400)), name


def test_a_file_that_changed_or_went_or_is_damaged_is_named(tmp_path: Path) -> None:
    image = saved(tmp_path / "a.jpg", 200, 400)
    with pytest.raises(ImageError, match=r"a\.jpg: changed since it was listed"):
        data_url(dataclasses.replace(image, sha256="0" * 64), LOW, HIGH)
    half = (tmp_path / "a.jpg").read_bytes()[:700]
    (tmp_path / "a.jpg").write_bytes(half)
    with pytest.raises(ImageError, match=r"damaged|not an image"):
        data_url(ImageRef(image.path, hashlib.sha256(half).hexdigest()), LOW, HIGH)
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(ImageError, match="no such file"):
        data_url(image, LOW, HIGH)


class CountingReader:
    """picture_at, counted, with the threads it ran in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        self.threads: set[int] = set()
        self._read = images.picture_at
        monkeypatch.setattr(images, "picture_at", self)

    def __call__(self, path: str, sha256: str) -> AbstractContextManager[Picture]:
        self.paths.append(path)
        self.threads.add(threading.get_ident())
        return self._read(path, sha256)


def test_concurrent_and_later_calls_about_an_image_share_one_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, image = CountingReader(monkeypatch), saved(tmp_path / "a.jpg", 64, 128)

    async def eight() -> set[str]:
        urls = DataUrls(LOW, HIGH, size=2)
        found = set(await asyncio.gather(*(urls.get(image) for _ in range(7))))
        return found | {await urls.get(image)}

    assert asyncio.run(eight()) == {data_url(image, LOW, HIGH)}
    assert len(reader.paths) == 2  # one by the cache, one by the line above
    assert reader.threads > {threading.get_ident()}


def test_the_cache_forgets_the_image_used_longest_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = CountingReader(monkeypatch)
    a, b, c = (saved(tmp_path / f"{n}.jpg", 64 + n, 128) for n in range(3))

    async def walk() -> None:
        urls = DataUrls(LOW, HIGH, size=2)
        for image in (a, b, a, c, a, b):
            await urls.get(image)

    asyncio.run(walk())
    assert reader.paths == [a.path, b.path, c.path, b.path]


def test_a_failure_is_not_remembered(tmp_path: Path) -> None:
    image = saved(tmp_path / "a.jpg", 64, 128)
    data = (tmp_path / "a.jpg").read_bytes()

    async def mended() -> str:
        urls = DataUrls(LOW, HIGH, size=2)
        (tmp_path / "a.jpg").write_bytes(b"")
        with pytest.raises(ImageError):
            await urls.get(image)
        (tmp_path / "a.jpg").write_bytes(data)
        return await urls.get(image)

    assert asyncio.run(mended()).startswith("data:image/jpeg")


def test_a_caller_that_gives_up_does_not_take_the_image_from_the_others(tmp_path: Path) -> None:
    image = saved(tmp_path / "a.jpg", 64, 128)

    async def cancelled() -> str:
        urls = DataUrls(LOW, HIGH, size=2)
        first, second = (asyncio.ensure_future(urls.get(image)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(cancelled()).startswith("data:image/jpeg")
