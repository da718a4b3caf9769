"""People who look much the same, as the first candidates of a search do, and what of them is false of a picture."""

from dataclasses import replace
from random import Random

from ctgi.synth.colors import differ
from ctgi.synth.person import NONE
from recipes.embedded.alterations import BAG_GROUPS, LOWER_GROUPS, UPPER_GROUPS
from recipes.embedded.answers import Scene

_UPPER = ("upper_type", "upper_color", "upper_pattern", "pattern_color", "sleeves", "inner_color")
_LOWER = ("lower_type", "lower_color", "lower_length", "lower_pattern")
_SHOES = ("shoes_type", "shoes_color", "socks_color")
_HAIR = ("hair_length", "hair_style", "hair_color")
_SHARED = (("gender", *_HAIR), _UPPER, _LOWER, _SHOES)
_THERE = {"lower": "lower_type", "bag": "bag", "hat": "hat", "glasses": "glasses", "held": "held",
          "scarf": "scarf_color", "belt": "belt_color"}  # fmt: skip
_STILL = ("standing", "walking")
_MOVING = ("running", "riding a bicycle")


def draw_lookalike(scene: Scene, other: Scene, rng: Random) -> Scene:
    """The other person, with some of this one's clothes or their colors."""
    person = other.person
    dressed = "dress" in (person.upper_type, scene.person.upper_type)
    for fields in _SHARED:
        if rng.random() < 0.55:
            taken = [field for field in fields if not dressed or field in ("upper_color", "gender", "shoes_color")]
            person = replace(person, **{field: getattr(scene.person, field) for field in taken})
    return replace(other, person=person)


def agrees(topic: str, here: Scene, told: Scene) -> bool | None:
    """Whether what is told of one scene holds in another; None where people might differ.

    topic: as `phrases` names them, or person.
    """
    field = _THERE.get(topic)
    if field and getattr(told.person, field) == NONE:  # nothing is told
        return None
    return _JUDGES[topic](here, told)


def _of_person(here: Scene, told: Scene) -> bool | None:
    return here.person.gender == told.person.gender


def _of_upper(here: Scene, told: Scene) -> bool | None:
    a, b = here.person, told.person
    if not here.sees("upper"):
        return None
    if differ(a.upper_color, b.upper_color) or _apart(a.upper_type, b.upper_type, UPPER_GROUPS):
        return False
    return True if _alike(here, told, _UPPER) else None


def _of_lower(here: Scene, told: Scene) -> bool | None:
    a, b = here.person, told.person
    if a.lower_type == NONE:
        return False if here.sees("upper") else None
    if not here.sees("lower"):
        return None
    if differ(a.lower_color, b.lower_color) or _apart(a.lower_type, b.lower_type, LOWER_GROUPS):
        return False
    return True if _alike(here, told, _LOWER) else None


def _of_shoes(here: Scene, told: Scene) -> bool | None:
    if not here.sees("shoes"):
        return None
    if differ(here.person.shoes_color, told.person.shoes_color):
        return False
    return True if _alike(here, told, _SHOES) else None


def _of_bag(here: Scene, told: Scene) -> bool | None:
    a, b = here.person, told.person
    if a.bag == NONE:
        return False
    if not here.sees("bag"):
        return None
    if differ(a.bag_color, b.bag_color) or _apart(a.bag, b.bag, BAG_GROUPS):
        return False
    return True if _alike(here, told, ("bag", "bag_color")) else None


def _of_hat(here: Scene, told: Scene) -> bool | None:
    if here.person.hat == NONE:
        return False if here.sees("hair") else None
    if not here.sees("hat"):
        return None
    if differ(here.person.hat_color, told.person.hat_color):
        return False
    return True if _alike(here, told, ("hat", "hat_color")) else None


def _of_glasses(here: Scene, told: Scene) -> bool | None:
    if not here.sees("glasses"):
        return False if here.person.glasses == NONE and here.sees("face") else None
    return True if _alike(here, told, ("glasses",)) else None


def _of_held(here: Scene, told: Scene) -> bool | None:
    if here.person.held == NONE:
        return False if here.view.action != "talking on the phone" else None
    if not here.sees("held"):
        return None
    if here.person.held != told.person.held:
        return False
    return True if _alike(here, told, ("held", "held_color")) else None


def _of_hair(here: Scene, told: Scene) -> bool | None:
    a, b = here.person, told.person
    if not here.sees("hair"):
        return None
    cropped = [person.hair_length in ("bald", "short") for person in (a, b)]
    if cropped[0] != cropped[1] and "long" in (a.hair_length, b.hair_length):
        return False
    return True if _alike(here, told, _HAIR) else None


def _of_scarf(here: Scene, told: Scene) -> bool | None:
    if not here.sees("scarf"):
        return False if here.person.scarf_color == NONE else None
    return True if _alike(here, told, ("scarf_color",)) else None


def _of_belt(here: Scene, told: Scene) -> bool | None:
    return True if here.sees("belt") and _alike(here, told, ("belt_color",)) else None


def _of_action(here: Scene, told: Scene) -> bool | None:
    a, b = here.view.action, told.view.action
    if a == b:
        return True
    return False if (a in _MOVING and b in _STILL) or (a in _STILL and b in _MOVING) else None


def _of_scene(here: Scene, told: Scene) -> bool | None:
    return True if here.view.scene == told.view.scene else None


_JUDGES = {
    "person": _of_person, "upper": _of_upper, "lower": _of_lower, "shoes": _of_shoes, "bag": _of_bag, "hat": _of_hat,
    "glasses": _of_glasses, "held": _of_held, "hair": _of_hair, "scarf": _of_scarf, "belt": _of_belt,
    "action": _of_action, "scene": _of_scene,
}  # fmt: skip


def _apart(kind: str, other: str, groups: tuple[tuple[str, ...], ...]) -> bool:
    """Whether two kinds are of different groups."""
    return not any(kind in group and other in group for group in groups)


def _alike(here: Scene, told: Scene, fields: tuple[str, ...]) -> bool:
    return all(getattr(here.person, field) == getattr(told.person, field) for field in fields)
