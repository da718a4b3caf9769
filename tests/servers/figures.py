"""Crude drawn people with known attributes, and what a model should say about them. Test support."""

from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

COLORS = {
    "black": (25, 25, 28),
    "white": (238, 238, 236),
    "red": (196, 34, 36),
    "blue": (42, 66, 196),
    "green": (36, 146, 58),
    "yellow": (228, 204, 44),
    "purple": (132, 46, 156),
    "pink": (240, 126, 182),
}
GARMENTS = ("trousers", "shorts", "skirt")
BAG_COLORS = ("red", "blue", "green", "yellow")
NOT_VISIBLE = "not visible"


@dataclass(frozen=True)
class Figure:
    """Everything that can be told about one drawn person."""

    upper: str
    lower: str
    garment: str
    bag: str | None
    """Color of the bag; None without a bag."""


def random_figure(rng: Random) -> Figure:
    colors = tuple(COLORS)
    bag = rng.choice(BAG_COLORS) if rng.random() < 0.6 else None
    return Figure(rng.choice(colors), rng.choice(colors), rng.choice(GARMENTS), bag)


def draw(figure: Figure, rng: Random, height: int = 384) -> Image.Image:
    """An RGB image `height` px high and a good third as wide; position, shades and proportions vary with `rng`."""
    width = round(height * rng.uniform(0.31, 0.45))
    background = tuple(rng.randrange(100, 170) for _ in range(3))
    image = Image.new("RGB", (width, height), background)
    pen = ImageDraw.Draw(image)
    middle = width * rng.uniform(0.47, 0.53)
    half = height * rng.uniform(0.085, 0.105)
    neck, waist, foot = (height * (y + rng.uniform(-0.02, 0.02)) for y in (0.19, 0.53, 0.95))
    skin = _shade((205, 158, 130), rng)
    pen.rectangle((0, foot, width, height), fill=_shade(background, rng))
    pen.ellipse((middle - half / 2, neck - half * 1.4, middle + half / 2, neck), fill=skin)
    _draw_lower(pen, figure, (middle, half, waist, foot), skin, rng)
    pen.rectangle((middle - half, neck, middle + half, waist), fill=_shade(COLORS[figure.upper], rng))
    if figure.bag:
        side = rng.choice((-1, 1))
        x = middle + side * half * 1.25
        box = (x - half / 2, waist - half * 0.7, x + half / 2, waist + half * 0.9)
        pen.rectangle(box, fill=_shade(COLORS[figure.bag], rng))
    return image


Shade = tuple[int, ...]


def _draw_lower(
    pen: ImageDraw.ImageDraw, figure: Figure, place: tuple[float, float, float, float], skin: Shade, rng: Random
) -> None:
    middle, half, waist, foot = place
    cloth = _shade(COLORS[figure.lower], rng)
    knee = waist + (foot - waist) * 0.45
    hem = foot - half * 0.3 if figure.garment == "trousers" else knee
    for side in (-1, 1):
        leg = sorted((middle + side * half * 0.12, middle + side * half * 0.9))
        pen.rectangle((leg[0], waist, leg[1], foot), fill=skin)
        pen.rectangle((leg[0], waist, leg[1], hem), fill=cloth)
    if figure.garment == "skirt":
        flare = half * 1.35
        corners = [(middle - half, waist), (middle + half, waist), (middle + flare, hem), (middle - flare, hem)]
        pen.polygon(corners, fill=cloth)


def _shade(color: Shade, rng: Random) -> Shade:
    return tuple(min(255, max(0, level + rng.randrange(-14, 15))) for level in color)


def caption(figure: Figure) -> str:
    """The first description, which leaves the bag to be asked for."""
    return f"A person in a {figure.upper} shirt and {_cloth(figure)}."


def answer(figure: Figure, attribute: str) -> str:
    """The answer to the pool's question about an attribute; most cannot be seen in such a drawing."""
    bag = f"a {figure.bag} bag" if figure.bag else "nothing"
    answers = {
        "upper_color": figure.upper,
        "upper_type": "a shirt",
        "lower_type": _cloth(figure),
        "lower_color": figure.lower,
        "carried_objects": bag,
        "hand_held": bag,
        "bag": bag,
        "bag_color": figure.bag,
        "accessories": bag if figure.bag else None,
    }
    return answers.get(attribute) or NOT_VISIBLE


def claim(figure: Figure, rng: Random, *, simple: bool = False) -> tuple[str, str]:
    """A description of one attribute, or two, and whether it holds: "yes" or "no", equally often."""
    truth = rng.choice(("yes", "no"))
    shown = figure if truth == "yes" else _other(figure, rng)
    parts = {
        "upper": f"a {shown.upper} shirt",
        "lower": _cloth(shown),
        "bag": f"a {shown.bag} bag" if shown.bag else "no bag",
    }
    wrong = [name for name in parts if getattr(shown, name) != getattr(figure, name)]
    told = wrong or [rng.choice(tuple(parts))]
    if simple:
        return parts[told[0]], truth
    if rng.random() < 0.4:
        told = [*told, rng.choice([name for name in parts if name not in told])]
    opening = rng.choice(("a person with", "a person in", "someone with", "person with", "The person wears", ""))
    text = " and ".join(parts[name] for name in parts if name in told)
    return f"{opening} {text}".strip(), truth


def _other(figure: Figure, rng: Random) -> Figure:
    """The figure with one of its attributes changed."""
    values = {
        "upper": [color for color in COLORS if color != figure.upper],
        "lower": [color for color in COLORS if color != figure.lower],
        "bag": [color for color in (*BAG_COLORS, None) if color != figure.bag],
    }
    name = rng.choice(tuple(values))
    return Figure(**{**vars(figure), name: rng.choice(values[name])})


def _cloth(figure: Figure) -> str:
    return f"a {figure.lower} skirt" if figure.garment == "skirt" else f"{figure.lower} {figure.garment}"
