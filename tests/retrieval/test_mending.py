"""Faults beside the pixels: whole pixels are used, as they are turned; missing ones are not made up."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ctgi.errors import ImageError
from ctgi.retrieval.images import digest, image_size, picture_at, read_image

NOISE = np.random.default_rng(0).integers(0, 256, (24, 8, 3), np.uint8)
PICTURE = Image.fromarray(NOISE).resize((64, 192))


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    PICTURE.convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def read(tmp_path: Path, data: bytes) -> np.ndarray:
    """The pixels; what has a size and what is read are the same files."""
    path = tmp_path / "image"
    path.write_bytes(data)
    pixels = np.asarray(read_image(str(path)))
    assert image_size(str(path)) == pixels.shape[1::-1]
    return pixels


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def exif(*tags: tuple[int, int, int, int]) -> bytes:
    """(tag, type, count, value) of each entry; type 3 is a short, 2 text, 5 a fraction at an offset."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segment(data: bytes, segment: bytes) -> bytes:
    return data[:2] + segment + data[2:]


TURNED = (0x0112, 3, 1, 6)
ODD_EXIF = {
    "types that do not fit": exif(TURNED, (0x9000, 7, 4, 0x30333230), (0x0213, 5, 1, 0x10)),
    "an offset beyond the end": exif(TURNED, (0x011A, 5, 1, 0xFFFFFF)),
    "a count beyond the end": exif(TURNED, (0x010E, 2, 0xFFFFFFFF, 0x10)),
    "a folder that is none": exif(TURNED, (0x8825, 2, 4, 0x41414141)),
}
UNTURNED_EXIF = {
    "orientation as text": exif((0x0112, 2, 2, 0x36)),
    "no such orientation": exif((0x0112, 3, 1, 0)),
    "another header": b"Exif\0\0\0\x08\0\x02\x01\x12\0\x03",
    "no entries": b"Exif\0\0",
    "cut short": b"Exif\0\0II*\0\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("fault", ODD_EXIF)
def test_the_orientation_is_read_beside_odd_metadata(tmp_path: Path, kind: str, fault: str) -> None:
    plain = decoded(encoded(kind))
    turned = np.rot90(plain, -1)
    assert np.array_equal(read(tmp_path, encoded(kind, exif=ODD_EXIF[fault])), turned)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("fault", UNTURNED_EXIF)
def test_where_no_orientation_can_be_read_the_image_is_as_stored(tmp_path: Path, kind: str, fault: str) -> None:
    assert np.array_equal(read(tmp_path, encoded(kind, exif=UNTURNED_EXIF[fault])), decoded(encoded(kind)))


def test_the_orientation_is_also_taken_from_xmp(tmp_path: Path) -> None:
    xmp = segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<rdf tiff:Orientation="6"/>')
    whole = encoded("JPEG")
    assert np.array_equal(read(tmp_path, with_segment(whole, xmp)), np.rot90(decoded(whole), -1))


JPEG_EXTRAS = {
    "a length beyond the next segment": b"\xff\xe1" + struct.pack(">H", 9000) + b"junk" * 8,
    "a length beyond the end": b"\xff\xe1\xff\xff" + b"junk" * 8,
    "a length too short": b"\xff\xe1\0\4" + b"junk" * 8,
    "no length": b"\xff\xe1\0\0" + b"junk" * 8,
    "a short JFIF header": segment(0xE0, b"JFIF\0"),
    "a short Adobe header": segment(0xEE, b"Adobe\0"),
    "a short color profile": segment(0xE2, b"ICC_PROFILE\0"),
    "a color profile of junk": segment(0xE2, b"ICC_PROFILE\0\1\1junk"),
    "an index of frames that are not there": segment(0xE2, b"MPF\0II*\0\x08\0\0\0\x09\0" + b"junk" * 9),
    "a short Photoshop resource": segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x03\xed\0\0\0\0\0\2ab"),
    "markers in a comment": segment(0xFE, b"\xff\xd8\xff\xd9" * 9),
}


@pytest.mark.parametrize("fault", JPEG_EXTRAS)
def test_junk_in_extra_segments_costs_no_jpeg(tmp_path: Path, fault: str) -> None:
    whole = encoded("JPEG")
    data = with_segment(with_segment(whole, JPEG_EXTRAS[fault]), segment(0xE1, exif(TURNED)))
    assert np.array_equal(read(tmp_path, data), np.rot90(decoded(whole), -1))


JPEGS = {
    "plain": encoded("JPEG", quality=90),
    "progressive": encoded("JPEG", progressive=True),
    "with restarts": encoded("JPEG", restart_marker_blocks=4),
    "grey": encoded("JPEG", "L"),
    "CMYK": encoded("JPEG", "CMYK"),
}


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("lost", [1, 2])
def test_a_jpeg_without_its_end_marker_is_whole(tmp_path: Path, kind: str, lost: int) -> None:
    assert np.array_equal(read(tmp_path, JPEGS[kind][:-lost]), decoded(JPEGS[kind]))


@pytest.mark.parametrize("kind", JPEGS)
def test_of_a_jpeg_without_its_last_bytes_at_most_the_last_block_differs(tmp_path: Path, kind: str) -> None:
    difference = read(tmp_path, JPEGS[kind][:-5]) != decoded(JPEGS[kind])
    assert not difference[:-17].any()
    assert not difference[:, :-17].any()


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("left", [0.5, 0.9, 0.97])
def test_a_jpeg_that_lacks_blocks_is_damaged(tmp_path: Path, kind: str, left: float) -> None:
    with pytest.raises(ImageError, match="damaged image"):
        read(tmp_path, JPEGS[kind][: int(len(JPEGS[kind]) * left) - 90])


def test_a_jpeg_that_lacks_whole_scans_or_restart_intervals_is_damaged(tmp_path: Path) -> None:
    for kind, marker in (("progressive", b"\xff\xda"), ("with restarts", b"\xff\xd2")):
        with pytest.raises(ImageError, match="damaged image"):
            read(tmp_path, JPEGS[kind][: JPEGS[kind].rfind(marker)])


def chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) if crc is None else crc)
    )


