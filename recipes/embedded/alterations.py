"""Hard negatives: the same scene with one thing about the person changed; a description of it is subtly false."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import NamedTuple

from ctgi.synth import person as tables
from ctgi.synth.colors import differ
from ctgi.synth.person import NONE
from recipes.embedded.answers import Scene

UPPER_GROUPS = (
    ("T-shirt", "polo shirt", "tank top", "shirt", "blouse"),
    ("sweater", "hoodie"),
    tables.OUTER,
    ("dress",),
)
LOWER_GROUPS = (("trousers", "jeans", "leggings"), ("shorts",), ("skirt",))
BAG_GROUPS = (("backpack",), ("handbag", "shoulder bag"), ("suitcase",))
SHOE_GROUPS = (("sneakers", "shoes"), ("boots",), ("sandals",), ("high heels",))
_SPECIAL_SHOES = {kind: share for kind, share in tables.SHOES.items() if kind != "shoes"}
"""All of them are shoes, so that nobody who says shoes is wrong."""
_HELD_GROUPS = tuple((kind,) for kind in tables.HELD if kind != NONE)


class Altered(NamedTuple):
    """A scene that is not the picture's."""

    topic: str
    """The phrase that tells the difference: upper, lower, shoes, bag, hat, glasses, held, hair or person."""
    field: str
    scene: Scene


Alter = Callable[[Scene, Random], Scene | None]


def alter(scene: Scene, rng: Random) -> Altered:
    """The scene with one visible thing changed, added or left out."""
    while True:
        field = rng.choices(list(_ALTER), _SHARES)[0]
        changed = _ALTER[field](scene, rng)
        if changed is not None:
            return Altered(_TOPICS.get(field, field.partition("_")[0]), field, changed)


def _recolor(field: str, part: str, table: dict[str, int]) -> Alter:
    def change(scene: Scene, rng: Random) -> Scene | None:
        now = getattr(scene.person, field)
        if now == NONE or not scene.sees(part):
            return None
        color = tables.draw_color({c: n for c, n in table.items() if differ(c, now)}, rng)
        return _with(scene, field, color)

    return change


def _regroup(field: str, part: str, groups: tuple[tuple[str, ...], ...], table: dict[str, int]) -> Alter:
    """Another kind of garment or bag, one that looks different."""

    def change(scene: Scene, rng: Random) -> Scene | None:
        now = getattr(scene.person, field)
        if now == NONE or not scene.sees(part):
            return None
        group = rng.choice([group for group in groups if now not in group])
        return _with(scene, field, rng.choice([kind for kind in group if kind in table]))

    return change


def _add(field: str, part: str, table: dict[str, int], colors: dict[str, int] | None = None) -> Alter:
    """A thing that is not there, where it would be seen if it were."""

    def change(scene: Scene, rng: Random) -> Scene | None:
        if getattr(scene.person, field) != NONE:
            return None
        if part == "glasses" and not scene.sees("face"):
            return None
        kinds = {kind: share for kind, share in table.items() if kind != NONE}
        thing = {field: tables.draw(kinds, rng)}
        if colors:
            thing |= {f"{field}_color": tables.draw_color(colors, rng)}
        return Scene(replace(scene.person, **thing), scene.view, scene.visible | {part})

    return change


def _change_upper(scene: Scene, rng: Random) -> Scene | None:
    """Only between garments that are worn over a lower one: a dress would change two things."""
    if scene.person.upper_type == "dress":
        return None
    changed = _regroup("upper_type", "upper", UPPER_GROUPS[:-1], tables.UPPERS)(scene, rng)
    if changed is None:
        return None
    sleeves = "long" if changed.person.upper_type in ("sweater", "hoodie", *tables.OUTER) else "short"
    return _with(_with(changed, "inner_color", NONE), "sleeves", sleeves)


