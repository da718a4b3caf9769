"""A posed body as the camera sees it: points, widths and distances in the picture plane."""

import math
from dataclasses import dataclass

from ctgi.synth.look import Build
from ctgi.synth.shapes import Ring
from ctgi.synth.skeleton import Pose, Vec


@dataclass(frozen=True)
class Figure:
    """Joints in the picture (complex, y down) and their nearness to the camera."""

    pose: Pose
    build: Build
    yaw: float
    """Radians: 0 faces the camera, a quarter turn faces the picture's right."""
    pitch: float
    """How far the camera looks down, radians."""

    def at(self, joint: str) -> complex:
        """A joint in the picture."""
        return self.project(self.pose.joints[joint])

    def near(self, joint: str) -> float:
        """How near a joint is to the camera; 0 is the body's axis."""
        x, _, z = self.pose.joints[joint]
        return z * math.cos(self.yaw) - x * math.sin(self.yaw)

    def project(self, vec: Vec) -> complex:
        """A point of space in the picture."""
        x, y, z = vec
        toward = z * math.cos(self.yaw) - x * math.sin(self.yaw)
        return complex(
            x * math.cos(self.yaw) + z * math.sin(self.yaw), y * math.cos(self.pitch) + toward * math.sin(self.pitch)
        )

    def joint(self, joint: str, ahead: float = 0.0, left: float = 0.0, down: float = 0.0) -> complex:
        """A point beside a joint, offset in space."""
        x, y, z = self.pose.joints[joint]
        return self.project((x + left, y + down, z + ahead))

    def half(self, width: float, depth: float) -> float:
        """Half the seen width of an upright ellipse of half `width` across and half `depth` ahead."""
        return math.hypot(width * math.cos(self.yaw), depth * math.sin(self.yaw))

    @property
    def facing(self) -> float:
        """1 from the front, 0 from the side, -1 from the back."""
        return math.cos(self.yaw)

    @property
    def heading(self) -> float:
        """1 faces the picture's right, -1 its left."""
        return math.sin(self.yaw)

    def trunk_ring(self, level: float, extra: float = 0.0) -> Ring:
        """The trunk's ring at a level: 0 the hip joints, 1 the pit of the neck."""
        width, depth, ahead = _measures(self.build, level)
        pelvis, neck = self.pose.joints["pelvis"], self.pose.joints["neck"]
        x, y, z = (p + (n - p) * level for p, n in zip(pelvis, neck, strict=True))
        return self.project((x, y, z + ahead)), self.half(width + extra, depth + extra)

    def skirt_ring(self, drop: float, extra: float) -> Ring:
        """A ring around both legs, `drop` units below the hip joints."""
        spans = [self.leg_at(side, drop) for side in (1, -1)]
        left = min(p.real - r for p, r in spans)
        right = max(p.real + r for p, r in spans)
        y = self.at("pelvis").imag + drop * math.cos(self.pitch)
        hips = self.half(self.build.hip, self.build.hip * self.build.depth)
        half = (right - left) / 2
        return complex((left + right) / 2, y), min(half, hips + 0.7 * max(0.0, half - hips)) + extra

    def leg_at(self, side: int, drop: float) -> Ring:
        """The leg's ring `drop` units below the hip joints."""
        hip, knee, ankle = (self.at(f"{name}{side}") for name in ("hip", "knee", "ankle"))
        y = hip.imag + drop
        for start, end, first, last in ((hip, knee, 5.9, 4.2), (knee, ankle, 4.1, 2.4)):
            if y <= end.imag or end is ankle:
                share = min(1.0, max(0.0, (y - start.imag) / ((end.imag - start.imag) or 1.0)))
                return start + (end - start) * share, (first + (last - first) * share) * self.build.limb
        return ankle, 2.4

    def sides(self) -> tuple[int, int]:
        """The body's sides, the farther first."""
        return (1, -1) if self.near("shoulder1") < self.near("shoulder-1") else (-1, 1)


_LEVELS = (-0.1, 0.08, 0.42, 0.72, 0.83, 0.94, 1.0)


def _measures(build: Build, level: float) -> tuple[float, float, float]:
    """Half width, half depth and offset ahead of the trunk at a level, by linear interpolation."""
    share = build.depth
    table = (
        (build.hip * 0.97, build.hip * (share + 0.02), -0.6),
        (build.hip, build.hip * (share + 0.04), -0.7),
        (build.waist, build.waist * share + build.belly * 0.6, build.belly * 0.5),
        (build.chest, build.chest * share + build.bust * 0.6, build.bust * 0.5),
        (build.shoulder + 1.0, build.chest * share * 0.9, 0.0),
        (build.shoulder * 0.8, build.chest * share * 0.65, -0.5),
        (3.4, 3.2, -0.3),
    )
    level = min(max(level, _LEVELS[0]), _LEVELS[-1])
    for i in range(len(_LEVELS) - 1):
        if level <= _LEVELS[i + 1]:
            t = (level - _LEVELS[i]) / (_LEVELS[i + 1] - _LEVELS[i])
            first, second = table[i], table[i + 1]
            return (
                first[0] + (second[0] - first[0]) * t,
                first[1] + (second[1] - first[1]) * t,
                first[2] + (second[2] - first[2]) * t,
            )
    return table[-1]
