"""The shades, proportions and cuts that one person keeps in all pictures."""

from dataclasses import dataclass
from random import Random
from typing import Any

from ctgi.synth.colors import DENIM, RGB, shade
from ctgi.synth.person import NONE, OUTER, Person


@dataclass(frozen=True)
class Build:
    """Proportions of a body 100 units tall."""

    shoulder: float
    """Half the distance of the shoulder joints."""
    chest: float
    """Half width; depth is a share of it."""
    waist: float
    hip: float
    depth: float
    """Depth of the trunk as a share of its width."""
    bust: float
    belly: float
    limb: float
    """Thickness of the limbs; 1 is average."""
    leg: float
    """Height of the hip joints."""
    head: float
    """Size of the head; 1 is average."""


@dataclass(frozen=True)
class Cut:
    """How the clothes are made."""

    loose: float
    """Extra width of the upper garment, in units."""
    hem: float
    """Where the upper garment ends: 0 at the hip joints, negative below, in units."""
    tucked: bool
    collar: str
    """none, crew, shirt, lapels, stand, fur or hood."""
    front: str
    """closed, buttons, zip or open."""
    open_width: float
    cloth: str
    """Name of a texture: folds, creases, knit, ribs, puffer, leather, denim or fur."""
    cloth_strength: float
    fold_strength: float
    neckline: float
    """Depth of the neck opening in units."""
    sleeve: float
    """Where a short sleeve ends: 0 at the shoulder, 1 at the elbow."""
    cuff: bool
    pocket: bool
    print_kind: str
    """emblem, letters, blot or band."""
    leg_width: float
    """Trouser width over the leg's; 1 is tight."""
    flare: float
    """Width at the ankle over that at the knee."""
    stripe: bool
    """A stripe along the trouser leg."""
    skirt_flare: float
    lower_cloth: str


@dataclass(frozen=True)
class Look:
    """Shades in RGB and geometry, chosen once per person. What the person lacks has a color that nobody sees."""

    skin: RGB
    hair: RGB
    upper: RGB
    pattern: RGB
    inner: RGB
    lower: RGB
    shoes: RGB
    sole: RGB
    socks: RGB
    bag: RGB
    hat: RGB
    scarf: RGB
    belt: RGB
    held: RGB
    trim: RGB
    """Of laces, drawstrings, buttons and prints' second color."""
    build: Build
    cut: Cut
    hair_volume: float
    hairline: float
    """How far the hair reaches into the forehead, 0 to 1."""
    fringe: float
    """Where the hair is parted, -1 to 1."""
    beard: float
    """How dense; 0 is none."""
    pattern_size: float
    pattern_turn: float
    """Degrees."""
    pattern_share: float
    """Share of the pattern's second color."""
    pattern_seed: int
    printed_all_over: bool
    """Whether prints cover the whole garment; otherwise they are on the chest."""
    bag_size: float
    bag_shape: float
    """0 is soft and wide, 1 is boxy and tall."""
    bag_swing: float
    """Where at the hip a shoulder bag hangs: -1 is behind, 1 in front; its size is how far out a suitcase rolls."""
    bag_cut: str
    """Within its kind, one of BAG_CUTS."""
    bag_across: bool
    """Whether the strap of a shoulder bag goes to the other shoulder."""
    bag_strap: float
    """Width of straps, 0 to 1; a wide one of a backpack has a strap on the chest."""
    bag_gloss: float
    """0 is cloth, 1 shines."""
    bag_side: int
    """On which side the bag is carried: 1 is the person's left, -1 the right."""
    umbrella_open: bool


_SKIN = (
    (1.0, 0.84, 0.74),
    (0.94, 0.76, 0.63),
    (0.86, 0.66, 0.5),
    (0.76, 0.56, 0.41),
    (0.58, 0.4, 0.28),
    (0.36, 0.24, 0.17),
)
_HAIR = {
    "black": ((0.03, 0.03, 0.035), (0.11, 0.1, 0.1)),
    "brown": ((0.2, 0.12, 0.07), (0.38, 0.25, 0.15)),
    "blond": ((0.66, 0.52, 0.3), (0.88, 0.77, 0.52)),
    "gray": ((0.5, 0.5, 0.5), (0.8, 0.8, 0.79)),
    "red": ((0.5, 0.2, 0.08), (0.68, 0.32, 0.12)),
}


