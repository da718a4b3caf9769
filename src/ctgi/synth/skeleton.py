"""Bodies in space: a pose as joint positions, and how a camera sees them.

Units: the standing body is 100 tall. In space x points to the person's left, y down from the ground (heights are
negative), z ahead.
"""

import math
from dataclasses import dataclass
from random import Random

from ctgi.synth.look import Build

Vec = tuple[float, float, float]
ANKLE = 4.0
UPPER_ARM, FOREARM = 17.5, 15.0
NECK = 16.5
"""From the crown down to the pit of the neck."""


@dataclass(frozen=True)
class Pose:
    """Joints in space by name; those of arms and legs end in the side: 1 is the person's left, -1 the right."""

    joints: dict[str, Vec]
    tasks: dict[int, str]
    """What each arm does."""
    head_turn: float
    """Radians to the person's left."""
    head_nod: float


def strike(build: Build, action: str, arms: dict[int, str], rng: Random) -> Pose:
    """A pose for an action, with a task for each arm (keys 1 and -1)."""
    gait = _gait(action, rng)
    joints = _trunk(build, gait, rng)
    _add_legs(joints, build, gait, rng)
    for side in (1, -1):
        _add_arm(joints, build, side, arms[side], gait, rng)
    if action != "riding a bicycle":
        _put_on_ground(joints)
    turn = rng.gauss(0, 0.25)
    return Pose(joints, arms, max(-0.8, min(0.8, turn)), rng.uniform(-0.1, 0.3))


@dataclass(frozen=True)
class _Gait:
    action: str
    phase: float
    stride: float
    """Largest angle of the thighs, radians."""
    knee: float
    lean: float
    arm: float


def _gait(action: str, rng: Random) -> _Gait:
    phase = rng.uniform(0, 2 * math.pi)
    if action == "running":
        return _Gait(action, phase, rng.uniform(0.5, 0.8), rng.uniform(1.0, 1.6), rng.uniform(0.1, 0.28), 0.7)
    if action == "walking" or (action == "talking on the phone" and rng.random() < 0.5):
        return _Gait(action, phase, rng.uniform(0.22, 0.45), rng.uniform(0.3, 0.75), rng.uniform(-0.02, 0.1), 0.45)
    if action == "riding a bicycle":
        return _Gait(action, phase, 0, 0, rng.uniform(0.15, 0.5), 0)
    return _Gait(action, phase, rng.uniform(0, 0.1), rng.uniform(0, 0.12), rng.uniform(-0.04, 0.08), 0.1)


def _trunk(build: Build, gait: _Gait, rng: Random) -> dict[str, Vec]:
    hip_y = -build.leg if gait.action != "riding a bicycle" else -build.leg - 5
    spine = 100 - NECK - build.leg
    sway = rng.gauss(0, 0.03)
    up = (math.sin(sway), -math.cos(gait.lean) * math.cos(sway), math.sin(gait.lean))
    pelvis = (0.0, hip_y, 0.0)
    neck = _along(pelvis, up, spine)
    joints = {"pelvis": pelvis, "neck": neck, "head": _along(neck, (up[0], -1.0, up[2] * 0.6), NECK - 7.0 * build.head)}
    twist = gait.stride * 0.4 * math.sin(gait.phase)
    shrug = rng.gauss(0, 0.5)
    for side in (1, -1):
        out = build.shoulder * side
        joints[f"shoulder{side}"] = (
            neck[0] + out * math.cos(twist), neck[1] + 5.5 + shrug * side, neck[2] + out * math.sin(twist) - 0.5,
        )  # fmt: skip
        joints[f"hip{side}"] = (pelvis[0] + side * build.hip * 0.52, pelvis[1], pelvis[2] - side * twist * 4)
    return joints


def _add_legs(joints: dict[str, Vec], build: Build, gait: _Gait, rng: Random) -> None:
    length = (build.leg - ANKLE) / 2
    spread = rng.uniform(0, 0.09) if gait.action == "standing" else rng.uniform(-0.02, 0.04)
    for side in (1, -1):
        hip = joints[f"hip{side}"]
        if gait.action == "riding a bicycle":
            _pedal(joints, side, hip, length, gait.phase)
            continue
        swing = gait.stride * math.sin(gait.phase) * side
        bend = 0.06 + gait.knee * max(0.0, -math.cos(gait.phase) * side) * (1.0 if gait.stride > 0.1 else 0.5)
        bend += 0.35 * gait.knee * max(0.0, -math.sin(gait.phase) * side)
        out = math.sin(spread) * side
        knee = _along(hip, (out, math.cos(swing), math.sin(swing)), length)
        shin = swing - bend
        ankle = _along(knee, (out * 0.6, math.cos(shin), math.sin(shin)), length)
        lift = min(0.9, max(0.0, bend - max(0.0, swing)) * 0.8) if gait.stride > 0.1 else 0.0
        turn = rng.uniform(0.0, 0.35) * side
        joints[f"knee{side}"], joints[f"ankle{side}"] = knee, ankle
        joints[f"toe{side}"] = _toe(ankle, turn, lift)


