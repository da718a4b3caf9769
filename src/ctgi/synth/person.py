"""Who is in the picture: a person's looks, and how one camera meets the person. Frequencies follow human captions.

The shares come from word counts over 22,946 captions of benchmark images: black in 65 % of the captions, white in 50 %,
blue 27 %, brown 15 %, gray 24 %, red 13 %; shorts 22 %, skirt or dress 14 %; a bag of some kind in about 40 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from ctgi.synth.colors import differ

NONE = "none"


@dataclass(frozen=True)
class Person:
    """What stays the same in every picture of a person. NONE where there is no such thing."""

    gender: str
    """man or woman: the apparent one, a term that descriptions use."""
    hair_length: str
    """bald, short, shoulder-length or long."""
    hair_style: str
    """loose, ponytail or bun; NONE when bald or short."""
    hair_color: str
    upper_type: str
    """One of UPPERS, or dress."""
    upper_color: str
    upper_pattern: str
    """plain, striped, checked, floral, dotted or printed."""
    pattern_color: str
    """The second color of a pattern; NONE when plain."""
    sleeves: str
    """long, short or none."""
    inner_color: str
    """Of a shirt that shows under an open jacket."""
    lower_type: str
    """One of LOWERS; NONE under a dress."""
    lower_color: str
    lower_length: str
    """long, knee-length or short; of a dress, its own."""
    lower_pattern: str
    shoes_type: str
    shoes_color: str
    socks_color: str
    """NONE where no socks show."""
    bag: str
    bag_color: str
    hat: str
    hat_color: str
    glasses: str
    scarf_color: str
    belt_color: str
    held: str
    """A thing in the hand."""
    held_color: str


@dataclass(frozen=True)
class View:
    """How one camera meets the person."""

    side: str
    """front, back, left (the person faces the picture's left) or right."""
    action: str
    scene: str
    others: bool
    """Whether somebody else stands close by."""


OUTER = ("jacket", "coat", "blazer")
"""Garments that may hang open over a shirt."""
UPPERS = {
    "T-shirt": 27, "shirt": 18, "polo shirt": 4, "blouse": 6, "tank top": 4, "sweater": 8, "hoodie": 8, "jacket": 15,
    "coat": 6, "blazer": 4,
}  # fmt: skip
LOWERS = {"trousers": 42, "jeans": 22, "shorts": 22, "skirt": 7, "leggings": 7}
WINTER_LOWERS = {"trousers": 56, "jeans": 27, "shorts": 1, "skirt": 7, "leggings": 9}
"""Under a coat."""
PATTERNS = {"plain": 70, "striped": 9, "checked": 7, "floral": 4, "dotted": 3, "printed": 7}
SHOES = {"sneakers": 42, "shoes": 30, "boots": 11, "sandals": 11, "high heels": 6}
BAGS = {NONE: 55, "backpack": 15, "handbag": 9, "shoulder bag": 13, "suitcase": 8}
HATS = {NONE: 89, "cap": 6, "hat": 3, "beanie": 2}
SCARVES = {NONE: 95, "scarf": 5}
LEANING = {
    "man": {
        "high heels": 0.0, "boots": 0.6, "handbag": 0.2, "backpack": 1.3, "suitcase": 1.1, "cap": 1.4, "hat": 0.6,
        "scarf": 0.6, "blouse": 0.0,
    },
    "woman": {
        "high heels": 2.0, "boots": 1.4, "handbag": 1.8, "backpack": 0.7, "suitcase": 0.9, "cap": 0.6, "hat": 1.4,
        "scarf": 1.5, "blouse": 1.5,
    },
}  # fmt: skip
"""How much more often a gender wears or carries what is in these tables: it hints at the gender, and no more."""
GLASSES = {NONE: 83, "glasses": 12, "sunglasses": 5}
HELD = {NONE: 79, "phone": 6, "umbrella": 3, "book": 3, "bottle": 3, "cup": 3, "plastic bag": 3}
SIDES = {"front": 36, "back": 28, "left": 18, "right": 18}
ACTIONS = {"standing": 34, "walking": 48, "running": 6, "riding a bicycle": 4, "talking on the phone": 8}
SCENES = {"street": 44, "park": 14, "wall": 12, "hall": 16, "shop": 12}
CLOTH = {
    "black": 24, "gray": 12, "white": 26, "cream": 4, "tan": 4, "brown": 4, "red": 7, "burgundy": 3, "pink": 5,
    "orange": 3, "yellow": 4, "green": 6, "light blue": 5, "blue": 7, "navy": 6, "purple": 4,
}  # fmt: skip
LOWER_COLORS = {
    "black": 33, "gray": 14, "white": 8, "cream": 3, "tan": 9, "brown": 6, "red": 4, "burgundy": 2, "pink": 3,
    "orange": 1, "yellow": 2, "green": 4, "light blue": 4, "blue": 10, "navy": 8, "purple": 2,
}  # fmt: skip
SHOE_COLORS = {"black": 36, "white": 28, "gray": 9, "brown": 11, "tan": 4, "red": 5, "blue": 4, "pink": 2, "green": 1}
BAG_COLORS = {
    "black": 60, "gray": 8, "white": 6, "tan": 6, "brown": 10, "red": 11, "pink": 5, "orange": 2, "yellow": 3,
    "green": 5, "blue": 7, "navy": 3, "purple": 3,
}  # fmt: skip
HAIR_COLORS = {"black": 70, "brown": 15, "blond": 7, "gray": 7, "red": 1}
TONE_ON_TONE = 0.15
"""Share of bags in the color of the upper garment."""
UNIFORM = 0.2
"""Share of color draws that ignore the frequencies, so that rare colors are met often enough to be learned."""
VIEWS = 5


def draw(table: Mapping[str, float], rng: Random) -> str:
    """One key by weight."""
    return rng.choices(list(table), list(table.values()))[0]


def _draw_leaning(table: Mapping[str, float], gender: str, rng: Random) -> str:
    """One key by weight and gender."""
    return draw({key: share * LEANING[gender].get(key, 1.0) for key, share in table.items()}, rng)


def draw_color(table: dict[str, int], rng: Random) -> str:
    """A color by weight, or now and then any of the table alike."""
    if rng.random() < UNIFORM:
        return rng.choice(list(table))
    return draw(table, rng)


def _apart(table: dict[str, int], color: str) -> dict[str, int]:
    """The colors that nobody would take for this one."""
    return {name: share for name, share in table.items() if differ(name, color)}


def draw_person(rng: Random) -> Person:
    """A person dressed by chance, within reason."""
    gender = rng.choice(("man", "woman"))
    upper = _draw_upper(gender, rng)
    return Person(
        gender=gender,
        **_draw_hair(gender, rng),
        **upper,
        **_draw_lower(gender, upper["upper_type"], rng),
        **_draw_things(gender, upper["upper_color"], rng),
    )


def draw_views(person: Person, rng: Random, count: int = VIEWS) -> list[View]:
    """Views from as many cameras; of three or more, one from the front and one from the back."""
    sides = ["front", "back"] if count > 2 else []
    sides += [draw(SIDES, rng) for _ in range(count - len(sides))]
    return [
        View(side, _draw_action(person, rng), draw(SCENES, rng), others=rng.random() < 0.2)
        for side in rng.sample(sides, len(sides))
    ]


def _draw_hair(gender: str, rng: Random) -> dict[str, str]:
    if gender == "man":
        length = draw({"short": 86, "bald": 8, "shoulder-length": 4, "long": 2}, rng)
    else:
        length = draw({"long": 51, "shoulder-length": 27, "short": 22}, rng)
    tied = {"loose": 60, "ponytail": 25, "bun": 15} if length == "long" else {"loose": 1}
    style = NONE if length in ("bald", "short") else draw(tied, rng)
    return {"hair_length": length, "hair_style": style, "hair_color": draw(HAIR_COLORS, rng)}


def _draw_upper(gender: str, rng: Random) -> dict[str, str]:
    kind = _draw_leaning(UPPERS, gender, rng)
    if gender == "woman" and rng.random() < 0.17:
        kind = "dress"
    pattern = draw(PATTERNS, rng)
    if (kind in OUTER and pattern not in ("plain", "checked")) or (gender == "man" and pattern == "floral"):
        pattern = "plain"
    color = draw_color(CLOTH, rng)
    inner = draw_color(_apart(CLOTH, color), rng) if kind in OUTER and rng.random() < 0.5 else NONE
    return {
        "upper_type": kind,
        "upper_color": color,
        "upper_pattern": pattern,
        "pattern_color": NONE if pattern == "plain" else draw_color(_apart(CLOTH, color), rng),
        "sleeves": _draw_sleeves(kind, rng),
        "inner_color": inner,
    }


def _draw_sleeves(kind: str, rng: Random) -> str:
    if kind in ("sweater", "hoodie", *OUTER):
        return "long"
    if kind == "tank top":
        return NONE
    if kind in ("T-shirt", "polo shirt"):
        return "short" if rng.random() < 0.85 else "long"
    shares = {"dress": {"short": 45, NONE: 35, "long": 20}, "shirt": {"long": 60, "short": 40}}
    return draw(shares.get(kind, {"long": 50, "short": 40, NONE: 10}), rng)


def _draw_lower(gender: str, upper_type: str, rng: Random) -> dict[str, str]:
    if upper_type == "dress":
        length = draw({"knee-length": 50, "short": 25, "long": 25}, rng)
        return {"lower_type": NONE, "lower_color": NONE, "lower_length": length, "lower_pattern": NONE}
    kind = draw(WINTER_LOWERS if upper_type == "coat" else LOWERS, rng)
    if gender == "man" and kind in ("skirt", "leggings"):
        kind = "trousers"
    lengths = {"shorts": {"knee-length": 50, "short": 50}, "skirt": {"knee-length": 40, "short": 35, "long": 25}}
    jeans = {"blue": 48, "light blue": 14, "navy": 14, "black": 16, "gray": 8}
    pattern = draw({"plain": 92, "striped": 3, "checked": 3, "floral": 2}, rng)
    return {
        "lower_type": kind,
        "lower_color": draw_color(jeans if kind == "jeans" else LOWER_COLORS, rng),
        "lower_length": draw(lengths.get(kind, {"long": 1}), rng),
        "lower_pattern": "plain" if kind in ("jeans", "leggings") else pattern,
    }


def _draw_things(gender: str, upper_color: str, rng: Random) -> dict[str, str]:
    shoes, bag, hat, scarf = (_draw_leaning(table, gender, rng) for table in (SHOES, BAGS, HATS, SCARVES))
    held = draw(HELD, rng)
    return {
        "shoes_type": shoes,
        "shoes_color": draw_color(SHOE_COLORS, rng),
        "socks_color": draw(SHOE_COLORS, rng) if shoes in ("sneakers", "shoes") and rng.random() < 0.25 else NONE,
        "bag": bag,
        "bag_color": NONE if bag == NONE else _draw_bag_color(upper_color, rng),
        "hat": hat,
        "hat_color": NONE if hat == NONE else draw_color(BAG_COLORS, rng),
        "glasses": draw(GLASSES, rng),
        "scarf_color": NONE if scarf == NONE else draw_color(CLOTH, rng),
        "belt_color": draw({"black": 60, "brown": 40}, rng) if rng.random() < 0.06 else NONE,
        "held": held,
        "held_color": NONE if held == NONE else draw_color(BAG_COLORS, rng),
    }


def _draw_bag_color(upper_color: str, rng: Random) -> str:
    if upper_color in BAG_COLORS and rng.random() < TONE_ON_TONE:
        return upper_color
    return draw_color(BAG_COLORS, rng)


def _draw_action(person: Person, rng: Random) -> str:
    action = draw(ACTIONS, rng)
    in_the_way = person.bag == "suitcase" or (person.lower_length == "long" and _skirted(person))
    if action == "riding a bicycle" and in_the_way:
        return "standing"
    if action == "running" and person.bag == "suitcase":
        return "walking"
    if action in ("running", "riding a bicycle", "talking on the phone") and person.held == "umbrella":
        return "walking"
    return action


def _skirted(person: Person) -> bool:
    return person.upper_type == "dress" or person.lower_type == "skirt"
