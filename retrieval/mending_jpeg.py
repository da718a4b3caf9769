"""Rewrites JPEG files without extras, and restores a missing end."""

import re
import struct
from collections.abc import Iterator, Sequence
from math import ceil
from random import Random
from typing import NamedTuple

_FRAMES = (0xC0, 0xC1, 0xC2)
_EOI, _SOS, _DRI = 0xD9, 0xDA, 0xDD
_EXTRAS = (*range(0xE0, 0xF0), 0xFE)
_RESTARTS = range(0xD0, 0xD8)
_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_TABLE = re.compile(rb"\xff[\xdb\xc0\xc1\xc2\xc4\xdd]")
_NOISE = Random(0).randbytes(8192).replace(b"\xff", b"")


class _Segment(NamedTuple):
    marker: int
    body: bytes
    start: int
    end: int


def mend_jpeg(data: bytes) -> tuple[bytes, bytes]:
    """The rewritten file, and a variant if the end was missing (else empty): the variant has noise at the end.

    Complete data is read up to its own end, so noise after it changes a pixel only if data is missing.

    Raises:
        ValueError: no frame or scan, or scans are missing.
    """
    segments = list(_segments(data))
    first = [segment.marker for segment in segments].index(_SOS)
    head = b"\xff\xd8" + b"".join(_written(segment) for segment in segments[:first] if _counts(segment))
    start, last = segments[first].start, segments[-1]
    if last.marker == _EOI:
        return head + data[start : last.end], b""
    _check_scans(segments)
    pixels = data[start:].rstrip(b"\xff")
    return head + pixels + b"\xff\xd9", head + pixels + _NOISE + b"\xff\xd9"


def _segments(data: bytes) -> Iterator[_Segment]:
    """The file's segments up to its end. After an extra of wrong length, reading goes on at the next table."""
    place = 2
    while found := _MARKER.search(data, place):
        marker, start, body = found[1][0], found.end() - 2, found.end() + 2
        if marker in _RESTARTS or marker in (0x01, 0xD8):
            place = found.end()
            yield _Segment(marker, b"", start, place)
            continue
        if marker == _EOI:
            yield _Segment(marker, b"", start, found.end())
            return
        place = found.end() + int.from_bytes(data[found.end() : body], "big")
        if marker in _EXTRAS and data[place : place + 1] != b"\xff":
            table = _TABLE.search(data, body)
            place = table.start() if table else len(data)
        yield _Segment(marker, data[body:place], start, place)


def _counts(segment: _Segment) -> bool:
    """Whether decoders need the segment, or it may hold the orientation."""
    starts = {0xE0: (b"JFIF\0", 14), 0xE1: (b"Exif\0\0", 6), 0xEE: (b"Adobe", 12)}
    if segment.marker not in _EXTRAS:
        return segment.marker not in _RESTARTS
    name, least = starts.get(segment.marker, (b"", 1 << 16))
    return segment.body.startswith(name) and least <= len(segment.body) < 65_534


def _written(segment: _Segment) -> bytes:
    return struct.pack(">BBH", 0xFF, segment.marker, len(segment.body) + 2) + segment.body


def _check_scans(segments: Sequence[_Segment]) -> None:
    """Raise ValueError unless the scans cover every coefficient of every component and no restart is missing."""
    frame = next((segment.body for segment in segments if segment.marker in _FRAMES), b"")
    _, height, width, count = struct.unpack_from(">BHHB", frame)
    sampling = {frame[6 + 3 * i]: divmod(frame[7 + 3 * i], 16) for i in range(count)}
    missing = {(component, k) for component in sampling for k in range(64)}
    interval = restarts = 0
    scanned: list[int] = []
    for marker, body, _, _ in segments:
        if marker == _DRI:
            (interval,) = struct.unpack(">H", body)
        elif marker == _SOS:
            scanned, restarts = [body[1 + 2 * i] for i in range(body[0])], 0
            first, last, bits = body[-3:]
            if not bits & 15:
                missing -= {(component, k) for component in scanned for k in range(first, last + 1)}
        elif marker in _RESTARTS:
            restarts += 1
    if missing or (interval and restarts < ceil(_blocks(width, height, sampling, scanned) / interval) - 1):
        raise ValueError("scans are missing")


def _blocks(width: int, height: int, sampling: dict[int, tuple[int, int]], scanned: Sequence[int]) -> int:
    """Number of units in a scan of these components, as restart intervals count them."""
    across, down = max(h for h, _ in sampling.values()), max(v for _, v in sampling.values())
    if len(scanned) > 1:
        return ceil(width / (8 * across)) * ceil(height / (8 * down))
    h, v = sampling[scanned[0]]
    return ceil(ceil(width * h / across) / 8) * ceil(ceil(height * v / down) / 8)