def draw_look(person: Person, rng: Random) -> Look:
    """Shades that bear the person's color names, and a body and clothes to wear them."""
    return Look(
        **_draw_colors(person, rng),
        build=_draw_build(person, rng),
        cut=_draw_cut(person, rng),
        hair_volume=rng.uniform(*(0.2, 1.1) if person.gender == "man" else (0.5, 1.6)),
        hairline=rng.uniform(0, 1),
        fringe=rng.uniform(-1, 1),
        beard=rng.uniform(0.15, 1) if person.gender == "man" and rng.random() < 0.4 else 0.0,
        pattern_size=rng.uniform(0.7, 1.6),
        pattern_turn=0.0 if rng.random() < 0.65 else 90.0,
        pattern_share=rng.uniform(0.3, 0.5),
        pattern_seed=rng.getrandbits(32),
        printed_all_over=person.upper_type in ("blouse", "dress"),
        **_draw_bag(person.bag, rng),
        bag_shape=rng.random(),
        bag_swing=rng.uniform(-1, 1),
        bag_side=rng.choice((-1, 1)),
        umbrella_open=rng.random() < 0.65,
    )


BAG_CUTS = {
    "backpack": {"plain": 50, "two colors": 15, "tall": 15, "one shoulder": 20},
    "handbag": {"handles": 60, "tote": 40},
    "shoulder bag": {"messenger": 25, "pouch": 25, "tote": 15, "duffel": 12, "sling": 15, "flap": 8},
    "suitcase": {"hard": 45, "soft": 55},
}
_BAG_SIZES = {"shoulder bag": (0.7, 1.5), "duffel": (1.2, 2.0), "suitcase": (0.75, 1.7), "handbag": (0.7, 1.5)}


def _draw_bag(kind: str, rng: Random) -> dict[str, Any]:
    cuts = BAG_CUTS.get(kind, {NONE: 1})
    cut = rng.choices(list(cuts), list(cuts.values()))[0]
    return {
        "bag_size": rng.uniform(*_BAG_SIZES.get(cut, _BAG_SIZES.get(kind, (0.75, 1.35)))),
        "bag_cut": cut,
        "bag_across": rng.random() < 0.6 and cut != "tote",
        "bag_strap": rng.random(),
        "bag_gloss": rng.random(),
    }


def _draw_colors(person: Person, rng: Random) -> dict[str, Any]:
    def of(name: str) -> RGB:
        return shade("gray" if name == NONE else name, rng)

    denim = DENIM.get(person.lower_color) if person.lower_type == "jeans" and rng.random() < 0.7 else None
    shoes = shade(person.shoes_color, rng)
    pale = shade(rng.choice(("white", "white", "cream")), rng)
    return {
        "skin": _between(*_neighbors(_SKIN, rng), rng),
        "hair": _between(*_HAIR[person.hair_color], rng),
        "upper": shade(person.upper_color, rng),
        "pattern": of(person.pattern_color),
        "inner": of(person.inner_color),
        "lower": shade(person.lower_color, rng, denim) if denim else of(person.lower_color),
        "shoes": shoes,
        "sole": pale if person.shoes_type == "sneakers" and rng.random() < 0.6 else shoes,
        "socks": of(person.socks_color),
        "bag": of(person.bag_color),
        "hat": of(person.hat_color),
        "scarf": of(person.scarf_color),
        "belt": of(person.belt_color),
        "held": of(person.held_color),
        "trim": pale if rng.random() < 0.6 else shade(rng.choice(("black", "gray", "red", "blue")), rng),
    }


def _neighbors(scale: tuple[RGB, ...], rng: Random) -> tuple[RGB, RGB]:
    i = rng.randrange(len(scale) - 1)
    return scale[i], scale[i + 1]


