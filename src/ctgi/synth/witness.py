"""Descriptions as people write them to find somebody: partial, in many words, at times vague, never false."""

from collections.abc import Sequence, Set
from random import Random

from ctgi.synth import words
from ctgi.synth.person import NONE, Person, View
from ctgi.synth.phrases import hair, nouns, with_article
from ctgi.synth.sentences import Clause, Speaker, listed, participles, predicate, sentence
from ctgi.synth.words import Writer, say

LENGTH = (8, 40)
"""Words of a description, at least and at most."""
TOLD = {
    "upper": 0.98, "lower": 0.96, "hair": 0.6, "bag": 0.92, "shoes": 0.82, "hat": 0.85, "held": 0.75, "scarf": 0.85,
    "glasses": 0.75, "action": 0.3, "side": 0.22, "belt": 0.5, "scene": 0.25,
}  # fmt: skip
"""How often people tell each thing that they can see, the most telling first."""
WORN = ("upper", "lower", "shoes", "hat", "glasses", "scarf", "belt")
VAGUE_WITNESSES = 0.22
DARK = ("black", "navy", "burgundy", "brown")


def describe(person: Person, view: View, visible: Set[str], rng: Random) -> str:
    """What a witness would say of the picture, in 8 to 40 words.

    visible: names of what the picture shows, as `render` gives them.
    """
    seen = [name for name in TOLD if _is_seen(name, person, view, visible)]
    told = [name for name in seen if rng.random() < TOLD[name]]
    more = [name for name in reversed(seen) if name not in told]
    vague = 0.4 if rng.random() < VAGUE_WITNESSES else 0.03
    while True:
        text = _Account(person, view, visible, Writer(rng, vague)).text(told)
        length = len(text.split())
        if length > LENGTH[1]:
            told.pop()
        elif length >= LENGTH[0]:
            return text
        elif more:
            told.append(more.pop())
        else:
            return f"{text} Little else can be seen."


def _is_seen(name: str, person: Person, view: View, visible: Set[str]) -> bool:
    if name == "held" and person.held == "phone" and view.action == "talking on the phone":
        return False  # the action says it
    missing = {"lower": person.lower_type, "bag": person.bag, "held": person.held, "hat": person.hat}
    missing |= {"glasses": person.glasses, "scarf": person.scarf_color, "belt": person.belt_color}
    return name in ("action", "side", "scene") or (name in visible and missing.get(name) != NONE)


