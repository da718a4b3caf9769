"""What a run of `ctgi crop` did, counted as it goes."""

from collections import Counter
from dataclasses import dataclass, field

from ctgi.reading import Json
from ctgi.retrieval.passed_over import PassedOver

LEFT_OUT = {
    "small": "too small",
    "cut": "cut off by the edge",
    "wide": "wider than tall",
    "blurred": "blurred",
    "fleeting": "seen in a single frame, and not surely",
}
"""Why people got no crop, with the words for it."""


@dataclass
class CropReport:
    """What a run did."""

    out: str
    photos: int = 0
    videos: int = 0
    already: int = 0
    """Sources that an earlier run had finished."""
    frames: int = 0
    """Frames of videos that were looked at."""
    unchanged: int = 0
    """Further frames that showed the same as the one before."""
    people: int = 0
    """People with a crop: each counts once for a photograph or video."""
    crops: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """People without a crop, by the reason (`LEFT_OUT`)."""
    nobody: list[str] = field(default_factory=list)
    """Sources in which nobody was found."""
    damaged: list[tuple[str, str]] = field(default_factory=list)
    """(path, what is wrong) of videos that could be read in part."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(path, reason) of the sources that could not be read."""
    missed: Counter[str] = field(default_factory=Counter)
    """Frames on which the detector failed, by the reason."""
    seconds: float = 0.0
    video_s: float = 0.0
    """Length of the videos, as far as they were read."""
    trace: str | None = None
    passed: PassedOver = field(default_factory=PassedOver)

    @property
    def found(self) -> int:
        """People, with a crop or without."""
        return self.people + self.left_out.total()

    def to_json(self) -> Json:
        """As `ctgi crop --json` prints it."""
        return {
            "out": self.out,
            "photos": self.photos,
            "videos": self.videos,
            "already": self.already,
            "frames": self.frames,
            "unchanged": self.unchanged,
            "people": self.people,
            "crops": self.crops,
            "left_out": {reason: self.left_out[reason] for reason in LEFT_OUT},
            "nobody": self.nobody,
            "damaged": [{"path": path, "what": what} for path, what in self.damaged],
            "failed": [{"path": path, "reason": reason} for path, reason in self.failed],
            "missed_frames": self.missed.total(),
            "passed_over": self.passed.endings,
            "seconds": round(self.seconds, 3),
            "video_s": round(self.video_s, 3),
            "trace": self.trace,
        }
