"""Everything that is true of a scene as a class per field: what the first lesson reads off a picture at once."""

from ctgi.synth import person as tables
from ctgi.synth.colors import COLORS
from recipes.embedded.answers import Scene

UNSEEN = "unseen"
_COLORS = (*COLORS, "blond", tables.NONE)
_PATTERNS = tuple(tables.PATTERNS)
FIELDS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "gender": (None, ("man", "woman")),
    "hair_length": ("hair", ("bald", "short", "shoulder-length", "long")),
    "hair_style": ("hair", ("loose", "ponytail", "bun", tables.NONE)),
    "hair_color": ("hair", _COLORS),
    "upper_type": ("upper", (*tables.UPPERS, "dress")),
    "upper_color": ("upper", _COLORS),
    "upper_pattern": ("pattern", _PATTERNS),
    "pattern_color": ("pattern", _COLORS),
    "sleeves": ("upper", ("long", "short", tables.NONE)),
    "inner_color": ("inner", _COLORS),
    "lower_type": ("lower", tuple(tables.LOWERS)),
    "lower_color": ("lower", _COLORS),
    "lower_length": ("lower", ("long", "knee-length", "short")),
    "lower_pattern": ("lower", _PATTERNS),
    "shoes_type": ("shoes", tuple(tables.SHOES)),
    "shoes_color": ("shoes", _COLORS),
    "socks_color": ("socks", _COLORS),
    "bag": ("bag", tuple(tables.BAGS)),
    "bag_color": ("bag", _COLORS),
    "hat": ("hat", tuple(tables.HATS)),
    "hat_color": ("hat", _COLORS),
    "glasses": ("glasses", tuple(tables.GLASSES)),
    "scarf_color": ("scarf", _COLORS),
    "belt_color": ("belt", _COLORS),
    "held": ("held", tuple(tables.HELD)),
    "held_color": ("held", _COLORS),
    "side": (None, tuple(tables.SIDES)),
    "action": (None, tuple(tables.ACTIONS)),
    "scene": (None, tuple(tables.SCENES)),
    "others": (None, ("False", "True")),
}
"""Field of Person or View: the part that must be seen for it to be told (None: always), and its values."""
CLASSES = [(UNSEEN, *values) for _, values in FIELDS.values()]


def truth(scene: Scene) -> list[int]:
    """The class of each field; 0 where its part is not seen."""
    told = vars(scene.person) | vars(scene.view)
    return [
        classes.index(str(told[field])) if part is None or scene.sees(part) else 0
        for (field, (part, _)), classes in zip(FIELDS.items(), CLASSES, strict=True)
    ]
