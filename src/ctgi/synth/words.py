"""What people call things: for each value of a person's or view's field the English words for it, with weights.

The usual word weighs most. A word stands here only where it is true of every shade and cut that bears the value: no
teal for green. Nearly all are words that the question pool knows.
"""

from random import Random

Synonyms = dict[str, dict[str, int]]

COLOR: Synonyms = {
    "black": {"black": 1},
    "gray": {"gray": 56, "grey": 44},
    "white": {"white": 1},
    "cream": {"cream": 30, "off-white": 20, "beige": 30, "cream-colored": 20},
    "tan": {"tan": 50, "khaki": 20, "beige": 20, "light brown": 10},
    "brown": {"brown": 80, "dark brown": 20},
    "red": {"red": 90, "bright red": 10},
    "burgundy": {"burgundy": 30, "maroon": 35, "dark red": 35},
    "pink": {"pink": 1},
    "orange": {"orange": 1},
    "yellow": {"yellow": 92, "bright yellow": 8},
    "green": {"green": 1},
    "light blue": {"light blue": 75, "pale blue": 15, "sky blue": 10},
    "blue": {"blue": 1},
    "navy": {"navy blue": 35, "dark blue": 45, "navy": 20},
    "purple": {"purple": 90, "violet": 10},
}
VAGUE_COLOR: Synonyms = {
    "black": {"dark": 90, "dark-colored": 10},
    "brown": {"dark": 1},
    "burgundy": {"dark": 50, "red": 20, "reddish": 30},
    "navy": {"dark": 60, "blue": 30, "dark-colored": 10},
    "white": {"light": 60, "light-colored": 40},
    "cream": {"light": 60, "light-colored": 30, "whitish": 10},
    "light blue": {"light": 20, "blue": 80},
    "red": {"reddish": 60, "bright": 40},
    "yellow": {"bright": 1},
    "orange": {"bright": 1},
    "green": {"greenish": 1},
    "blue": {"bluish": 1},
}
"""For witnesses who did not look closely; colors that are not here get no word then."""
SHADES = frozenset({"dark", "dark-colored", "light", "light-colored", "bright"})
"""Vague words that make no pair with a color: nothing is bright and blue striped."""
HAIR_COLOR: Synonyms = {
    "black": {"black": 70, "dark": 30},
    "brown": {"brown": 92, "brunette": 8},
    "blond": {"blond": 45, "blonde": 55},
    "gray": COLOR["gray"],
    "red": {"red": 70, "reddish": 30},
}
VAGUE_HAIR_COLOR: Synonyms = {
    "black": {"dark": 1},
    "brown": {"dark": 1},
    "blond": {"light": 50, "light-colored": 50},
    "gray": {"light": 1},
}

PERSON: Synonyms = {
    "man": {"man": 84, "male": 5, "guy": 3, "gentleman": 1, "person": 6, "pedestrian": 1},
    "woman": {"woman": 72, "lady": 8, "girl": 8, "female": 4, "person": 7, "pedestrian": 1},
}
NEUTRAL = ("person", "pedestrian")
"""Persons of whom one says they."""

