"""Videos: their frames upright and with times, and what their file says about where and when."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ctgi.errors import CtgiError, ImageError
from ctgi.text import plain

if TYPE_CHECKING:
    from av import VideoFrame

_ENDS_BYTES = 1 << 20
_THUMB = (96, 54)
_JUMP_S = 1.0
"""Times that go back by more than this begin anew: recordings that were joined."""
_ISO_6709 = re.compile(r"([+-]\d+(?:\.\d+)?)([+-]\d+(?:\.\d+)?)")
_LOCATIONS = ("com.apple.quicktime.location.ISO6709", "location", "location-eng")
_TIMES = ("com.apple.quicktime.creationdate", "creation_time")
_TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}
_ADDRESS = re.compile(r"(?P<path>.+)#t=(?P<time>\d+(?:\.\d+)?)", re.DOTALL)


@dataclass(frozen=True)
class VideoFacts:
    """What a video's file says."""

    duration_s: float | None
    recorded: str | None
    """When the recording began, in ISO 8601."""
    place: tuple[float, float] | None
    """Latitude and longitude in degrees."""


@dataclass(frozen=True)
class Frame:
    """One frame of a video."""

    number: int
    """In the order shown, from 0."""
    time_s: float
    """Since the first frame."""
    decoded: "VideoFrame"

    def picture(self) -> Image.Image:
        """It in RGB and upright."""
        turn = _TURNS.get(round(self.decoded.rotation) % 360)
        picture = Image.fromarray(self.decoded.to_ndarray(format="rgb24"))
        return picture if turn is None else picture.transpose(turn)

    def thumb(self) -> "np.ndarray[Any, np.dtype[np.int16]]":
        """It in gray and tiny, to be compared with others of the same video."""
        small = self.decoded.reformat(*_THUMB, "gray", interpolation="AREA")
        return small.to_ndarray().astype(np.int16)


@dataclass
class Damage:
    """What could not be read of a video."""

    packets: int = 0
    """Packets that no decoder takes."""
    end: str = ""
    """Why reading stopped before the end; "" if it did not."""