def _change_lower(scene: Scene, rng: Random) -> Scene | None:
    changed = _regroup("lower_type", "lower", LOWER_GROUPS, tables.LOWERS)(scene, rng)
    if changed is None:
        return None
    lengths = {"shorts": "short", "skirt": "knee-length"}
    return _with(changed, "lower_length", lengths.get(changed.person.lower_type, "long"))


def _change_pattern(scene: Scene, rng: Random) -> Scene | None:
    """A pattern where there is none, another one, or none."""
    person = scene.person
    if not scene.sees("upper") or person.upper_pattern == "printed":
        return None
    if person.upper_pattern != "plain":
        return _with(_with(scene, "upper_pattern", "plain"), "pattern_color", NONE) if scene.sees("pattern") else None
    color = tables.draw_color({c: n for c, n in tables.CLOTH.items() if differ(c, person.upper_color)}, rng)
    pattern = rng.choice(("striped", "checked", "floral"))
    changed = _with(_with(scene, "upper_pattern", pattern), "pattern_color", color)
    return replace(changed, visible=changed.visible | {"pattern"})


def _change_gender(scene: Scene, rng: Random) -> Scene:
    return _with(scene, "gender", "woman" if scene.person.gender == "man" else "man")


def _change_sleeves(scene: Scene, rng: Random) -> Scene | None:
    if not scene.sees("upper") or scene.person.upper_type not in ("T-shirt", "shirt", "polo shirt", "blouse", "dress"):
        return None
    return _with(scene, "sleeves", "short" if scene.person.sleeves == "long" else "long")


def _change_hair(scene: Scene, rng: Random) -> Scene | None:
    length = scene.person.hair_length
    if not scene.sees("hair") or length == "shoulder-length":
        return None
    changed = _with(scene, "hair_length", "long" if length in ("short", "bald") else "short")
    return _with(changed, "hair_style", "loose" if length in ("short", "bald") else NONE)


def _change_action(scene: Scene, rng: Random) -> Scene:
    other = {"standing": ("running", "riding a bicycle"), "walking": ("riding a bicycle", "running")}
    action = rng.choice(other.get(scene.view.action, ("standing",)))
    return replace(scene, view=replace(scene.view, action=action))


def _with(scene: Scene, field: str, value: str) -> Scene:
    return replace(scene, person=replace(scene.person, **{field: value}))


_ALTER: dict[str, Alter] = {
    "upper_color": _recolor("upper_color", "upper", tables.CLOTH),
    "lower_color": _recolor("lower_color", "lower", tables.LOWER_COLORS),
    "shoes_color": _recolor("shoes_color", "shoes", tables.SHOE_COLORS),
    "bag_color": _recolor("bag_color", "bag", tables.BAG_COLORS),
    "hat_color": _recolor("hat_color", "hat", tables.BAG_COLORS),
    "hair_color": _recolor("hair_color", "hair", {"black": 40, "blond": 40, "gray": 20}),
    "inner_color": _recolor("inner_color", "inner", tables.CLOTH),
    "upper_type": _change_upper,
    "lower_type": _change_lower,
    "upper_pattern": _change_pattern,
    "bag_type": _regroup("bag", "bag", BAG_GROUPS, tables.BAGS),
    "bag": _add("bag", "bag", tables.BAGS, tables.BAG_COLORS),
    "hat": _add("hat", "hat", tables.HATS, tables.BAG_COLORS),
    "glasses": _add("glasses", "glasses", tables.GLASSES),
    "held": _add("held", "held", tables.HELD, tables.BAG_COLORS),
    "held_type": _regroup("held", "held", _HELD_GROUPS, tables.HELD),
    "shoes_type": _regroup("shoes_type", "shoes", SHOE_GROUPS, _SPECIAL_SHOES),
    "sleeves": _change_sleeves,
    "hair_length": _change_hair,
    "gender": _change_gender,
    "action": _change_action,
}
_SHARES = [17, 16, 8, 8, 4, 4, 3, 9, 9, 5, 6, 14, 5, 4, 6, 4, 6, 6, 7, 20, 4]
_TOPICS = {"gender": "person", "inner_color": "upper", "sleeves": "upper"}
