"""Items of a list as sentences: "Top: red coat" gives "The person wears a red coat."."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from ctgi.agents.grammar import as_sentence, is_clause, is_noun_phrase, join_and, lowered, with_article


@dataclass(frozen=True)
class Item:
    """One item: its subject ("" if the list does not say), and its text."""

    key: str
    value: str


_VERBS = tuple(
    (re.compile(rf"\b(?:{words})\b", re.IGNORECASE), verb)
    for words, verb in (
        (r"carr(?:y|ies|ied|ying)|holding|hand[- ]?held|in (?:the )?hands?", "carries"),
        (r"access\w*|bags?|backpack|luggage|items?|objects?|belongings|props", "has"),
        (r"tops?|bottoms?|upper|lower|cloth(?:es|ing)|garments?|outfit|attire|dress(?:ed)?|shirt|jacket|coat|trousers"
         r"|pants|skirt|shoes?|footwear|outerwear|layers?|headwear|hat|glasses|eyewear|jewelry|jewellery|wear(?:s|ing)?",
         "wears"),
    )
)  # fmt: skip
_PEOPLE = re.compile(r"^(?:an? )?(?:adult |young |old |elderly )*(?:man|woman|boy|girl|male|female|person)\b", re.I)


def sentences(items: Sequence[Item]) -> list[str]:
    """The items in order; consecutive similar ones become one sentence."""
    told: list[str] = []
    for opening, group in groupby((_framed(item) for item in items), key=lambda pair: pair[0]):
        phrases = [phrase for _, phrase in group]
        told += phrases if opening is None else [f"{opening} {join_and(phrases)}".strip()]
    return [as_sentence(text) for text in told]


def _framed(item: Item) -> tuple[str | None, str]:
    """The beginning of a sentence of similar items, and the item in it; None if the item is a sentence itself."""
    value = item.value.strip().rstrip(";, ")
    if is_clause(value):
        return None, value
    if not item.key.isascii() or not value.isascii():
        return None, f"{item.key}: {value}" if item.key else value
    phrase = lowered(value.rstrip("."))
    named = with_article(phrase) if is_noun_phrase(phrase) else phrase
    if not item.key:
        return "", named
    verb = next((verb for words, verb in _VERBS if words.search(item.key)), None)
    if (verb and is_noun_phrase(phrase)) or _PEOPLE.match(phrase) or re.match(r"\w+ing\b", phrase):
        return f"The person {verb or 'is'}", named
    key = re.sub(r"^(?:the|a|an) ", "", lowered(item.key))
    plural = key.endswith("s") and not key.endswith("ss")
    return None, f"The {key} {'are' if plural else 'is'} {phrase}"
