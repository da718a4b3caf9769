"""One person, one track: the boxes of consecutive frames joined by norfair's Kalman filter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ctgi.errors import CtgiError
from ctgi.footage.sighting import Sighting

Array = np.ndarray[Any, np.dtype[np.float64]]

LOST_AFTER_S = 2.0
"""A person who was not seen for so long is somebody new when seen again."""
_LONGEST_GAP = 12
_APART = 0.5
"""Two boxes at this distance or more are not one person; `_distances` says how it is measured."""
_TALLER, _OTHER_COLORS = 0.5, 0.7
"""What a difference in height (its logarithm), and in colors (in [0, 1]), weighs against steps of one height."""
_SPACED_S = 1.0
"""Crops of one track are so far apart in time, that they do not all show the same."""


@dataclass
class Track:
    """A person through a video."""

    number: int
    best: list[Sighting] = field(default_factory=list)
    """Its best sightings, best first."""
    seen: int = 0
    """Frames in which it was found."""
    surest: float = 0.0
    """The highest score."""
    tallest_px: float = 0.0
    first_s: float = 0.0
    last_s: float = 0.0

    def add(self, sighting: Sighting, keep: int) -> None:
        """Take note of a sighting; the best `keep` remain, at most one in a second."""
        self.first_s = self.first_s if self.seen else sighting.time_s
        self.last_s = sighting.time_s
        self.seen += 1
        score = sighting.person.score
        self.surest = max(self.surest, 1.0 if score is None else score)
        self.tallest_px = max(self.tallest_px, sighting.look.height_px)
        if sighting.crop is None:
            return
        near = [one for one in self.best if abs(one.time_s - sighting.time_s) < _SPACED_S]
        if all(one.look.worth < sighting.look.worth for one in near):
            rest = [one for one in self.best if one not in near]
            self.best = sorted([*rest, sighting], key=lambda one: -one.look.worth)[:keep]


class Tracks:
    """The tracks of one video."""

    def __init__(self, every_s: float, keep: int, begin: int = 1) -> None:
        """Begin.

        Args:
            every_s: time between frames.
            keep: sightings kept of a track.
            begin: number of the first track.

        Raises:
            CtgiError: norfair is not installed.
        """
        try:
            from norfair import Tracker
            from norfair.distances import VectorizedDistance
            from norfair.filter import OptimizedKalmanFilterFactory
        except ImportError as error:
            raise CtgiError(f"videos need norfair ({error}): pip install 'ctgi[detect]'") from None
        gap = min(_LONGEST_GAP, max(2, round(LOST_AFTER_S / every_s))) if every_s else _LONGEST_GAP
        self._tracker = Tracker(
            "euclidean",
            _APART,
            hit_counter_max=gap,
            initialization_delay=0,
            past_detections_length=0,
            filter_factory=OptimizedKalmanFilterFactory(R=4.0, Q=1.0, vel_variance=400.0),
        )
        self._tracker.distance_function = VectorizedDistance(_distances)
        self._keep = keep
        self._open: dict[int, Track] = {}
        self.next = begin
        """The number of the next track."""

    @property
    def nobody(self) -> bool:
        """Whether no track is open."""
        return not self._open

    def update(self, people: Sequence[Sighting]) -> list[Track]:
        """The people of the next frame; returns the tracks that end."""
        from norfair import Detection as Point

        for one in self._tracker.update([Point(_points(one), data=one) for one in people]):
            sighting: Sighting = one.last_detection.data
            if any(sighting is other for other in people):
                number = int(one.id or 0)
                if number not in self._open:
                    self._open[number] = self._begin()
                    one.hit_counter = self._tracker.hit_counter_max  # detectors miss people in their first frames too
                self._open[number].add(sighting, self._keep)
        alive = {one.id for one in self._tracker.tracked_objects if one.hit_counter > 0}
        return [self._open.pop(number) for number in [*self._open] if number not in alive]

    def end(self) -> list[Track]:
        """All tracks that are left."""
        left, self._open = [*self._open.values()], {}
        return left

    def _begin(self) -> Track:
        self.next += 1
        return Track(self.next - 1)


def _points(sighting: Sighting) -> Array:
    """What the filter follows: center, height and colors, as five points."""
    left, top, right, bottom = sighting.person.box
    return np.array([(left + right) / 2, (top + bottom) / 2, bottom - top, 0.0, *sighting.colors]).reshape(5, 2)


def _distances(people: Array, tracks: Array) -> Array:
    """How far people are from tracks: steps in heights, with what differs in height and colors."""
    one, other = people[:, None], tracks[None]
    heights = np.maximum(one[..., 2], 1), np.maximum(other[..., 2], 1)
    steps = np.hypot(one[..., 0] - other[..., 0], one[..., 1] - other[..., 1]) / ((heights[0] + heights[1]) / 2)
    colors = np.abs(one[..., 4:] - other[..., 4:]).mean(-1) / 255
    return np.asarray(steps + _TALLER * np.abs(np.log(heights[0] / heights[1])) + _OTHER_COLORS * colors)
