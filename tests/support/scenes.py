"""Scenes for tests, without drawing them. Test support."""

from dataclasses import replace
from random import Random

from ctgi.synth.person import NONE, draw_person, draw_views
from recipes.embedded.answers import Scene

ALWAYS = ("upper", "lower", "shoes", "hair", "face")


def draw_scene(seed: int, **changes: str) -> Scene:
    """A scene in which everything that is there can be seen; `changes` are fields of the person or the view."""
    rng = Random(seed)
    person = draw_person(rng)
    view = draw_views(person, rng)[0]
    person = replace(person, **{name: value for name, value in changes.items() if hasattr(person, name)})
    view = replace(view, **{name: value for name, value in changes.items() if hasattr(view, name)})
    there = {
        "bag": person.bag,
        "hat": person.hat,
        "glasses": person.glasses,
        "held": person.held,
        "inner": person.inner_color,
        "socks": person.socks_color,
        "scarf": person.scarf_color,
        "belt": person.belt_color,
    }
    seen = {*ALWAYS, *(name for name, value in there.items() if value != NONE)}
    seen |= {"pattern"} if person.upper_pattern != "plain" else set()
    seen -= {"lower"} if person.lower_type == NONE else set()
    return Scene(person, view, frozenset(seen))
