"""What a truthful model answers to each question of the pool about a synthetic person, in a few words."""

from collections.abc import Callable
from dataclasses import dataclass

from ctgi.agents.grammar import join_and, with_article
from ctgi.synth.person import NONE, Person, View

NOT_VISIBLE = "not visible"
NO, NONE_OF_IT, NOTHING = "no", "none", "nothing"
ABSENT = frozenset({NO, NONE_OF_IT, NOTHING, NOT_VISIBLE})
"""Answers where there is no such thing to be seen."""


@dataclass(frozen=True)
class Scene:
    """One picture's truth: the person, the camera's view, and what of the person can be seen."""

    person: Person
    view: View
    visible: frozenset[str]
    """Names as `synth.picture.Picture.visible` gives them."""

    def sees(self, part: str) -> bool:
        """Whether this part can be seen."""
        return part in self.visible


Answer = Callable[[Scene], str]

_PATTERNS = {
    "plain": NO, "striped": "stripes", "checked": "a checked pattern", "floral": "a floral pattern",
    "dotted": "dots", "printed": "a print",
}  # fmt: skip
_PLACES = {
    "street": "a street", "park": "a park", "wall": "a wall", "hall": "an indoor hall",
    "shop": "a shop",
}  # fmt: skip
_SIDES = {"front": "the front", "back": "behind", "left": "the left side", "right": "the right side"}
_STYLES = {"loose": "loose", "ponytail": "tied in a ponytail", "bun": "tied in a bun"}


def answer(attribute: str, scene: Scene) -> str:
    """The answer to the pool's question about `attribute`; "not visible" where the picture does not tell."""
    tell = ANSWERS.get(attribute)
    return tell(scene) if tell else NOT_VISIBLE


def _is_dress(scene: Scene) -> bool:
    return scene.person.upper_type == "dress"


def _lower(tell: Answer, dress: Answer) -> Answer:
    """What is said of the lower body; of a dress, where that is the lower part too."""

    def told(scene: Scene) -> str:
        if _is_dress(scene):
            return dress(scene) if scene.sees("upper") else NOT_VISIBLE
        return tell(scene) if scene.sees("lower") else NOT_VISIBLE

    return told


def _of(part: str, tell: Answer) -> Answer:
    return lambda scene: tell(scene) if scene.sees(part) else NOT_VISIBLE


def _if_worn(part: str, tell: Answer, otherwise: str = NO) -> Answer:
    """A thing that may be missing: what cannot be seen counts as not there."""
    return lambda scene: tell(scene) if scene.sees(part) else otherwise


def bag_phrase(person: Person) -> str:
    """The bag with its color: "a red backpack"."""
    return with_article(f"{person.bag_color} {person.bag}")


def _held(person: Person) -> str:
    return with_article(f"{person.held_color} {person.held}") if person.held != "phone" else "a phone"


def _things(scene: Scene, *parts: str) -> list[str]:
    person = scene.person
    phrases: dict[str, Callable[[], str]] = {
        "hat": lambda: with_article(f"{person.hat_color} {person.hat}"),
        "glasses": lambda: person.glasses,
        "scarf": lambda: with_article(f"{person.scarf_color} scarf"),
        "bag": lambda: bag_phrase(person),
        "held": lambda: _held(person),
    }
    return [phrases[part]() for part in parts if scene.sees(part)]


def _legwear(scene: Scene) -> str:
    """All that reaches the ankles begins with one word: shorts must not win because kinds of trousers compete."""
    kind = scene.person.lower_type
    return f"long {kind}" if kind in ("trousers", "jeans", "leggings") else with_article(kind)


def _hand_held(scene: Scene) -> str:
    in_hand = scene.person.bag == "handbag" and scene.sees("bag")
    things = _things(scene, *(["bag"] if in_hand else []), "held")
    if not things and scene.view.action == "talking on the phone":
        return "a phone"
    return join_and(things) or NOTHING