@dataclass
class Video:
    """A video file."""

    path: str
    damage: Damage = field(default_factory=Damage)

    def facts(self) -> VideoFacts:
        """What its file says. Raises ImageError as `frames` does."""
        with self._opened() as container:
            stream = _stream(container, self.path)
            told = {**stream.metadata, **container.metadata}
            seconds = container.duration / 1_000_000 if container.duration else None
            return VideoFacts(seconds, _first_time(told), _place(told))

    def frames(self, every_s: float, after: Frame | None = None) -> Iterator[Frame]:
        """Its frames, at most one in `every_s` seconds; after a frame that was reached earlier, if given.

        Damaged packets are counted in `damage` and passed over.

        Raises:
            ImageError: no video that can be read.
        """
        due = 0.0
        for frame in self._decoded(after):
            if frame.time_s >= due - 1e-6:
                due = (frame.time_s // every_s + 1) * every_s if every_s else 0.0
                yield frame

    def at(self, time_s: float) -> Frame:
        """The frame at a time since the first frame.

        Raises:
            ImageError: no video that can be read, or it is shorter.
        """
        for frame in self._decoded(None, time_s):
            if frame.time_s >= time_s - 0.0006:  # times are written with three decimals
                return frame
        raise ImageError(self.path, f"has no frame at {time_s:.3f} s")

    def _decoded(self, after: Frame | None, seek_s: float = 0.0) -> Iterator[Frame]:
        with self._opened() as container:
            stream = _stream(container, self.path)
            stream.thread_type = "AUTO"
            begin = _begin(stream)
            seek_s = after.time_s if after else seek_s
            number, clock = (after.number + 1 if after else 0), _Clock(begin)
            if seek_s > _JUMP_S:
                _seek(container, stream, begin, seek_s)
            rate = float(stream.average_rate or stream.guessed_rate or 25)
            for decoded in self._frames_of(container, stream):
                time_s = clock.time(decoded, rate)
                if after and time_s <= after.time_s + 1e-6:
                    continue
                yield Frame(number, time_s, decoded)
                number += 1

    def _frames_of(self, container: Any, stream: Any) -> Iterator["VideoFrame"]:
        import av

        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self.damage.end = str(error.strerror)
                return
            if packet is None:
                return
            try:
                yield from (frame for frame in packet.decode() if not frame.is_corrupt)
                self.damage.packets += bool(packet.is_corrupt)
            except av.EOFError:
                return
            except (av.FFmpegError, ValueError):
                self.damage.packets += 1

    def _opened(self) -> Any:
        import_av()
        import av

        try:
            # as a file and nothing else: a name is no address, and a playlist reaches no server
            return av.open(f"file:{self.path}", metadata_errors="replace", options={"protocol_whitelist": "file"})
        except av.FFmpegError as error:
            why = "no such file" if isinstance(error, av.FileNotFoundError) else _why(error)
            raise ImageError(self.path, why) from None
        except OSError as error:
            raise ImageError(self.path, f"cannot be read: {error.strerror}") from None


def import_av() -> None:
    """Check that videos can be read.

    Raises:
        CtgiError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise CtgiError(f"videos need PyAV ({error}): pip install 'ctgi[detect]'") from None
    av.logging.set_level(None)  # its messages would stand among ours


def address(path: str, time_s: float) -> str:
    """How a frame of a video is named where an image's path is expected."""
    return f"{path}#t={time_s:.3f}"


def parted(path: str) -> tuple[str, float] | None:
    """The video and the time that an address means; None for any other path."""
    found = _ADDRESS.fullmatch(path)
    return (found["path"], float(found["time"])) if found else None


def content_of(path: str) -> str:
    """What tells a file's content from another's, 64 hexadecimal digits: its size, its beginning and its end.

    A video of hours is not read through for it.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(f"{size}:".encode())
            digest.update(file.read(_ENDS_BYTES))
            file.seek(max(0, size - _ENDS_BYTES))
            digest.update(file.read(_ENDS_BYTES))
    except OSError as error:
        raise ImageError(path, f"cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def frame_name(content: str, time_s: float) -> str:
    """What stands for a frame's sha256: it is known by its video's content and its time."""
    return hashlib.sha256(f"{content}#{time_s:.3f}".encode()).hexdigest()


class _Clock:
    """Times since the first frame that never go back."""

    def __init__(self, begin: Fraction) -> None:
        self._begin, self._offset, self._last = float(begin), 0.0, 0.0

    def time(self, frame: "VideoFrame", rate: float) -> float:
        """The time of the next frame, in s."""
        if frame.time is None:
            self._last += 1 / rate
            return self._last
        time_s = frame.time - self._begin + self._offset
        if time_s < self._last - _JUMP_S:
            self._offset += self._last + 1 / rate - time_s
            time_s = self._last + 1 / rate
        self._last = max(self._last, time_s)
        return self._last


def _stream(container: Any, path: str) -> Any:
    stream = next((one for one in container.streams.video if not one.disposition & 0x400), None)  # no cover picture
    if stream is None:
        container.close()
        raise ImageError(path, "has no pictures: only sound or text")
    return stream


def _begin(stream: Any) -> Fraction:
    return Fraction(stream.start_time or 0) * Fraction(stream.time_base or 0)


def _seek(container: Any, stream: Any, begin: Fraction, time_s: float) -> None:
    import av

    try:
        container.seek(int((float(begin) + time_s) / stream.time_base), stream=stream, backward=True)
    except av.FFmpegError:  # no index: from the start then
        container.seek(0)


def _why(error: Any) -> str:
    words = plain(str(error.strerror or error))
    return f"cannot be read as a video ({words}): a recording that was cut off has lost the table of its frames"


def _first_time(told: dict[str, str]) -> str | None:
    for name in _TIMES:
        if name in told:
            try:
                time = datetime.fromisoformat(told[name].strip())
            except ValueError:
                continue
            if time.year > 1904:  # the zero of cameras whose clock was not set
                return time.isoformat()
    return None


def later(recorded: str | None, seconds: float) -> str | None:
    """A time in ISO 8601 so many seconds later, to the millisecond; None for None."""
    if recorded is None:
        return None
    return (datetime.fromisoformat(recorded) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def _place(told: dict[str, str]) -> tuple[float, float] | None:
    for name in _LOCATIONS:
        found = _ISO_6709.match(told.get(name, ""))
        if found:
            return round(float(found[1]), 6), round(float(found[2]), 6)
    return None
