"""Descriptions as lists of claims: what is said, and whether it is true of the picture."""

from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from ctgi.agents.grammar import as_sentence
from ctgi.agents.pool import load_pool
from ctgi.agents.statements import compose, state, why_unusable
from ctgi.synth import words
from ctgi.synth.phrases import phrases
from ctgi.synth.witness import describe
from ctgi.synth.words import say
from recipes.embedded.alterations import Altered, alter
from recipes.embedded.answers import ANSWERS, Scene, answer
from recipes.embedded.lookalikes import agrees, draw_lookalike
from recipes.embedded.nonsense import BEINGS, draw_nonsense


class Claim(NamedTuple):
    """A piece of a description; `true` is None where it claims nothing."""

    text: str
    true: bool | None = None
    topic: str = ""


class Description(NamedTuple):
    """A text, whether all of it is true, and what it is made of; no claims where nothing tells them apart."""

    text: str
    true: bool
    claims: list[Claim]


WEAR = ("wearing", "in", "wears", "who wears", "dressed in")
CARRY = ("carrying", "with", "who has", "and has", "has")
_TOPICS = ("upper", "lower", "shoes", "bag", "hat", "glasses", "held", "hair", "scarf", "belt", "action", "scene")
_POOL = {question.attribute: question for question in load_pool(None).questions}


def draw_description(scene: Scene, other: Scene, rng: Random) -> Description:
    """A description that is true of the scene or, as often, false: by one thing, by some, or somebody else's.

    Args:
        scene: what the picture shows.
        other: another person's scene.
        rng: decides.
    """
    true = rng.random() < 0.5
    way = rng.random()
    if way < 0.15:
        return _by_witness(scene, other, true, rng)
    if not true and way < 0.19:
        return _nonsense(scene, rng)
    if not true and way < 0.36:
        described = _of_another(scene, other, rng)
        if described.true is False:
            return described
    altered = [] if true else [alter(scene, rng) for _ in range(rng.choice((1, 1, 1, 1, 2, 3)))]
    if way > 0.85 and all(change.field in ANSWERS for change in altered):
        return _in_statements(scene, altered, rng)
    return _in_phrases(scene, altered, rng)


def draw_hard_claim(scene: Scene, rng: Random, *, true: bool) -> tuple[str, Description]:
    """("", a true description), or one with a single attribute changed and the name of its field before it."""
    while True:
        change = alter(scene, rng)
        described = _in_phrases(scene, [] if true else [change], rng)
        if described.true == true:
            return ("" if true else change.field), described


def one_by_one(description: Description) -> list[str]:
    """Each claim of a description as a description of its own."""
    claims = [claim for claim in description.claims if claim.true is not None]
    anyone = {"person": Claim("person")}
    return ["".join(piece.text for piece in sentence(anyone | {claim.topic: claim}, Random(0))) for claim in claims]


def topics(scene: Scene, rng: Random, vague: float = 0.0) -> dict[str, str]:
    """All that can be said of the scene by topic, the person first; `vague` as for `phrases`."""
    said = {"person": say(words.PERSON[scene.person.gender], rng)}
    return said | phrases(scene.person, scene.view, scene.visible, rng, vague)


def _in_phrases(scene: Scene, altered: list[Altered], rng: Random) -> Description:
    """A {woman} in {a red coat}, carrying {a bag}: some topics, those altered among them."""
    said = topics(scene, rng, vague=rng.choice((0.0, 0.0, 0.0, 0.35)))
    false = {}
    for change in altered:
        phrase = _fresh(change, rng)
        if phrase is not None:
            false[change.topic] = phrase
    shown = [topic for topic in _TOPICS if topic in said and topic not in false]
    wanted = rng.sample(shown, min(len(shown), max(0, rng.choice((1, 1, 2, 2, 3, 3, 4, 5, 6)) - len(false))))
    told = {topic: Claim(said[topic], True, topic) for topic in wanted}
    told |= {topic: Claim(phrase, False, topic) for topic, phrase in false.items()}
    if "person" not in told:
        neutral = said["person"] in words.NEUTRAL or rng.random() < 0.1
        told["person"] = Claim("person" if neutral else said["person"], None if neutral else True, "person")
    pieces = sentence(told, rng)
    return Description("".join(piece.text for piece in pieces), not false, pieces)