def _toe(ankle: Vec, turn: float, lift: float) -> Vec:
    reach = 10.5
    return (
        ankle[0] + reach * math.sin(turn) * math.cos(lift),
        ankle[1] + ANKLE * 0.75 + reach * math.sin(lift) * 0.8,
        ankle[2] + reach * math.cos(turn) * math.cos(lift),
    )


def _pedal(joints: dict[str, Vec], side: int, hip: Vec, length: float, phase: float) -> None:
    angle = phase + (0 if side > 0 else math.pi)
    ankle = (side * 5.0, -14.0 + 8 * math.sin(angle) - ANKLE, 6.0 + 8 * math.cos(angle))
    knee = _bend(hip, ankle, length, length, (side * 0.12, -0.3, 1.0))
    joints[f"knee{side}"], joints[f"ankle{side}"] = knee, ankle
    joints[f"toe{side}"] = _toe(ankle, 0.1 * side, 0.1)


def _add_arm(joints: dict[str, Vec], build: Build, side: int, task: str, gait: _Gait, rng: Random) -> None:
    shoulder, neck, pelvis, head = (joints[name] for name in (f"shoulder{side}", "neck", "pelvis", "head"))
    out = float(side)
    pole = (out * rng.uniform(0.4, 1.0), 0.6, -0.8)
    reach = UPPER_ARM + FOREARM
    targets: dict[str, Vec] = {
        "pocket": (pelvis[0] + out * (build.hip + 1.5), pelvis[1] + 1, pelvis[2] + 3),
        "ear": (head[0] + out * 5.0, head[1] + 2.5, head[2] + 1.5),
        "show": _beside(shoulder, -out * rng.uniform(0, 6), rng.uniform(10, 20), rng.uniform(10, 16)),
        "handle": _beside(shoulder, out * rng.uniform(2, 5), reach * 0.93, rng.uniform(-12, 4)),
        "bars": (out * rng.uniform(7, 10), -60.0 - rng.uniform(0, 6), 24.0),
        "strap": (shoulder[0] - out * 2.5, neck[1] + 13, neck[2] + 8),
        "hip": (pelvis[0] + out * (build.hip + 1), pelvis[1] - 5, pelvis[2] + 2),
        "umbrella": _beside(shoulder, -out * 3, 9, 11),
        "crook": _beside(shoulder, out, 15, 13),
    }  # fmt: skip
    if task in targets:
        elbow = _bend(shoulder, targets[task], UPPER_ARM, FOREARM, pole)
        hand = _towards(elbow, targets[task], FOREARM)
    else:
        elbow, hand = _swung(shoulder, side, task, gait, rng)
    joints[f"elbow{side}"], joints[f"hand{side}"] = elbow, hand


def _beside(vec: Vec, left: float, down: float, ahead: float) -> Vec:
    return vec[0] + left, vec[1] + down, vec[2] + ahead


def _swung(shoulder: Vec, side: int, task: str, gait: _Gait, rng: Random) -> tuple[Vec, Vec]:
    amount = gait.arm * (0.3 if task.startswith("carry") else 1.0)
    swing = -amount * math.sin(gait.phase) * side + rng.gauss(0, 0.06)
    bend = rng.uniform(1.2, 1.8) if gait.action == "running" else rng.uniform(0.05, 0.3) + 0.5 * max(0.0, swing)
    out = math.sin(rng.uniform(0.08, 0.28)) * side
    elbow = _along(shoulder, (out, math.cos(swing), math.sin(swing)), UPPER_ARM)
    fore = swing + bend
    return elbow, _along(elbow, (out * 0.3, math.cos(fore), math.sin(fore)), FOREARM)


def _bend(root: Vec, target: Vec, first: float, second: float, pole: Vec) -> Vec:
    """Where the middle joint of a two-piece limb lies, bent toward the pole."""
    away = tuple(t - r for t, r in zip(target, root, strict=True))
    distance = min(math.dist(target, root), (first + second) * 0.999) or 1e-6
    axis = tuple(a / (math.dist(target, root) or 1e-6) for a in away)
    along = (distance**2 + first**2 - second**2) / (2 * distance)
    height = math.sqrt(max(0.0, first**2 - along**2))
    dot = sum(p * a for p, a in zip(pole, axis, strict=True))
    side = tuple(p - dot * a for p, a in zip(pole, axis, strict=True))
    norm = math.hypot(*side) or 1e-6
    x, y, z = (r + along * a + height * s / norm for r, a, s in zip(root, axis, side, strict=True))
    return x, y, z


def _along(start: Vec, direction: Vec, length: float) -> Vec:
    norm = math.hypot(*direction)
    return (
        start[0] + direction[0] / norm * length,
        start[1] + direction[1] / norm * length,
        start[2] + direction[2] / norm * length,
    )


def _towards(start: Vec, target: Vec, length: float) -> Vec:
    return _along(start, (target[0] - start[0], target[1] - start[1], target[2] - start[2]), length)


def _put_on_ground(joints: dict[str, Vec]) -> None:
    down = max(joints[f"{name}{side}"][1] for side in (1, -1) for name in ("ankle", "toe"))
    offset = -ANKLE * 0.4 - down
    for name, (x, y, z) in joints.items():
        joints[name] = (x, y + offset, z)