def _between(first: RGB, second: RGB, rng: Random) -> RGB:
    share = rng.random()
    return tuple(a + (b - a) * share for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def _draw_build(person: Person, rng: Random) -> Build:
    bulk = max(0.82, min(1.4, rng.gauss(1.02, 0.11)))
    man = person.gender == "man"
    base = (10.2, 9.5, 8.2, 8.6) if man else (8.9, 8.2, 7.1, 9.1)
    shoulder, chest, waist, hip = (size * rng.uniform(0.94, 1.06) for size in base)
    return Build(
        shoulder=shoulder * (0.6 + 0.4 * bulk),
        chest=chest * bulk,
        waist=waist * bulk,
        hip=hip * bulk,
        depth=rng.uniform(0.62, 0.74),
        bust=0.3 if man else rng.uniform(0.8, 2.2),
        belly=max(0.0, (bulk - 0.95) * 6 + rng.uniform(-0.3, 1.0)),
        limb=(1.0 if man else 0.9) * (0.45 + 0.55 * bulk) * rng.uniform(0.92, 1.08),
        leg=rng.uniform(48.5, 53.0),
        head=rng.uniform(0.93, 1.08),
    )


_COLLARS = {
    "T-shirt": ("crew",), "shirt": ("shirt",), "polo shirt": ("shirt",), "blouse": ("crew", "none", "shirt"),
    "tank top": ("none",), "sweater": ("crew", "crew", "stand"), "hoodie": ("hood",),
    "jacket": ("stand", "shirt", "hood", "fur"),
    "coat": ("lapels", "stand", "fur", "hood"), "blazer": ("lapels",), "dress": ("none", "crew"),
}  # fmt: skip
_CLOTHS = {
    "sweater": ("knit", "knit", "ribs"), "jacket": ("creases", "puffer", "leather", "denim", "drape"),
    "coat": ("folds", "puffer", "drape", "fur"), "hoodie": ("creases", "drape"),
}  # fmt: skip
_FRONTS = {
    "shirt": ("buttons",), "blouse": ("closed", "buttons"), "jacket": ("zip", "zip", "buttons"),
    "coat": ("buttons", "zip"), "blazer": ("buttons",), "hoodie": ("closed", "zip"),
}  # fmt: skip
_LOOSE = {
    "T-shirt": (0.5, 2.2), "tank top": (0.1, 1.0), "sweater": (0.8, 2.6), "hoodie": (1.2, 3.0), "jacket": (1.2, 3.2),
    "coat": (1.2, 3.4), "blazer": (0.9, 2.0), "dress": (0.2, 1.4),
}  # fmt: skip


def _draw_cut(person: Person, rng: Random) -> Cut:
    kind = person.upper_type
    tucked = kind not in ("sweater", "hoodie", *OUTER, "dress") and rng.random() < 0.3
    cloth = rng.choice(_CLOTHS.get(kind, ("folds", "creases", "drape", "drape")))
    return Cut(
        loose=_draw_loose(person, rng),
        hem=_draw_hem(person, rng),
        tucked=tucked or (person.belt_color != NONE and kind not in (*OUTER, "dress") and rng.random() < 0.7),
        collar=rng.choice(_COLLARS[kind]),
        front="open" if person.inner_color != NONE else rng.choice(_FRONTS.get(kind, ("closed",))),
        open_width=rng.uniform(1.6, 4.5),
        cloth=cloth,
        cloth_strength=rng.uniform(0.15, 0.4),
        fold_strength=0.07 + 0.53 * rng.random() ** 1.6,
        neckline=rng.uniform(1.0, 4.0),
        sleeve=rng.uniform(0.45, 0.95),
        cuff=rng.random() < 0.4,
        pocket=rng.random() < 0.4,
        print_kind=rng.choice(("emblem", "letters", "blot", "band")),
        leg_width=_draw_leg_width(person, rng),
        flare=rng.uniform(0.75, 1.0) if rng.random() < 0.8 else rng.uniform(1.05, 1.4),
        stripe=person.lower_type in ("trousers", "leggings", "shorts") and rng.random() < 0.08,
        skirt_flare=rng.uniform(0.0, 1.0),
        lower_cloth="denim" if person.lower_type == "jeans" else rng.choice(("folds", "creases", "drape")),
    )


def _draw_loose(person: Person, rng: Random) -> float:
    """Women's clothes follow the waist more often."""
    loose = rng.uniform(*_LOOSE.get(person.upper_type, (0.5, 2.0)))
    return loose * (0.5 if person.gender == "woman" and rng.random() < 0.55 else 1.0)


def _draw_hem(person: Person, rng: Random) -> float:
    kind = person.upper_type
    if kind == "coat":
        return -rng.uniform(12, 34 if person.gender == "woman" or rng.random() < 0.2 else 22)
    if kind == "blazer":
        return -rng.uniform(4, 9)
    if rng.random() < 0.12:
        return rng.uniform(4, 8)
    return -rng.uniform(-2, 6)


def _draw_leg_width(person: Person, rng: Random) -> float:
    if person.lower_type == "leggings":
        return rng.uniform(1.02, 1.08)
    if person.lower_type == "shorts":
        return rng.uniform(1.2, 1.7)
    chance, slim = rng.random(), 0.45 if person.gender == "woman" else 0.12
    if chance < slim:
        return rng.uniform(1.03, 1.14)
    return rng.uniform(1.1, 1.35) if chance < 0.8 else rng.uniform(1.35, 1.75)
