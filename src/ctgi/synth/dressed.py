"""A person in clothes with all belongings: the pose for a view, and the order in which things cover each other."""

import math
from random import Random

from ctgi.synth.bags import (
    bag_is_near,
    draw_backpack,
    draw_handbag,
    draw_shoulder_bag,
    draw_shoulder_strap,
    draw_straps,
    draw_suitcase,
)
from ctgi.synth.bicycle import draw_bicycle
from ctgi.synth.body import draw_arm, draw_hand, draw_hanging_hair, draw_head, draw_neck
from ctgi.synth.brush import Brush
from ctgi.synth.figure import Figure
from ctgi.synth.look import Look
from ctgi.synth.lower import draw_belt, draw_legs
from ctgi.synth.person import NONE, Person, View
from ctgi.synth.scene import lively
from ctgi.synth.skeleton import strike
from ctgi.synth.things import draw_glasses, draw_hat, draw_held, draw_scarf
from ctgi.synth.upper import draw_sleeve, draw_upper

_IDLE = ("swing", "swing", "swing", "swing", "pocket", "pocket", "hip", "strap", "show")
_YAW = {"front": 0.0, "back": math.pi, "left": -math.pi / 2, "right": math.pi / 2}


def pose_figure(person: Person, look: Look, view: View, rng: Random) -> Figure:
    """The person in a pose, turned as the view's side asks, under a camera that looks down a little."""
    yaw = _YAW[view.side] + max(-0.78, min(0.78, rng.gauss(0, 0.36)))
    pose = strike(look.build, view.action, arm_tasks(person, look, view, rng), rng)
    return Figure(pose, look.build, yaw, rng.uniform(0.0, 0.3))


def arm_tasks(person: Person, look: Look, view: View, rng: Random) -> dict[int, str]:
    """What each arm does, keyed by side."""
    if view.action == "riding a bicycle":
        return {1: "bars", -1: "bars"}
    tasks: dict[int, str] = {}
    bag_side, other = look.bag_side, -look.bag_side
    if person.bag == "suitcase":
        tasks[bag_side] = "handle"
    elif person.bag == "handbag":
        how = rng.choice(("carry", "carry", "crook", "shoulder"))
        if how != "shoulder":
            tasks[bag_side] = how
    phone = view.action == "talking on the phone"
    if phone:
        tasks[other] = "ear"
    if person.held != NONE and not (phone and person.held == "phone"):
        free = other if other not in tasks else bag_side
        if free not in tasks:
            tasks[free] = _holding(person, look, rng)
    idle = "swing" if view.action in ("walking", "running") else rng.choice(_IDLE)
    for side in (1, -1):
        tasks.setdefault(side, idle if rng.random() < 0.8 else "swing")
    return tasks


def _holding(person: Person, look: Look, rng: Random) -> str:
    if person.held == "umbrella":
        return "umbrella" if look.umbrella_open else "carry_held"
    if person.held == "plastic bag":
        return "carry_held"
    return rng.choice(("show", "show", "carry_held"))


def draw_dressed(brush: Brush, figure: Figure, person: Person, look: Look, view: View, rng: Random) -> None:
    """Everything, from far to near."""
    riding = view.action == "riding a bicycle"
    if riding:
        draw_bicycle(brush, figure, lively(rng), rng)
    if person.bag == "suitcase" and _pulled(figure):
        draw_suitcase(brush, figure, look, figure.at(f"hand{look.bag_side}"), look.bag_side)
    far, near = figure.sides()
    early = [side for side in (far, near) if _behind(figure, side)]
    late = [side for side in (far, near) if side not in early]
    backpack = person.bag == "backpack"
    draw_hanging_hair(brush, figure, person, look, behind=True)
    if backpack and figure.facing >= -0.2:
        draw_backpack(brush, figure, look)
    for side in early:
        _draw_whole_arm(brush, figure, person, look, side)
    if person.bag == "shoulder bag" and not bag_is_near(figure, look):
        draw_shoulder_bag(brush, figure, look)
    draw_neck(brush, figure, look)
    _draw_clothes(brush, figure, person, look, rng)
    _draw_worn_bag(brush, figure, person, look)
    if person.scarf_color != NONE:
        draw_scarf(brush, figure, look)
    _draw_head(brush, figure, person, look, rng)
    for side in late:
        _draw_whole_arm(brush, figure, person, look, side)


def _behind(figure: Figure, side: int) -> bool:
    """Whether the trunk covers the arm."""
    reach = 0.5 * figure.near(f"elbow{side}") + 1.5 * figure.near(f"hand{side}")
    return reach < -7 - 8 * max(0.0, figure.facing)


def _draw_clothes(brush: Brush, figure: Figure, person: Person, look: Look, rng: Random) -> None:
    if look.cut.tucked:
        draw_upper(brush, figure, person, look, rng)
        draw_legs(brush, figure, person, look)
        if person.belt_color != NONE:
            draw_belt(brush, figure, look)
        return
    draw_legs(brush, figure, person, look)
    if person.belt_color != NONE:
        draw_belt(brush, figure, look)
    draw_upper(brush, figure, person, look, rng)


def _draw_worn_bag(brush: Brush, figure: Figure, person: Person, look: Look) -> None:
    if person.bag == "backpack":
        if figure.facing < -0.2:
            draw_backpack(brush, figure, look)
        else:
            draw_straps(brush, figure, look)
    elif person.bag == "handbag" and figure.pose.tasks[look.bag_side] not in ("carry", "crook"):
        draw_handbag(brush, figure, look, figure.at(f"shoulder{look.bag_side}") - 2j, 13.0)
    elif person.bag == "shoulder bag":
        draw_shoulder_strap(brush, figure, look, across=look.bag_cut == "sling" or look.bag_across)
        if bag_is_near(figure, look):
            draw_shoulder_bag(brush, figure, look)


def _draw_head(brush: Brush, figure: Figure, person: Person, look: Look, rng: Random) -> None:
    draw_head(brush, figure, person, look, rng)
    draw_hanging_hair(brush, figure, person, look, behind=False)
    if person.glasses != NONE:
        draw_glasses(brush, figure, person)
    if person.hat != NONE:
        draw_hat(brush, figure, person, look)


def _draw_whole_arm(brush: Brush, figure: Figure, person: Person, look: Look, side: int) -> None:
    if person.sleeves != "long":
        draw_arm(brush, figure, look, side, bare_from=0.8 * look.cut.sleeve if person.sleeves == "short" else 0.0)
    draw_hand(brush, figure, look, side)
    draw_sleeve(brush, figure, person, look, side)
    task = figure.pose.tasks[side]
    if task == "handle" and not _pulled(figure):
        draw_suitcase(brush, figure, look, figure.at(f"hand{side}"), side)
    elif task in ("carry", "crook"):
        hand = figure.at(f"hand{side}")
        hook = figure.at(f"elbow{side}") * 0.6 + hand * 0.4 if task == "crook" else hand + 2j
        draw_handbag(brush, figure, look, hook, 5.0)
    if person.held == NONE and task != "ear":
        return
    if task in ("show", "umbrella", "carry_held", "ear"):
        draw_held(brush, figure, person, look, side)


def _pulled(figure: Figure) -> bool:
    """Whether a suitcase rolls behind somebody who comes toward the camera."""
    return figure.facing > 0.3 and abs(figure.near("ankle1") - figure.near("ankle-1")) > 8
