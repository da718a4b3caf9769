"""What can be seen of a person, as noun phrases in varied words: a red and white striped T-shirt, short black hair."""

from collections.abc import Set
from dataclasses import dataclass, replace
from random import Random

from ctgi.synth import words
from ctgi.synth.person import NONE, Person, View
from ctgi.synth.words import Writer, say


@dataclass(frozen=True)
class Phrase:
    """A noun with what stands before and behind it."""

    noun: str
    before: str = ""
    """Adjectives."""
    behind: str = ""
    """With white stripes, over a white shirt."""
    plain: bool = False
    """The adjectives are a color and nothing else, so that "the shoes are black" says as much."""

    @property
    def plural(self) -> bool:
        """Whether it takes are."""
        return self.noun.split()[-1] in words.PLURAL

    @property
    def text(self) -> str:
        """With an article where it takes one."""
        bare = " ".join(part for part in (self.before, self.noun, self.behind) if part)
        return bare if self.plural or self.noun.split()[-1] in words.UNCOUNTABLE else with_article(bare)


def with_article(text: str) -> str:
    """A or an before it."""
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def phrases(
    person: Person,
    view: View,
    visible: Set[str],
    rng: Random,
    vague: float = 0.0,
    vague_kinds: float | None = None,
) -> dict[str, str]:
    """A phrase for each attribute that is there and visible: upper, lower, shoes, bag ... hair.

    Action and scene always have one.

    visible: names of what the picture shows, as `render` gives them.
    vague: the chance of each word to be a vague one (dark pants, a light top); 0 for exact ones.
    vague_kinds: the same for nouns (a jacket, not a coat) where it differs from that for colors.
    """
    writer = Writer(rng, vague, vague_kinds)
    things = {name: phrase.text for name, phrase in nouns(person, visible, writer).items()}
    if "hair" in visible:
        things["hair"] = hair(person, view, writer)
    return things | {"action": say(words.ACTION[view.action], rng), "scene": say(words.SCENE[view.scene], rng)}


def nouns(person: Person, visible: Set[str], writer: Writer) -> dict[str, Phrase]:
    """What the person wears and has with them: upper, lower, shoes, bag, hat, glasses, held, scarf, belt."""
    there: dict[str, Phrase] = {}
    if "upper" in visible:
        there["upper"] = _upper(person, visible, writer)
    if "lower" in visible and person.lower_type != NONE:
        there["lower"] = _lower(person, writer)
    if "shoes" in visible:
        there["shoes"] = _shoes(person, visible, writer)
    for name, thing in _things(person, writer).items():
        if name in visible:
            there[name] = thing
    return there


def hair(person: Person, view: View, writer: Writer) -> str:
    """The hair as seen from this side."""
    if person.hair_length == "bald":
        return say(words.BALD, writer.rng)
    color = writer.color(person.hair_color, words.HAIR_COLOR, words.VAGUE_HAIR_COLOR)
    if person.hair_style in words.TIED and view.side == "front":
        return _spaced(color, "hair", say(words.TIED_AS_SEEN_FROM_THE_FRONT, writer.rng))
    if person.hair_style in words.TIED:
        if writer.chance(0.3):
            return with_article(_spaced(color, person.hair_style))
        return _spaced(
            "long" if writer.chance(0.4) else "", color, "hair", say(words.TIED[person.hair_style], writer.rng)
        )
    return _spaced(say(words.HAIR_LENGTH[person.hair_length], writer.rng), color, "hair")


def _upper(person: Person, visible: Set[str], writer: Writer) -> Phrase:
    kind, pattern = person.upper_type, person.upper_pattern
    garment = Phrase(writer.noun(kind, words.UPPER, words.VAGUE_UPPER))
    if pattern in words.PATTERN and "pattern" in visible:
        garment = _patterned(garment, pattern, person.upper_color, person.pattern_color, writer)
    else:
        garment = replace(garment, before=writer.color(person.upper_color), plain=True)
    if kind == "dress" and writer.chance(0.6):
        return _led_by(say(words.LOWER_LENGTH[f"dress {person.lower_length}"], writer.rng), garment)
    if "inner" in visible and person.inner_color != NONE:
        inner = Phrase(say(words.INNER, writer.rng), writer.color(person.inner_color))
        garment = _led_by("open" if kind == "jacket" and writer.chance(0.4) else "", garment)
        return replace(garment, behind=_spaced(garment.behind, "over", inner.text), plain=False)
    sleeves = say(words.SLEEVES[person.sleeves], writer.rng) if writer.chance(_sleeve_share(person)) else ""
    return _led_by(sleeves, garment)


