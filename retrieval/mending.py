"""Repairs image files whose faults lie outside the pixels: rewrites them with little but the pixels.

Comments, color profiles and other extras are dropped, the orientation is kept if it can be found, and a missing end
is restored. A decoder then decides whether the pixels are complete.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from ctgi.retrieval.mending_jpeg import mend_jpeg


class Mended(NamedTuple):
    """A repaired file, to be decoded in place of the original."""

    data: bytes
    twin: bytes = b""
    """If the end was restored: a variant that decodes to other pixels if data was missing before it."""


def mended(data: bytes, kind: str) -> Mended | None:
    """A file with only what the pixels of `data` need (format `kind`, Pillow's name); None if it is beyond repair."""
    mend = {"JPEG": _jpeg, "PNG": _png, "TIFF": _tiff, "WEBP": _webp}.get(kind)
    try:
        return mend(data) if mend else None
    except (ValueError, IndexError, KeyError, OverflowError, struct.error):
        return None  # its parts cannot be recognized, or some are missing


def _jpeg(data: bytes) -> Mended:
    return Mended(*mend_jpeg(data))


# --- PNG: chunks, each a length, a name, a body and a checksum

_PNG_NAMES = re.compile(rb"PLTE|tRNS|IDAT")
_PNG_TRANSPARENCY = {0: (2,), 2: (6,), 3: range(1, 257)}  # bytes of tRNS by color type


def _png(data: bytes) -> Mended:
    head, kept, pixels = b"", b"", []
    for name, body in _png_chunks(data):
        if name == b"IHDR":
            head = body[:13]
        elif name == b"IDAT":
            pixels.append(body)
        elif name in (b"PLTE", b"eXIf") or (name == b"tRNS" and len(body) in _PNG_TRANSPARENCY.get(head[9], ())):
            kept += _png_chunk(name, body)
    start = b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", head) + kept
    return Mended(start + _png_chunk(b"IDAT", b"".join(pixels)) + _png_chunk(b"IEND", b""))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks up to the end. After an unreadable one, reading goes on at the next essential chunk."""
    place = 8
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if name == b"IEND":
            return
        if not name.isalpha() or (end > len(data) and name != b"IDAT"):
            found = _PNG_NAMES.search(data, place + 9)
            if not found:
                return
            place = found.start() - 4
            continue
        yield name, data[place + 8 : place + 8 + length]
        place = end


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


# --- WebP: RIFF chunks, each a name, a length and a body of even length

_WEBP_NEEDED = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF")
_WEBP_EXTRAS = 0b0010_0100  # flags of VP8X: color profile, XMP


def _webp(data: bytes) -> Mended:
    kept, place = b"WEBP", 12
    while place + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, place)
        body = data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2
        if name not in _WEBP_NEEDED or (name == b"EXIF" and len(body) < length):
            continue
        if name == b"VP8X":
            body = bytes([body[0] & ~_WEBP_EXTRAS]) + body[1:]
        kept += struct.pack("<4sI", name, length) + body + bytes(length % 2)
    return Mended(b"RIFF" + struct.pack("<I", len(kept)) + kept)


# --- TIFF: a folder of tags, 12 bytes each, somewhere in the file

_TIFF_NEEDED = frozenset(
    {
        *range(254, 260), 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, *range(322, 326), 330, 332, 338,
        339, 347, *range(512, 522), *range(529, 533),
    }
)  # fmt: skip


def _tiff(data: bytes) -> Mended:
    order = "<" if data[:2] == b"II" else ">"
    mark, place = struct.unpack_from(f"{order}HI", data, 2)
    if mark != 42:
        raise ValueError("not the common kind of TIFF")
    (count,) = struct.unpack_from(f"{order}H", data, place)
    tags = [data[start : start + 12] for start in range(place + 2, place + 2 + 12 * count, 12)]
    needed = {struct.unpack_from(f"{order}H", tag)[0]: tag for tag in tags}
    needed = {number: tag for number, tag in needed.items() if number in _TIFF_NEEDED}
    starts, sizes = ((273, 279), (324, 325))[324 in needed]
    parts = zip(_tiff_numbers(data, order, needed[starts]), _tiff_numbers(data, order, needed[sizes]), strict=True)
    if any(start + size > len(data) for start, size in parts):
        raise ValueError("pixels are missing")
    moved = len(data) + len(data) % 2
    folder = struct.pack(f"{order}H", len(needed)) + b"".join(needed.values()) + bytes(4)
    return Mended(data[:4] + struct.pack(f"{order}I", moved) + data[8:].ljust(moved - 8, b"\0") + folder)


def _tiff_numbers(data: bytes, order: str, tag: bytes) -> tuple[int, ...]:
    """The integers of a tag, which are stored in the tag itself if they are few."""
    _, kind, count = struct.unpack_from(f"{order}HHI", tag)
    letter = {3: "H", 4: "I"}[kind]
    inside = count * struct.calcsize(letter) <= 4
    place = 0 if inside else struct.unpack_from(f"{order}I", tag, 8)[0]
    return struct.unpack_from(f"{order}{count}{letter}", tag[8:] if inside else data, place)
