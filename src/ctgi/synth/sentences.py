"""English grammar enough for descriptions of people: lists, verbs that agree, sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

_PRESENT = {
    "wearing": ("wears", "wear"),
    "carrying": ("carries", "carry"),
    "holding": ("holds", "hold"),
    "pulling": ("pulls", "pull"),
}


@dataclass(frozen=True)
class Speaker:
    """How the person is spoken of."""

    noun: str
    """Man, lady, person."""
    pronoun: str
    """He, she, they, or the noun again."""
    possessive: str
    """His, her, the person's."""
    own: str
    """His, her, their."""
    plural: bool
    """Whether the pronoun takes are."""


@dataclass(frozen=True)
class Clause:
    """Something said of a person: wearing a red shirt, with short hair, walking in a park, seen from behind."""

    verb: str
    objects: tuple[str, ...] = ()

    @property
    def participle(self) -> str:
        """As it follows a noun: a man wearing a red shirt."""
        return f"{self.verb} {listed(self.objects)}" if self.objects else self.verb

    def finite(self, plural: bool, rng: Random) -> str:
        """As it follows a subject: he is wearing a red shirt, or wears one; they have short hair."""
        if self.verb == "with":
            return f"{'have' if plural else 'has'} {listed(self.objects)}"
        if self.verb in _PRESENT and rng.random() < 0.3:
            return f"{_PRESENT[self.verb][plural]} {listed(self.objects)}"
        if self.verb == "wearing" and rng.random() < 0.1:
            return f"{_be(plural)} dressed in {listed(self.objects)}"
        return f"{_be(plural)} {self.participle}"


def _be(plural: bool) -> str:
    return "are" if plural else "is"


def listed(parts: Sequence[str]) -> str:
    """A; A and B; A, B and C."""
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def predicate(clauses: Sequence[Clause], plural: bool, rng: Random) -> str:
    """Is wearing a shirt and jeans, and has short hair."""
    told = [clause.finite(plural, rng) for clause in clauses]
    for place in range(len(told) - 1, 0, -1):
        verb = f"{_be(plural)} "
        alike = clauses[place].verb in _PRESENT and told[place].startswith(verb) and told[place - 1].startswith(verb)
        if alike and rng.random() < 0.5:
            told[place] = told[place].removeprefix(verb)
    if len(told) == 1:
        return told[0]
    comma = "," if len(told) > 2 or " and " in told[0] else ""
    return f"{', '.join(told[:-1])}{comma} and {told[-1]}"


def participles(clauses: Sequence[Clause], rng: Random) -> str:
    """Wearing a shirt and jeans, carrying a bag and walking in a park."""
    told = [clause.participle for clause in clauses]
    if len(told) > 2 and all(clause.verb.split()[0].endswith("ing") for clause in clauses[-2:]) and rng.random() < 0.4:
        told[-2:] = [f"{told[-2]} and {told[-1]}"]
    return ", ".join(told)


def sentence(*parts: str) -> str:
    """The parts with a space between, a capital and a full stop."""
    text = " ".join(part for part in parts if part)
    return f"{text[0].upper()}{text[1:]}."