def _fresh(change: Altered, rng: Random) -> str | None:
    """The altered topic's phrase; None when it happens to say nothing false, such as one without the color."""
    for _ in range(4):
        phrase = topics(change.scene, rng).get(change.topic)
        if phrase and phrase not in words.NEUTRAL and _tells(change, phrase):
            return phrase
    return None


def _tells(change: Altered, phrase: str) -> bool:
    """Whether the phrase speaks of the field that was changed."""
    person = change.scene.person
    if change.field.endswith("_color"):
        color = getattr(person, change.field)
        table = words.HAIR_COLOR if change.field == "hair_color" else words.COLOR
        return any(word in phrase for word in table[color])
    if change.field == "upper_pattern":
        marks = [*words.PATTERN.values(), *words.MARKS.values()]
        return person.upper_pattern != "plain" and any(word in phrase for table in marks for word in table)
    if change.field == "hair_length":
        return person.hair_length in phrase
    if change.field == "sleeves":
        return "sleeve" in phrase
    return True


def sentence(told: Mapping[str, Claim], rng: Random) -> list[Claim]:
    """Claims joined by small words: a sentence about the person, or a few words as one types them into a search."""
    person = told["person"]
    if len(told) <= 4 and rng.random() < 0.35:
        return keywords(told, rng)
    article = rng.choice(("A ", "A ", "A ", "The ", "a "))
    pieces = [Claim(article), person]
    worn = [topic for topic in ("hair", "upper", "lower", "shoes", "hat", "glasses", "scarf", "belt") if topic in told]
    if rng.random() < 0.3:
        rng.shuffle(worn)
    had = [topic for topic in ("bag", "held") if topic in told]
    pieces += _listed([told[topic] for topic in worn if topic == "hair"], " with ")
    pieces += _listed([told[topic] for topic in worn if topic != "hair"], f" {rng.choice(WEAR)} ")
    pieces += _listed([told[topic] for topic in had], f"{rng.choice((',', ''))} {rng.choice(CARRY)} ")
    if "action" in told:
        pieces += [Claim(", "), told["action"]]
    if "scene" in told:
        pieces += [Claim(" "), told["scene"]]
    return [*pieces, Claim(".")] if rng.random() < 0.85 else pieces


_JOINTS = {"upper": " in ", "lower": " in ", "shoes": " in ", "action": " ", "scene": " "}


def keywords(told: Mapping[str, Claim], rng: Random) -> list[Claim]:
    """As one types it: woman with red bag; man black jacket jeans; red bag, blue jeans. No articles, no full stop."""
    person = told["person"]
    bare = {
        topic: claim._replace(text=claim.text.removeprefix("a ").removeprefix("an "))
        for topic, claim in told.items()
        if topic != "person"
    }
    if rng.random() < 0.45:
        pieces, worn = [person], False
        for topic, claim in bare.items():
            joint = _JOINTS.get(topic, " with ")
            pieces += [Claim(" and " if worn and joint == " in " else joint), claim]
            worn = worn or joint == " in "
        return pieces
    order = [person, *bare.values()] if rng.random() < 0.7 else [*bare.values(), person]
    if person.true is None and bare:
        order.remove(person)
    joint = rng.choice((" ", " ", ", "))
    return [piece for claim in order for piece in (Claim(joint), claim)][1:]


def _listed(claims: list[Claim], before: str) -> list[Claim]:
    pieces = []
    for index, claim in enumerate(claims):
        join = before if index == 0 else " and " if index == len(claims) - 1 else ", "
        pieces += [Claim(join), claim]
    return pieces