LARGE = zlib.compress(bytes(3_000_000))
PNG_CHUNKS = {
    "a large text": chunk(b"zTXt", b"workflow\0\0" + LARGE),
    "a large international text": chunk(b"iTXt", b"workflow\0\1\0\0\0" + LARGE),
    "a large color profile": chunk(b"iCCP", b"name\0\0" + LARGE),
    "an unknown compression": chunk(b"iCCP", b"name\0\7junk"),
    "a wrong checksum": chunk(b"tEXt", b"key\0value", crc=1),
    "a wrong checksum of an unknown chunk": chunk(b"vpAg", b"12345", crc=1),
    "many texts": chunk(b"tEXt", b"key\0" + bytes(900_000)) * 80,
    "junk EXIF": chunk(b"eXIf", b"\0\x08\0\x02\x01\x12\0\x03"),
    "a short gamma": chunk(b"gAMA", b"\0"),
    "a short size": chunk(b"pHYs", b"\0\0"),
    "a short transparency": chunk(b"tRNS", b"\0"),
    "a short animation": chunk(b"acTL", b"\0"),
    "a length beyond the end": struct.pack(">I", 1 << 30) + b"tEXtjunk",
    "a length too short": struct.pack(">I", 2) + b"tEXtjunkjunkjunk",
    "a name that is none": chunk(b"t\0\xffX", b""),
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("fault", PNG_CHUNKS)
def test_junk_in_ancillary_chunks_costs_no_png(tmp_path: Path, fault: str, place: str) -> None:
    whole = encoded("PNG")
    at = 33 if place == "before" else len(whole) - 12
    assert np.array_equal(read(tmp_path, whole[:at] + PNG_CHUNKS[fault] + whole[at:]), np.asarray(PICTURE))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_the_orientation_of_a_mended_png_stays_and_so_do_palette_and_transparency(tmp_path: Path, mode: str) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * 2_000_000, zip=True)
    options = {"transparency": 7} if mode == "P" else {}
    data = encoded("PNG", mode, pnginfo=info, exif=exif(TURNED), **options)
    assert np.array_equal(read(tmp_path, data), np.rot90(read(tmp_path, encoded("PNG", mode, **options)), -1))


@pytest.mark.parametrize("lost", [1, 12, 14, 17, 20])
def test_a_png_without_its_end_is_whole(tmp_path: Path, lost: int) -> None:
    assert np.array_equal(read(tmp_path, encoded("PNG")[:-lost]), np.asarray(PICTURE))


def test_a_png_that_lacks_rows_or_holds_other_bits_is_damaged(tmp_path: Path) -> None:
    whole = encoded("PNG")
    with pytest.raises(ImageError, match="damaged image"):
        read(tmp_path, whole[:-60])
    with pytest.raises(ImageError, match="damaged image"):
        read(tmp_path, whole[:200] + bytes([whole[200] ^ 4]) + whole[201:])


def test_a_mended_png_is_held_to_the_same_bounds(tmp_path: Path) -> None:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"tEXt", b"a\0b", crc=1) + chunk(b"IDAT", LARGE) + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="more than 100 megapixels"):
        read(tmp_path, data)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("odd", [(0x9000, 7, 4, 0x30333230), (0x011A, 5, 1, 0x7FFFFFFF), (0x8769, 4, 1, 0x7FFFFFFF)])
def test_odd_tags_cost_no_tiff(tmp_path: Path, compression: str | None, odd: tuple[int, int, int, int]) -> None:
    data = encoded("TIFF", compression=compression)
    (place,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, place)
    tags = [data[place + 2 + 12 * i : place + 14 + 12 * i] for i in range(count)]
    tags = sorted([*tags, *(struct.pack("<HHII", *tag) for tag in (TURNED, odd))], key=lambda tag: tag[1::-1])
    moved = data[:4] + struct.pack("<I", len(data)) + data[8:] + struct.pack("<H", len(tags)) + b"".join(tags)
    assert np.array_equal(read(tmp_path, moved + bytes(4)), np.rot90(np.asarray(PICTURE), -1))


def test_a_webp_cut_within_its_metadata_is_whole(tmp_path: Path) -> None:
    data = encoded("WEBP", exif=exif(TURNED), xmp=b"<x:xmpmeta/>" * 9, lossless=True)
    assert np.array_equal(read(tmp_path, data[:-20]), np.rot90(np.asarray(PICTURE), -1))
    with pytest.raises(ImageError, match="damaged image"):
        read(tmp_path, encoded("WEBP")[:-20])


@pytest.mark.parametrize("kind", ["AVIF", "BMP", "GIF", "JPEG2000", "TIFF"])
@pytest.mark.parametrize("lost", [4, 40])
def test_other_formats_cut_off_are_damaged(tmp_path: Path, kind: str, lost: int) -> None:
    with pytest.raises(ImageError, match="damaged image"):
        read(tmp_path, encoded(kind)[:-lost])


def test_a_mended_file_is_not_passed_on_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    for data, exact in ((JPEGS["plain"], "jpeg"), (JPEGS["plain"][:-2], ""), (encoded("PNG"), "png")):
        path.write_bytes(data)
        with picture_at(str(path), digest(str(path))) as picture:
            assert picture.format == exact
    path.write_bytes(encoded("JPEG", exif=UNTURNED_EXIF["another header"]))
    with picture_at(str(path)) as picture:
        assert picture.format == ""