def _hair(scene: Scene) -> str:
    person = scene.person
    if person.hair_length == "bald":
        return "shaved" if scene.sees("hair") else NOT_VISIBLE
    return f"{person.hair_length} and {person.hair_color}" if scene.sees("hair") else NOT_VISIBLE


def _hair_style(scene: Scene) -> str:
    if scene.person.hair_style == NONE:
        return _hair(scene) if scene.person.hair_length == "bald" or not scene.sees("hair") else "short"
    return _STYLES[scene.person.hair_style] if scene.sees("hair") else NOT_VISIBLE


def _glasses(scene: Scene) -> str:
    if scene.sees("glasses"):
        return scene.person.glasses
    return NO if scene.sees("face") else NOT_VISIBLE


def _socks(scene: Scene) -> str:
    if scene.sees("socks"):
        return f"{scene.person.socks_color} socks"
    return NO if scene.sees("shoes") else NOT_VISIBLE


def _layers(scene: Scene) -> str:
    person = scene.person
    if scene.sees("inner"):
        return f"{with_article(person.upper_type)} over {with_article(f'{person.inner_color} shirt')}"
    return NO if scene.sees("upper") else NOT_VISIBLE


def _pattern(scene: Scene) -> str:
    person = scene.person
    if not scene.sees("upper"):
        return NOT_VISIBLE
    if not scene.sees("pattern"):
        return NO
    name = _PATTERNS[person.upper_pattern]
    return f"{person.pattern_color} {name}" if person.upper_pattern in ("striped", "dotted") else name


ANSWERS: dict[str, Answer] = {
    "upper_color": _of("upper", lambda scene: scene.person.upper_color),
    "lower_type": _lower(_legwear, lambda _: "a dress"),
    "carried_objects": lambda scene: join_and(_things(scene, "bag", "held")) or NOTHING,
    "accessories": lambda scene: join_and(_things(scene, "hat", "glasses", "scarf", "bag")) or NONE_OF_IT,
    "background": lambda scene: _PLACES[scene.view.scene],
    "action": lambda scene: scene.view.action,
    "upper_type": _of("upper", lambda scene: with_article(scene.person.upper_type)),
    "lower_color": _lower(lambda scene: scene.person.lower_color, lambda scene: scene.person.upper_color),
    "shoes": _of("shoes", lambda scene: scene.person.shoes_type),
    "shoes_color": _of("shoes", lambda scene: scene.person.shoes_color),
    "sleeves": _of("upper", lambda scene: scene.person.sleeves),
    "upper_pattern": _pattern,
    "lower_length": _lower(lambda scene: scene.person.lower_length, lambda scene: scene.person.lower_length),
    "lower_pattern": _lower(lambda scene: _PATTERNS[scene.person.lower_pattern], _pattern),
    "layers": _layers,
    "socks": _socks,
    "belt": _if_worn("belt", lambda scene: f"a {scene.person.belt_color} belt"),
    "scarf": _if_worn("scarf", lambda scene: with_article(f"{scene.person.scarf_color} scarf")),
    "bag": _if_worn("bag", lambda scene: with_article(scene.person.bag), NONE_OF_IT),
    "bag_color": _of("bag", lambda scene: scene.person.bag_color),
    "backpack": lambda scene: bag_phrase(scene.person) if scene.sees("bag") and scene.person.bag == "backpack" else NO,
    "hand_held": _hand_held,
    "hat": _if_worn("hat", lambda scene: with_article(scene.person.hat), NOTHING),
    "hat_color": _of("hat", lambda scene: scene.person.hat_color),
    "glasses": _glasses,
    "gender": lambda scene: f"a {scene.person.gender}",
    "hair": _hair,
    "hair_style": _hair_style,
    "view": lambda scene: _SIDES[scene.view.side],
    "vehicle": lambda scene: "a bicycle" if scene.view.action == "riding a bicycle" else NO,
    "other_people": lambda scene: "another person" if scene.view.others else NO,
}
"""By attribute of the question pool; what is not here, such as jewelry, is not drawn and never visible."""