def _sleeve_share(person: Person) -> float:
    """Sleeves are told where the garment leaves them open."""
    expected = {"T-shirt": "short", "polo shirt": "short"}.get(person.upper_type)
    if person.upper_type in ("tank top", "sweater", "hoodie", "jacket", "coat", "blazer"):
        return 0.0
    return 0.2 if person.sleeves == expected else 0.5


def _patterned(garment: Phrase, pattern: str, color: str, second: str, writer: Writer) -> Phrase:
    """Red and white striped, striped red and white, or red with white stripes."""
    first, other = writer.color(color), writer.color(second)
    way = writer.rng.random()
    if other and other != first and way < 0.4:
        marks = Phrase(say(words.MARKS[pattern], writer.rng), other)
        return replace(garment, before=first, behind=f"with {marks.text}")
    named = say(words.PATTERN[pattern], writer.rng)
    paired = first and other and other != first and not {first, other} & words.SHADES
    both = f"{first} and {other}" if paired else first
    if pattern == "printed":  # the cloth has one color and the print the other
        return replace(garment, before=_spaced(named, first) if way < 0.7 else _spaced(first, named))
    return replace(garment, before=_spaced(named, both) if way < 0.5 else _spaced(both, named))


def _lower(person: Person, writer: Writer) -> Phrase:
    noun = writer.noun(person.lower_type, words.LOWER, words.VAGUE_LOWER)
    lengths = words.LOWER_LENGTH.get(f"{person.lower_type} {person.lower_length}", {"": 1})
    length, color = say(lengths, writer.rng), writer.color(person.lower_color)
    if person.lower_pattern in words.PATTERN and writer.chance(0.8):
        named = say(words.PATTERN[person.lower_pattern], writer.rng)
        return Phrase(noun, _spaced(length, named, color) if writer.chance(0.5) else _spaced(length, color, named))
    return Phrase(noun, _spaced(length, color), plain=not length)


def _shoes(person: Person, visible: Set[str], writer: Writer) -> Phrase:
    shoes = Phrase(
        writer.noun(person.shoes_type, words.SHOES, words.VAGUE_SHOES), writer.color(person.shoes_color), plain=True
    )
    if "socks" not in visible or person.socks_color == NONE or writer.chance(0.4):
        return shoes
    return replace(shoes, behind=f"with {_spaced(writer.color(person.socks_color), 'socks')}", plain=False)


def _things(person: Person, writer: Writer) -> dict[str, Phrase]:
    """Bag, hat, glasses, held, scarf and belt, where there are any."""
    there = {}
    if person.bag != NONE:
        there["bag"] = _colored(writer.noun(person.bag, words.BAG, words.VAGUE_BAG), person.bag_color, writer)
    if person.hat != NONE:
        there["hat"] = _colored(writer.noun(person.hat, words.HAT, words.VAGUE_HAT), person.hat_color, writer)
    if person.glasses != NONE:
        there["glasses"] = Phrase(writer.noun(person.glasses, words.GLASSES, words.VAGUE_GLASSES))
    if person.held != NONE:
        there["held"] = _held(person, writer)
    if person.scarf_color != NONE:
        there["scarf"] = _colored(say(words.SCARF, writer.rng), person.scarf_color, writer)
    if person.belt_color != NONE:
        there["belt"] = _colored("belt", person.belt_color, writer)
    return there


def _colored(noun: str, color: str, writer: Writer) -> Phrase:
    return Phrase(noun, writer.color(color), plain=True)


def _held(person: Person, writer: Writer) -> Phrase:
    noun = writer.noun(person.held, words.HELD, words.VAGUE_HELD)
    if noun == "something" or (person.held == "phone" and writer.chance(0.7)):  # few name a phone's color
        return Phrase(noun)
    return _colored(noun, person.held_color, writer)


def _led_by(adjective: str, phrase: Phrase) -> Phrase:
    return replace(phrase, before=_spaced(adjective, phrase.before), plain=False) if adjective else phrase


def _spaced(*parts: str) -> str:
    return " ".join(part for part in parts if part)
