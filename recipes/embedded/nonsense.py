"""What a search for a person may be asked all the same: animals, things, places without anybody."""

from random import Random

BEINGS = (
    "dog", "horse", "cow", "sheep", "bird", "bear", "lion", "monkey", "penguin", "rabbit", 
    "statue", "snowman", "teddy bear", "scarecrow", "mannequin", "car", "bus", "tree", "house", "chair",
    "table", "lamp", "fish", "duck", "fox", "mouse",
)  # fmt: skip
_DOING = (
    "jumping over a fence",
    "eating grass",
    "in the snow",
    "on a sofa",
    "under water",
    "in a cage",
    "on the moon",
    "at the beach",
    "in a kitchen",
    "on a roof",
    "flying over the sea",
    "in a field",
    "playing the piano",
    "on a plate",
    "at night",
    "in the desert",
    "riding a rocket",
    "made of glass",
    "in a box",
    "on a cloud",
)
_NUMBERS = ("a", "a", "two", "three", "a small", "an old", "a huge", "ten")
_PLAIN = (
    "a loaf of bread", "a slice of pizza", "a glass of wine and cheese", "sunset over the ocean", "a map of Europe",
    "price list for next year", "how to bake bread", "a football match", "the weather tomorrow", "a wedding cake",
    "an empty parking lot", "a red sports car", "a plane on the runway", "a bridge over a river", "a vase of flowers",
    "sales report of March", "lorem ipsum", "qwertz uiop", "hello", "a cup of tea on a desk", "a train at a station",
    "mountains in the fog", "a laptop and a keyboard", "a baby in a cradle", "fireworks", "a swimming pool",
)  # fmt: skip


def draw_nonsense(rng: Random) -> str:
    """A few words that no picture of a pedestrian fits."""
    if rng.random() < 0.4:
        return rng.choice(_PLAIN)
    number, being = rng.choice(_NUMBERS), rng.choice(BEINGS)
    plural = number in ("two", "three", "ten")
    return f"{number} {being}{'s' if plural else ''} {rng.choice(_DOING)}"
