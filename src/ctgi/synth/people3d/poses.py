"""How people stand, walk, run and carry: goals for the bones."""

import math
from dataclasses import dataclass
from random import Random

import numpy as np

from ctgi.synth.look import Look
from ctgi.synth.people3d.bags import hangs_from_shoulder
from ctgi.synth.people3d.feet import HEEL
from ctgi.synth.people3d.mannequin import Mannequin
from ctgi.synth.people3d.meshes import Array
from ctgi.synth.people3d.rig import Goal, Reach, Toward, Turn, about
from ctgi.synth.person import NONE, Person

SIGN = {"l": 1.0, "r": -1.0}
"""x of the person's left and right."""


@dataclass(frozen=True)
class Pose:
    """What the skeleton shall do."""

    goals: dict[str, Goal]
    tasks: dict[str, str]
    """Of the hands l and r: free, bag, forearm (a bag hangs on it), held, ear, pocket or front."""


def draw_pose(body: Mannequin, person: Person, look: Look, action: str, rng: Random) -> Pose:
    """A pose for an action, with the hands at their tasks."""
    walks = action in ("walking", "running") or (action == "talking on the phone" and rng.random() < 0.5)
    stride = (rng.uniform(0.5, 0.8) if action == "running" else rng.uniform(0.22, 0.48)) if walks else 0.0
    phase = rng.uniform(0, 2 * math.pi)
    goals = _trunk(action, rng)
    for side in SIGN:
        swing = phase + (0 if side == "l" else math.pi)
        goals |= _leg(side, stride, swing, person.shoes_type == "high heels", rng)
        goals |= _arm(side, stride, swing, action == "running", rng)
    tasks = _tasks(person, look, action, rng)
    for side, task in tasks.items():
        goals |= _at_work(body, side, task, person, look, goals, rng)
    return Pose(goals, tasks)


def _trunk(action: str, rng: Random) -> dict[str, Goal]:
    lean = rng.gauss(0.03, 0.04) + (0.14 if action == "running" else 0)
    twist, sway = rng.gauss(0, 0.05), rng.gauss(0, 0.02)
    bend = Turn(np.asarray(about("x", lean / 2) @ about("z", twist) @ about("y", sway), np.float32))
    turn, nod = max(-0.7, min(0.7, rng.gauss(0, 0.25))), rng.gauss(0.05, 0.13)
    return {
        "spine_01": bend, "spine_02": bend, "spine_03": bend,
        "head": Turn(about("z", turn) @ about("x", nod)),
    }  # fmt: skip


def _leg(side: str, stride: float, swing: float, heels: bool, rng: Random) -> dict[str, Goal]:
    sign = SIGN[side]
    hip = stride * math.sin(swing) + rng.gauss(0, 0.03) + stride * 0.1
    lift = 0.9 * max(0.0, math.cos(swing)) ** 1.5 + 0.35 * max(0.0, -math.sin(swing))
    shin = hip - (0.06 + stride * lift + abs(rng.gauss(0, 0.04)))
    out = sign * (rng.uniform(-0.02, 0.04) if stride else rng.uniform(0.0, 0.09))
    tip = max(0.0, -shin) * 0.8 if stride else 0.0
    rise = math.atan2(HEEL, 0.16) if heels else 0.0
    toe = (sign * rng.uniform(0.02, 0.3), -math.cos(tip), -0.45 - math.sin(tip) * 1.4 - 0.9 * math.tan(rise))
    goals: dict[str, Goal] = {
        f"thigh_{side}": Toward((out, -math.sin(hip), -math.cos(hip))),
        f"calf_{side}": Toward((out * 0.5, -math.sin(shin), -math.cos(shin))),
        f"foot_{side}": Toward(toe),
    }
    if heels:
        goals[f"ball_{side}"] = Turn(about("x", -rise))
    return goals


def _arm(side: str, stride: float, swing: float, runs: bool, rng: Random) -> dict[str, Goal]:
    sign = SIGN[side]
    ahead = -stride * rng.uniform(0.6, 1.0) * math.sin(swing) + rng.gauss(0, 0.08)
    bend = (rng.uniform(1.1, 1.6) if runs else rng.uniform(0.08, 0.45)) + abs(ahead) * 0.3
    wide = sign * rng.uniform(0.12, 0.28)
    return {
        f"upperarm_{side}": Toward((wide, -math.sin(ahead), -math.cos(ahead))),
        f"lowerarm_{side}": Toward((wide * rng.uniform(-0.2, 0.9), -math.sin(ahead + bend), -math.cos(ahead + bend))),
    }


def _tasks(person: Person, look: Look, action: str, rng: Random) -> dict[str, str]:
    """The bag's hand first, then the phone, then what is held."""
    bag, other = ("l", "r") if look.bag_side > 0 else ("r", "l")
    tasks = {"l": "free", "r": "free"}
    if person.bag == "suitcase":
        tasks[bag] = "bag"
    elif person.bag == "handbag" and not hangs_from_shoulder(person, look):
        tasks[bag] = "forearm" if rng.random() < 0.35 and action != "running" else "bag"
    if action == "talking on the phone":
        tasks[other] = "ear"
    if person.held != NONE and not (action == "talking on the phone" and person.held == "phone"):
        free = [side for side in (other, bag) if tasks[side] == "free"]
        if free:
            tasks[free[0]] = "held"
    for side in tasks:
        if tasks[side] == "free" and action != "running":
            still = action in ("standing", "talking on the phone")
            tasks[side] = rng.choices(("free", "pocket", "front"), (74, 14 if still else 2, 12 if still else 5))[0]
    return tasks


def _at_work(
    body: Mannequin, side: str, task: str, person: Person, look: Look, goals: dict[str, Goal], rng: Random
) -> dict[str, Goal]:
    sign, upper = SIGN[side], f"upperarm_{side}"
    hip, chest, head = body.joints["thigh_l"] * np.array((sign, 1, 1)), body.joints["spine_03"], body.joints["head"]

    def reach(start: Array, x: float, y: float, z: float, pole: tuple[float, float, float]) -> dict[str, Goal]:
        point = (start + np.array((x, y, z))).astype(np.float32)
        return {upper: Reach(point, (pole[0] * sign, pole[1], pole[2]))}

    if task == "ear":
        return reach(head, sign * 0.135, -0.05, -0.01, (0.7, -0.5, -0.6))
    if task == "pocket":
        return reach(hip, sign * 0.09, -0.08, 0.03, (0.8, 0.6, 0))
    if task == "front":
        low = rng.uniform(-0.2, 0.1)
        return reach(chest, sign * rng.uniform(-0.02, 0.14), -0.26, low, (0.7, 0.5, -0.6))
    if task == "forearm":
        return reach(chest, sign * 0.2, -0.28, -0.05, (0.4, 0.5, -0.8))
    if task == "bag" and person.bag == "suitcase":
        return reach(hip, sign * 0.17, rng.uniform(-0.08, 0.28), -0.02, (0.6, 0.8, 0))
    if task == "bag":
        return {f"lowerarm_{side}": goals[upper]}
    if task == "held" and person.held == "umbrella" and look.umbrella_open:
        return reach(chest, sign * 0.17, -0.22, 0.02, (0.7, 0.4, -0.7))
    if task == "held" and person.held not in ("plastic bag", "umbrella") and rng.random() < 0.6:
        return reach(chest, sign * rng.uniform(0.05, 0.2), -0.3, rng.uniform(-0.18, 0.05), (0.7, 0.5, -0.6))
    return {}
