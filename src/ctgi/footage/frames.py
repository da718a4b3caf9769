"""The frames of a video that are worth a look: at most one in an interval, and only those that show something new."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ctgi.retrieval.video import Frame, Video

_CHANGED = 10
"""Of 255: a frame of which no spot of the tiny gray picture differs by more shows what the one before showed."""


@dataclass(frozen=True)
class Examined:
    """A frame that was sampled."""

    frame: Frame
    picture: Image.Image | None
    """None if it shows the same as the one before."""


def examined(video: Video, every_s: float, after: Frame | None = None) -> Generator[Examined]:
    """The sampled frames of a video. Raises ImageError as `Video.frames` does."""
    before: np.ndarray[Any, np.dtype[np.int16]] | None = None
    for frame in video.frames(every_s, after):
        thumb = frame.thumb()
        if before is not None and int(np.abs(thumb - before).max()) <= _CHANGED:
            yield Examined(frame, None)
        else:
            before = thumb
            yield Examined(frame, frame.picture())