UPPER: Synonyms = {
    "T-shirt": {"T-shirt": 80, "tee": 6, "tee shirt": 5, "t-shirt": 9},
    "shirt": {"shirt": 80, "button-down shirt": 12, "button-up shirt": 8},
    "polo shirt": {"polo shirt": 85, "polo": 15},
    "blouse": {"blouse": 1},
    "tank top": {"tank top": 90, "vest top": 10},
    "sweater": {"sweater": 65, "jumper": 15, "pullover": 20},
    "hoodie": {"hoodie": 65, "hooded sweatshirt": 25, "hooded top": 10},
    "jacket": {"jacket": 1},
    "coat": {"coat": 85, "overcoat": 15},
    "blazer": {"blazer": 70, "suit jacket": 30},
    "dress": {"dress": 1},
}
VAGUE_UPPER: Synonyms = {
    "T-shirt": {"shirt": 75, "top": 25},
    "shirt": {"shirt": 60, "top": 40},
    "polo shirt": {"shirt": 80, "top": 20},
    "blouse": {"top": 60, "shirt": 40},
    "tank top": {"top": 1},
    "sweater": {"top": 60, "sweatshirt": 40},
    "hoodie": {"sweatshirt": 60, "top": 40},
    "coat": {"jacket": 1},
    "blazer": {"jacket": 1},
}
INNER: dict[str, int] = {"shirt": 65, "T-shirt": 20, "top": 15}
LOWER: Synonyms = {
    "trousers": {"pants": 60, "trousers": 32, "slacks": 8},
    "jeans": {"jeans": 85, "denim jeans": 10, "denim pants": 5},
    "shorts": {"shorts": 1},
    "skirt": {"skirt": 1},
    "leggings": {"leggings": 92, "tight pants": 8},
}
VAGUE_LOWER: Synonyms = {"jeans": {"pants": 70, "trousers": 30}, "leggings": {"pants": 1}}
LOWER_LENGTH: Synonyms = {
    "shorts knee-length": {"knee-length": 60, "long": 25, "": 15},
    "shorts short": {"short": 30, "": 70},
    "skirt knee-length": {"knee-length": 75, "": 25},
    "skirt short": {"short": 75, "mini": 5, "": 20},
    "skirt long": {"long": 75, "ankle-length": 10, "": 15},
    "dress knee-length": {"knee-length": 60, "": 40},
    "dress short": {"short": 70, "": 30},
    "dress long": {"long": 80, "ankle-length": 5, "": 15},
}
"""By garment and length; other garments are long as a matter of course."""
SLEEVES: Synonyms = {
    "long": {"long-sleeved": 70, "long-sleeve": 30},
    "short": {"short-sleeved": 70, "short-sleeve": 30},
    "none": {"sleeveless": 1},
}
PATTERN: Synonyms = {
    "striped": {"striped": 1},
    "checked": {"checked": 25, "checkered": 25, "plaid": 50},
    "floral": {"floral": 80, "flowered": 20},
    "dotted": {"polka dot": 60, "dotted": 40},
    "printed": {"printed": 1},
}
MARKS: Synonyms = {
    "striped": {"stripes": 1},
    "checked": {"checks": 1},
    "floral": {"flowers": 60, "floral pattern": 40},
    "dotted": {"dots": 65, "polka dots": 35},
    "printed": {"print": 60, "logo": 15, "graphic": 15, "pattern": 10},
}
"""What a pattern puts on the cloth: with white stripes, with a red print."""

SHOES: Synonyms = {
    "sneakers": {"sneakers": 66, "trainers": 10, "running shoes": 10, "sports shoes": 6, "tennis shoes": 8},
    "shoes": {"shoes": 94, "leather shoes": 6},
    "boots": {"boots": 1},
    "sandals": {"sandals": 1},
    "high heels": {"high heels": 70, "heels": 15, "high-heeled shoes": 15},
}
VAGUE_SHOES: Synonyms = {
    "sneakers": {"shoes": 95, "footwear": 5},
    "boots": {"shoes": 90, "footwear": 10},
    "sandals": {"shoes": 80, "footwear": 20},
    "high heels": {"shoes": 1},
}
BAG: Synonyms = {
    "backpack": {"backpack": 85, "rucksack": 15},
    "handbag": {"handbag": 60, "purse": 40},
    "shoulder bag": {"shoulder bag": 90, "bag with a shoulder strap": 10},
    "suitcase": {"suitcase": 60, "rolling suitcase": 20, "luggage": 12, "travel case": 8},
}
VAGUE_BAG: Synonyms = {
    "backpack": {"bag": 1},
    "handbag": {"bag": 1},
    "shoulder bag": {"bag": 1},
    "suitcase": {"luggage": 1},
}
HAT: Synonyms = {
    "cap": {"cap": 60, "baseball cap": 40},
    "hat": {"hat": 1},
    "beanie": {"beanie": 65, "knit hat": 20, "wool hat": 15},
}
VAGUE_HAT: Synonyms = {"cap": {"hat": 1}, "beanie": {"hat": 1}}
GLASSES: Synonyms = {
    "glasses": {"glasses": 88, "eyeglasses": 8, "spectacles": 4},
    "sunglasses": {"sunglasses": 1},
}
VAGUE_GLASSES: Synonyms = {"sunglasses": {"glasses": 1}}
HELD: Synonyms = {
    "phone": {"phone": 55, "cell phone": 20, "mobile phone": 15, "cellphone": 10},
    "umbrella": {"umbrella": 1},
    "book": {"book": 1},
    "bottle": {"bottle": 70, "water bottle": 30},
    "cup": {"cup": 75, "paper cup": 25},
    "plastic bag": {"plastic bag": 80, "shopping bag": 20},
}
VAGUE_HELD: Synonyms = {
    "phone": {"something": 1},
    "book": {"something": 1},
    "bottle": {"something": 1},
    "cup": {"something": 1},
    "plastic bag": {"bag": 1},
}
SCARF: dict[str, int] = {"scarf": 92, "shawl": 8}

