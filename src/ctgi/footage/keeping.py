"""Which people get a crop, and the crop on disk with where it is from."""

import hashlib
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from ctgi.footage.folder import Mark, PeopleFolder
from ctgi.footage.report import CropReport
from ctgi.footage.sighting import Sighting
from ctgi.footage.sources import Origin
from ctgi.footage.tracking import Track
from ctgi.retrieval.video import later

_JPEG_QUALITY = 95
_SURE = 0.6
"""Somebody seen in a single frame of a video counts from this score on."""
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class CropOptions:
    """What is wanted."""

    every_s: float = 0.25
    """Time between the frames of a video that are looked at; 0 looks at each."""
    min_score: float = 0.4
    """People whose best score is lower are taken for something else."""
    min_height_px: int = 64
    keep: int = 3
    """Crops of each person at most."""
    camera: str | None = None
    """None: the folder below the one that was given, if a source lies in one."""
    site: str | None = None


@dataclass(frozen=True)
class Source:
    """A photograph or video."""

    path: str
    mark: Mark
    camera: str | None
    site: str | None
    recorded: str | None = None
    place: tuple[float, float] | None = None

    @property
    def folder(self) -> str:
        """The folder of its crops: its name, and as much of its content as tells namesakes apart."""
        stem = _NOT_IN_NAMES.sub("-", Path(self.path).stem).strip("-.") or "source"
        return f"{stem[:80]}-{self.mark.content[:6]}"


class Keeper:
    """Writes the crops of people, or counts why there are none."""

    def __init__(self, folder: PeopleFolder, options: CropOptions, report: CropReport) -> None:
        self._folder, self._options, self._report = folder, options, report

    def finish(self, track: Track, source: Source, *, is_photo: bool = False) -> None:
        """Write the crops of a person, or count why there is none."""
        options, report = self._options, self._report
        if track.surest < options.min_score:
            return
        tall = [one for one in track.best if one.look.height_px >= options.min_height_px]
        whole = [one for one in tall if not one.look.cut]
        upright = [one for one in whole if not one.look.wide]
        sharp = [one for one in upright if not one.look.blurred]
        if not sharp:
            passed = {"small": tall, "cut": whole, "wide": upright, "blurred": sharp}
            report.left_out[next(reason for reason, left in passed.items() if not left)] += 1
        elif track.seen == 1 and track.surest < _SURE and not is_photo:
            report.left_out["fleeting"] += 1
        else:
            report.people += 1
            for one in sharp:
                self._save(one, track.number, source)

    def _save(self, one: Sighting, number: int, source: Source) -> None:
        assert one.crop is not None
        buffer = BytesIO()
        one.crop.save(buffer, "JPEG", quality=_JPEG_QUALITY)
        jpeg = buffer.getvalue()
        is_photo = one.frame is None
        name = f"{number:04}" if is_photo else f"{number:04}-{one.frame:06}"
        told = Origin(
            path=f"{source.folder}/{name}.jpg",
            sha256=hashlib.sha256(jpeg).hexdigest(),
            source=source.mark.source,
            frame=one.frame,
            time_s=None if is_photo else round(one.time_s, 3),
            time=source.recorded if is_photo else later(source.recorded, one.time_s),
            box=one.person.box,
            size=one.size,
            track=f"{source.folder}/{number}",
            score=one.person.score,
            worth=round(one.look.worth, 4),
            camera=source.camera,
            site=source.site,
            place=source.place,
        )
        self._folder.save(told, jpeg)
        self._report.crops += 1