def _in_statements(scene: Scene, altered: list[Altered], rng: Random) -> Description:
    """As ctgi writes refined queries: a short sentence, then the answers to the pool's questions as statements."""
    fields = {change.field: change.scene for change in altered}
    asked = rng.sample([name for name in ANSWERS if name not in fields], rng.randint(1, 4))
    claims = [Claim(text, name not in fields) for name in rng.sample([*asked, *fields], len(asked) + len(fields))
              if (text := _statement(name, fields.get(name, scene)))]  # fmt: skip
    opening = say(words.PERSON[scene.person.gender], rng)
    start = Claim(as_sentence(f"a {opening}"), None if opening in words.NEUTRAL else True, "person")
    text = compose(start.text, [claim.text for claim in claims])
    inside = [claim._replace(text=claim.text.removeprefix("The person ").rstrip(".")) for claim in (start, *claims)]
    return Description(text, all(claim.true is not False for claim in claims), _in_order(text, inside))


def _statement(name: str, scene: Scene) -> str | None:
    said = answer(name, scene)
    return None if why_unusable(_POOL[name].question, said) else state(_POOL[name], said)


def _in_order(text: str, claims: list[Claim]) -> list[Claim]:
    """The text cut at the claims it contains."""
    found = sorted((text.find(claim.text), claim) for claim in claims if claim.text in text)
    pieces, at = [], 0
    for start, claim in found:
        if start >= at:
            pieces += [Claim(text[at:start]), claim]
            at = start + len(claim.text)
    return [*pieces, Claim(text[at:])]


def _by_witness(scene: Scene, other: Scene, true: bool, rng: Random) -> Description:
    """What a witness would write of this scene, of it altered, or of somebody else; no word is marked as wrong."""
    if true:
        return Description(describe(scene.person, scene.view, scene.visible, rng), True, [])
    seen = _lookalike(scene, other, rng) if rng.random() < 0.5 else _twice_altered(scene, rng)
    return Description(describe(seen.person, seen.view, seen.visible, rng), False, [])


def _lookalike(scene: Scene, other: Scene, rng: Random) -> Scene:
    """Somebody who wears at least one garment of another color, kind or sex, which witnesses seldom leave out."""
    for _ in range(6):
        seen = draw_lookalike(scene, other, rng)
        if sum(agrees(topic, scene, seen) is False for topic in ("upper", "lower", "person", "bag")) > 1:
            return seen
    return _twice_altered(scene, rng)


def _twice_altered(scene: Scene, rng: Random) -> Scene:
    """Garments of other colors: a witness mentions at least one of them."""
    changed = scene
    for _ in range(12):
        change = alter(changed, rng)
        if change.field in ("upper_color", "lower_color", "gender"):
            changed = change.scene
    return changed


def _of_another(scene: Scene, other: Scene, rng: Random) -> Description:
    """Somebody else's phrases, mostly of one who looks much the same; `true` where none of them is false here."""
    seen = draw_lookalike(scene, other, rng) if rng.random() < 0.75 else other
    said = topics(seen, rng)
    shown = [topic for topic in _TOPICS if topic in said]
    same = None if said["person"] in words.NEUTRAL else agrees("person", scene, seen)
    told = {"person": Claim(said["person"], same, "person")}
    for topic in sorted(rng.sample(shown, min(len(shown), rng.choice((2, 3, 3, 4, 5, 6)))), key=_TOPICS.index):
        told[topic] = Claim(said[topic], agrees(topic, scene, seen), topic)
    pieces = sentence(told, rng)
    true = all(piece.true is not False for piece in pieces)
    return Description("".join(piece.text for piece in pieces), true, pieces)


def _nonsense(scene: Scene, rng: Random) -> Description:
    """Things that no picture of a person shows, or an animal in this person's clothes."""
    if rng.random() < 0.4:
        text = draw_nonsense(rng)
        return Description(text, False, [Claim(text, False)])
    said = topics(scene, rng)
    shown = [topic for topic in ("upper", "lower", "shoes", "bag", "hat", "held", "scene") if topic in said]
    told = {"person": Claim(rng.choice(BEINGS), False, "person")}
    told |= {topic: Claim(said[topic], True, topic) for topic in rng.sample(shown, min(len(shown), rng.randint(0, 3)))}
    pieces = sentence(told, rng)
    return Description("".join(piece.text for piece in pieces), False, pieces)
