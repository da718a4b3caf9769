"""Synonyms and contradictions, so that a caption says nothing twice and nothing that cannot be true together."""

import re
from collections.abc import Iterable
from functools import lru_cache

from ctgi.agents.statements import content_words

_COMPOUND = re.compile(
    r"\b(shoulder|tote|messenger|duffel|hand|tank|polo|high|baseball|knit|rolling|cell|mobile|over|suit|sun|dress) "
    r"(bag|top|shirt|heels|cap|hat|suitcase|phone|coat|jacket|glasses|shoes)\b",
    re.IGNORECASE,
)
_SAME = {
    word: words.split()[0]
    for words in (
        "handbag purse hand-bag",
        "backpack rucksack knapsack",
        "suitcase luggage rolling-suitcase trolley",
        "pants trousers slacks",
        "t-shirt tee",
        "sweater jumper pullover",
        "coat overcoat",
        "blazer suit-jacket",
        "sneakers trainers",
        "heels high-heels",
        "cap baseball-cap",
        "beanie knit-hat",
        "glasses eyeglasses spectacles",
        "phone cellphone cell-phone mobile-phone smartphone",
        "gray grey",
        "man male gentleman guy",
        "woman female lady",
        "blond blonde",
        "maroon burgundy",
        "beige cream cream-colored",
        "scarf shawl",
        "polo polo-shirt",
        "navy navy-blue",
    )
    for word in words.split()
}
_KINDS = {
    "bag": "handbag backpack shoulder-bag tote-bag messenger-bag duffel-bag satchel briefcase tote",
    "shoes": "sneakers boots sandals heels loafers dress-shoes footwear",
    "hat": "cap beanie helmet",
    "glasses": "sunglasses sun-glasses",
    "jacket": "coat blazer parka windbreaker",
    "shirt": "t-shirt polo blouse",
    "pants": "jeans leggings",
    "upper-body": "shirt t-shirt polo blouse tank-top sweater sweatshirt hoodie jacket coat blazer parka cardigan vest",
    "lower-body": "pants jeans leggings shorts skirt",
}
_GENERAL = {
    kind: {name for name, kinds in _KINDS.items() if kind in kinds.split()}
    for kinds in _KINDS.values()
    for kind in kinds.split()
}

_GAP = r"(?:\W+(?!(?:and|with|over)\b)[\w-]+){0,3}?\W+"
_LOWER = {
    "trousers": r"trousers|pants|jeans|leggings|slacks|chinos",
    "shorts": r"shorts",
    "skirt": r"skirt",
    "dress": r"dress",
}
_SHOES = r"shoes|sneakers|trainers|boots|sandals|heels|loafers|footwear"
_SHADES = {
    "black": "black",
    "white": "white|cream|beige",
    "gray": "gr[ae]y|silver",
    "red": "red|maroon|burgundy|pink",
    "blue": "blue|navy",
    "green": "green|olive|teal",
    "brown": "brown|tan|khaki|beige",
    "yellow": "yellow|orange|gold",
    "purple": "purple|violet",
}
_SHADE = {name: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for name, words in _SHADES.items()}
COLOR_WORDS = frozenset({"grey", *(word for words in _SHADES.values() for word in words.split("|") if word.isalpha())})
"""Words that name a color; "dark" and "light" are none."""
_FACETS: dict[str, dict[str, str]] = {
    "sleeves": {
        "long": r"long[- ]sleeve|sleeves are long|\b(?:coat|sweater|hoodie|sweatshirt|jumper)\b",
        "short": r"short[- ]sleeve|sleeves are short|(?<!sleeved )(?<!sleeve )\b(?:T-?shirt|tee|polo)\b",
        "none": r"sleeveless|tank top|sleeves are none",
    },
    "lower body": {name: rf"\b(?:{words})\b" for name, words in _LOWER.items()},
    "length": {
        "long": r"\b(?:jeans|leggings|trousers|pants)\b|lower-body clothing is long",
        "short": r"\bshorts\b|lower-body clothing is (?:short|knee)",
    },
    "shoes": {name: rf"\b{name}\b" for name in ("sneakers", "boots", "sandals", "heels", "loafers")},
    "shoe color": {
        name: rf"\b(?:{words}){_GAP}(?:{_SHOES})\b|shoes are (?:dark |light )?(?:{words})\b"
        for name, words in _SHADES.items()
    },
    "person": {
        "man": r"^(?:an? |the )?(?:\w+ )?(?:man|boy|gentleman)\b|looks like a (?:man|male|boy)\b",
        "woman": r"^(?:an? |the )?(?:\w+ )?(?:woman|girl|lady)\b|looks like a (?:woman|female|girl|lady)\b",
    },
    "hair": {
        "long": rf"\b(?:long|shoulder-length|medium-length)\b{_GAP}hair\b|hair is (?:long|shoulder)",
        "short": rf"\b(?:short|cropped)\b{_GAP}hair\b|hair is short",
        "none": r"\bbald\b|shaved head|hair is shaved",
    },
    "hair color": {
        name: rf"\b(?:{words}){_GAP}?hair\b|hair is (?:[\w-]+ and )?(?:{words})\b"
        for name, words in {"black": "black|dark", "blond": "blonde?", "gray": "gr[ae]y"}.items()
    },
}
_COMPILED = {
    facet: {value: re.compile(pattern, re.IGNORECASE) for value, pattern in values.items()}
    for facet, values in _FACETS.items()
}


@lru_cache(maxsize=4096)
def meaning(text: str) -> frozenset[str]:
    """The content words of a text, with one word for all synonyms: "grey rucksack" -> gray, backpack."""
    return frozenset(_SAME.get(word, word) for word in content_words(_COMPOUND.sub(r"\1-\2", text)))


def share_said(words: frozenset[str], known: frozenset[str]) -> float:
    """Share of `words` that also occur in `known`, as such or in more or less general words (handbag, bag)."""
    general = {name for word in known for name in _GENERAL.get(word, ())}
    said = [word in known or word in general or bool(_GENERAL.get(word, set()) & known) for word in words]
    return sum(said) / len(said) if said else 0.0


def color_clash(told: str, seen: str) -> bool:
    """Whether two texts about the same thing name colors that have nothing in common."""
    both = [{name for name, shade in _SHADE.items() if shade.search(text)} for text in (told, seen)]
    return all(both) and not both[0] & both[1]


def contradiction(statement: str, known: Iterable[str]) -> str | None:
    """The attribute in which a statement contradicts known facts, with both values; None if it does not."""
    texts = list(known)
    for facet, values in _COMPILED.items():
        new = {value for value, pattern in values.items() if pattern.search(statement)}
        old = {value for value, pattern in values.items() if any(pattern.search(text) for text in texts)}
        if new and old and not new & old:
            return f"{facet} {' or '.join(sorted(old))}, not {' or '.join(sorted(new))}"
    return None