class _Account:
    """One way of telling about one picture."""

    def __init__(self, person: Person, view: View, visible: Set[str], writer: Writer) -> None:
        self._person, self._view, self._writer = person, view, writer
        self._things = nouns(person, visible, writer)
        self._hair = hair(person, view, writer)
        self._scene = say(words.SCENE[view.scene], writer.rng)
        self._all_dark = _all_dark(person, visible, writer)
        self._speaker = _draw_speaker(person, writer)

    def text(self, told: Sequence[str]) -> str:
        """All that is in `told`."""
        if len(told) > 4 and self._writer.chance(0.1):
            return self._notes(told)
        chunks = self._chunks(self._ordered(told))
        return " ".join([self._opening(chunks[0]), *map(self._further, chunks[1:])])

    # --- what goes where

    def _ordered(self, told: Sequence[str]) -> list[str]:
        rng = self._writer.rng
        order = ["hair", *WORN, "bag", "held", "action", "scene", "side"]
        if rng.random() < 0.25:
            order = rng.sample(order[:-3], len(order) - 3) + order[-3:]
        elif rng.random() < 0.4:
            order = [*WORN, "bag", "held", "hair", "action", "scene", "side"]
        if rng.random() < 0.25:
            order = ["action", "scene", *(name for name in order if name not in ("action", "scene"))]
        return [name for name in order if name in told and not (name == "action" and "scene" in told)]

    def _chunks(self, told: list[str]) -> list[list[str]]:
        """What goes into each sentence."""
        rng, count = self._writer.rng, len(told)
        sentences = rng.choices((1, 2, 3), (60, 40, 0) if count < 4 else (30, 50, 20))[0]
        if count < 3 or sentences == 1:
            return [told]
        first = rng.randint(2, count - 1)
        middle = rng.randint(first + 1, count - 1) if sentences == 3 and first + 1 < count else count
        return [chunk for chunk in (told[:first], told[first:middle], told[middle:]) if chunk]

    def _clauses(self, told: Sequence[str]) -> list[Clause]:
        """The clauses that tell it, clothes as one."""
        worn = self._clothes(told)
        clauses = [Clause("wearing", worn)] if worn else []
        having = [self._hair] if "hair" in told else []
        for name in ("bag", "held"):
            if name in told:
                verb, thing = self._carried(name)
                having += [thing] if verb == "with" else []
                clauses += [Clause(verb, (thing,))] if verb != "with" else []
        clauses += [Clause("with", tuple(having))] if having else []
        if "scene" in told or "action" in told:
            clauses.append(Clause(self._deed("scene" in told)))
        if "side" in told:
            clauses.append(Clause(say(words.SIDE[self._view.side], self._writer.rng)))
        return clauses

    def _clothes(self, told: Sequence[str]) -> tuple[str, ...]:
        worn = [name for name in told if name in WORN]
        if self._all_dark and {"upper", "lower"} <= set(told):
            return self._all_dark, *(self._things[name].text for name in worn if name not in ("upper", "lower"))
        return tuple(self._things[name].text for name in worn)

    def _deed(self, scene: bool) -> str:
        deed = say(words.ACTION[self._view.action], self._writer.rng)
        if not scene:
            return deed
        return f"{deed.removesuffix(' still')} {self._scene}"

    def _carried(self, name: str) -> tuple[str, str]:
        """The verb and the thing with it."""
        rng, thing = self._writer.rng, self._things[name]
        text = thing.text
        if thing.noun == "bag" and not thing.before and rng.random() < 0.5:
            text = say({"some kind of bag": 70, "a bag of some kind": 30}, rng)
        if name == "held":
            place = say({"": 55, "in one hand": 25, f"in {self._speaker.own} hand": 20}, rng)
            verb = "with" if place and rng.random() < 0.3 else "holding"
        else:
            place = "" if "shoulder" in thing.noun else self._place_of_bag()
            verb = self._verb_of_bag()
        return verb, f"{text} {place}".rstrip()

    def _place_of_bag(self) -> str:
        own = self._speaker.own
        places = {"backpack": f"on {own} back", "shoulder bag": f"over {own} shoulder"}
        return places.get(self._person.bag, "") if self._writer.chance(0.3) else ""

    def _verb_of_bag(self) -> str:
        if self._person.bag != "suitcase":
            return "carrying" if self._writer.chance(0.65) else "with"
        moving = self._view.action in ("walking", "running")
        return "pulling" if moving and self._writer.chance(0.6) else "with"

    # --- sentences

    def _opening(self, told: Sequence[str]) -> str:
        rng, clauses = self._writer.rng, self._clauses(told)
        a_man = with_article(self._speaker.noun)
        if len(clauses) > 1 and rng.random() < 0.15:
            return self._turned_round(clauses)
        head, clauses = self._head(clauses)
        if rng.random() < 0.45:
            lead = say({"": 70, "there is": 8, "this is": 7, "I saw": 8, "the picture shows": 7}, rng)
            comma = "," if head and clauses and clauses[0].verb == "with" else ""
            return sentence(lead, a_man, f"{head}{comma}", participles(clauses, rng))
        if not clauses:
            return sentence("there is", a_man, head)
        subject = say({a_man: 55, f"the {self._speaker.noun}": 40, f"this {self._speaker.noun}": 5}, rng)
        return sentence(subject, head, predicate(clauses, plural=False, rng=rng))

    def _head(self, clauses: list[Clause]) -> tuple[str, list[Clause]]:
        """What stands close to the noun (a man with short hair, a woman in a red dress), and the rest."""
        rng = self._writer.rng
        near = [clause for clause in clauses if clause.verb in ("with", "wearing")]
        if not near or (len(clauses) > 1 and rng.random() < 0.3):
            return "", clauses
        chosen = rng.choice(near)
        if len(chosen.objects) > 3:
            return "", clauses
        head = f"{'in' if chosen.verb == 'wearing' else 'with'} {listed(chosen.objects)}"
        return head, [clause for clause in clauses if clause is not chosen]

    def _turned_round(self, clauses: list[Clause]) -> str:
        """Wearing a red shirt, a man is walking in a park."""
        rng = self._writer.rng
        first = rng.choice([clause for clause in clauses if clause.verb != "with"] or clauses)
        rest = [clause for clause in clauses if clause is not first]
        subject = say({with_article(self._speaker.noun): 60, f"the {self._speaker.noun}": 40}, rng)
        return sentence(f"{first.participle},", subject, predicate(rest, plural=False, rng=rng))

    def _further(self, told: Sequence[str]) -> str:
        rng, speaker = self._writer.rng, self._speaker
        thing = self._things.get(told[0])
        if len(told) == 1 and thing and thing.plain and thing.before and rng.random() < 0.6:
            return sentence(speaker.possessive, thing.noun, "are" if thing.plural else "is", thing.before)
        return sentence(speaker.pronoun, predicate(self._clauses(told), speaker.plural, rng))

    def _notes(self, told: Sequence[str]) -> str:
        """Man, short black hair, red T-shirt, blue jeans, black backpack."""
        items = [self._hair] if "hair" in told else []
        things = [self._things[name] for name in (*WORN, "bag", "held") if name in told]
        items += [thing.text for thing in things if thing.noun != "something"]
        items += [self._deed("scene" in told)] if {"action", "scene"} & set(told) else []
        bare = [item.removeprefix("a ").removeprefix("an ").replace("over a ", "over ") for item in items]
        joint = ", " if self._writer.chance(0.75) else "; "
        return sentence(joint.join([self._speaker.noun, *bare]))


def _draw_speaker(person: Person, writer: Writer) -> Speaker:
    noun = say(words.PERSON[person.gender], writer.rng)
    if noun in words.NEUTRAL and writer.chance(0.5):
        return Speaker(noun, "they", "their", "their", plural=True)
    if noun in words.NEUTRAL:
        return Speaker(noun, f"the {noun}", f"the {noun}'s", "their", plural=False)
    pronoun, own = ("he", "his") if person.gender == "man" else ("she", "her")
    if writer.chance(0.2):
        return Speaker(noun, f"the {noun}", f"the {noun}'s", own, plural=False)
    return Speaker(noun, pronoun, own, own, plural=False)


def _all_dark(person: Person, visible: Set[str], writer: Writer) -> str:
    """Words for upper and lower clothes together, or ""."""
    plain = person.upper_pattern == person.lower_pattern == "plain" and "inner" not in visible
    if plain and person.upper_color in DARK and person.lower_color in DARK and writer.chance(0.15):
        return say({"dark clothes": 60, "dark clothing": 40}, writer.rng)
    return ""