HAIR_LENGTH: Synonyms = {
    "short": {"short": 96, "cropped": 4},
    "shoulder-length": {"shoulder-length": 75, "medium-length": 25},
    "long": {"long": 1},
}
BALD: dict[str, int] = {"a bald head": 60, "a shaved head": 30, "no hair": 10}
TIED: Synonyms = {
    "ponytail": {"in a ponytail": 55, "tied in a ponytail": 25, "pulled back in a ponytail": 20},
    "bun": {"in a bun": 50, "tied in a bun": 30, "pulled up in a bun": 20},
}
TIED_AS_SEEN_FROM_THE_FRONT: dict[str, int] = {"tied back": 60, "pulled back": 40}

ACTION: Synonyms = {
    "standing": {"standing": 85, "standing still": 15},
    "walking": {"walking": 90, "strolling": 10},
    "running": {"running": 75, "jogging": 25},
    "riding a bicycle": {"riding a bicycle": 45, "riding a bike": 45, "riding on a bicycle": 10},
    "talking on the phone": {"talking on the phone": 75, "talking on a cell phone": 15, "making a phone call": 10},
}
SCENE: Synonyms = {
    "street": {"on the street": 40, "on a street": 15, "on the sidewalk": 30, "on the pavement": 15},
    "park": {"in a park": 70, "in the park": 30},
    "wall": {"in front of a wall": 70, "by a wall": 20, "next to a wall": 10},
    "hall": {"in a hall": 50, "in a corridor": 15, "indoors": 35},
    "shop": {"in a shop": 45, "in a store": 40, "in front of shop shelves": 15},
}
SIDE: Synonyms = {
    "front": {"facing the camera": 45, "seen from the front": 40, "facing forward": 15},
    "back": {"seen from behind": 50, "facing away from the camera": 30, "seen from the back": 20},
    "left": {"facing left": 40, "seen from the side": 45, "in profile": 15},
    "right": {"facing right": 40, "seen from the side": 45, "in profile": 15},
}

PLURAL = frozenset(
    {"pants", "trousers", "slacks", "jeans", "shorts", "leggings", "shoes", "sneakers", "trainers", "boots", "sandals"}
    | {"heels", "glasses", "eyeglasses", "spectacles", "sunglasses", "socks", "stripes", "checks", "flowers", "dots"}
)
"""Last words of nouns that take no article and a plural verb."""
UNCOUNTABLE = frozenset({"luggage", "footwear", "something", "hair"})
"""Last words that take no article and a singular verb."""


def say(choices: dict[str, int], rng: Random) -> str:
    """One of the words by weight; "" is a word left out."""
    return rng.choices(list(choices), list(choices.values()))[0]


class Writer:
    """One person's choice of words: the same word for the same color throughout, and how closely they looked."""

    def __init__(self, rng: Random, vague: float = 0.0, vague_kinds: float | None = None) -> None:
        """`vague`: the chance of a vague word where there is one; `vague_kinds`: the same of nouns alone."""
        self.rng = rng
        self._vague = vague
        self._vague_kinds = vague if vague_kinds is None else vague_kinds
        self._colors: dict[tuple[str, ...], str] = {}

    def color(self, color: str, precise: Synonyms = COLOR, vague: Synonyms = VAGUE_COLOR) -> str:
        """A word for the color, or now and then none when vague."""
        if self.rng.random() < self._vague:
            return say(vague[color], self.rng) if color in vague else ""
        return self._colors.setdefault(tuple(precise[color]), say(precise[color], self.rng))

    def noun(self, value: str, precise: Synonyms, vague: Synonyms) -> str:
        """A word for the thing."""
        table = vague if value in vague and self.rng.random() < self._vague_kinds else precise
        return say(table[value], self.rng)

    def chance(self, share: float) -> bool:
        """True in this share of the cases."""
        return self.rng.random() < share
