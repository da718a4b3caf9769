"""A little English grammar for statements: articles, lists, sentences."""

import re
from collections.abc import Sequence

_SENTENCE = re.compile(
    r"^(?:the|this|that|a|an|his|her|their|he|she|they|it|there)\b.*?(?<!\bthat )(?<!\bwhich )(?<!\bwho )"
    r"\b(?:is|are|was|were|has|have|wears?|carr(?:y|ies)"
    r"|holds?|walks?|stands?|runs?|rides?|looks?|appears?|seems?|shows?|comes?|reach(?:es)?|includes?)\b",
    re.IGNORECASE,
)
_DETERMINED = re.compile(
    r"^(?:an?|the|his|her|their|its|some|two|three|four|several|many|one|no|another|both|either|what|something)\b",
    re.IGNORECASE,
)
_HEAD_ENDS = re.compile(r"\b(?:and|with|of|in|on|at|over|that|which|for|to|,)\b|,")
_UNCOUNTED = frozenset(
    {"luggage", "clothing", "denim", "jewelry", "footwear", "people", "grass", "greenery", "water", "hair", "paper",
     "food", "headwear", "eyewear", "outerwear", "makeup"}
)  # fmt: skip
COLORS = frozenset(
    {"dark", "light", "bright", "black", "white", "gray", "grey", "red", "blue", "green", "yellow", "orange", "pink",
     "purple", "brown", "beige", "navy", "tan", "khaki"}
)  # fmt: skip
_ADJECTIVES = COLORS | {
    "adult", "bald", "casual", "cream", "curly", "dark-colored", "elderly", "female", "formal", "knee-length",
    "light-colored", "long", "loose", "male", "maroon", "medium", "medium-length", "neat", "neutral", "none", "old",
    "plain", "short", "shoulder-length", "silver", "slim", "solid", "straight", "tall", "teal",
    "visible", "wavy", "young",
}  # fmt: skip
_ASKED = re.compile(r"^(?P<verb>is|are|was|were|does|do|has|have|can)\s+(?P<rest>.+?)\s*\?$", re.IGNORECASE)
_SHORT_SUBJECT = re.compile(
    r"(?:(?:the|this|that) (?:person|man|woman|boy|girl|individual)|he|she|they|there|it)\b(?!')", re.IGNORECASE
)
_PRONOUNS = {"he": "The person", "she": "The person"}
_DETERMINERS = frozenset({"the", "his", "her", "their", "its", "this", "that", "these", "those"})
_BEGINS_PREDICATE = re.compile(
    rf"(?:{'|'.join(sorted(_ADJECTIVES))}|an?|in|on|with|at|over|under|of|made|worn|visible|wear|have|carry|hold|(?!clothing)\w+(?:ing|ed))$",
    re.IGNORECASE,
)
_ENDS = (".", "!", "?", "。", "！", "？", "؟", "।", "…")


def with_article(phrase: str) -> str:
    """A noun phrase with "a" or "an" if it is singular and has no determiner: "red bag" -> "a red bag"."""
    last = _head(phrase)
    plural = last.endswith("s") and not last.endswith(("ss", "us"))
    if not last or _DETERMINED.match(phrase) or plural or last in _UNCOUNTED or last.isdigit():
        return phrase
    return f"{'an' if begins_with_vowel_sound(phrase) else 'a'} {phrase}"


def begins_with_vowel_sound(phrase: str) -> bool:
    """Whether the phrase's first sound asks for "an"."""
    return phrase.lower().startswith(("a", "e", "i", "o", "umbrella", "under", "unzip"))


def is_noun_phrase(phrase: str) -> bool:
    """Whether a few words name a thing; "long and black" or "walking" do not."""
    last = _head(phrase)
    how = last in _ADJECTIVES or last.endswith(("ing", "ed", "ly", "-length")) or re.match(r"\w+ing\b", phrase)
    return bool(last) and not how and len(phrase.split()) <= 12


def is_clause(text: str) -> bool:
    """Whether a text has a subject and a verb of its own."""
    return _SENTENCE.match(text) is not None


def lowered(phrase: str) -> str:
    """A phrase as written inside a sentence; names like T-shirt or NYPD keep their capitals."""
    return phrase if re.match(r"[A-Z][\w-]*[A-Z]|I\b|[A-Z]-", phrase) else phrase[:1].lower() + phrase[1:]


def as_sentence(text: str) -> str:
    """The text with a capital letter at its start and a full stop at its end."""
    text = " ".join(text.split())
    ended = text.rstrip("\"'”’)").endswith(_ENDS)
    stop = "" if ended else "。" if "\u3040" <= text[-1:] <= "\u9fff" else "."
    return text[:1].upper() + text[1:] + stop


def join_and(parts: Sequence[str]) -> str:
    """Parts as English lists them: "a, b and c"."""
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)


def affirmed(question: str) -> str | None:
    """What a bare yes says: "Is the person wearing a hat?" gives "The person is wearing a hat.", as a sentence.

    None for a question that yes does not answer, or whose subject cannot be told from the rest.
    """
    asked = _ASKED.match(question.strip())
    if not asked or re.search(r"\bor\b", asked["rest"]):
        return None
    verb, rest = asked["verb"].lower(), re.split(r", and (?:which|what|of what|how)\b", asked["rest"])[0]
    subject = _asked_about(rest)
    if not subject:
        return None
    told = rest[len(subject) :].strip()
    said = _third_person(told) if verb == "does" else told if verb == "do" else f"{verb} {told}"
    return as_sentence(f"{_PRONOUNS.get(subject.lower(), subject)} {said}") if told else None


def _asked_about(rest: str) -> str:
    """The subject at the beginning of what follows a question's verb; empty if it cannot be told."""
    short = _SHORT_SUBJECT.match(rest)
    if short:
        return short.group()
    words = rest.split()
    ends = next((i for i, word in enumerate(words) if i > 1 and _BEGINS_PREDICATE.match(word)), 0)
    return " ".join(words[:ends]) if words and words[0].lower() in _DETERMINERS else ""


def _third_person(predicate: str) -> str:
    verb, _, rest = predicate.partition(" ")
    if re.search(r"[^aeiou]y$", verb):
        verb = f"{verb[:-1]}ie"
    elif verb.endswith(("s", "sh", "ch", "o")):
        verb = f"{verb}e"
    return f"{'has' if verb == 'have' else f'{verb}s'} {rest}".strip()


def _head(phrase: str) -> str:
    """The head noun of a phrase, in lower case."""
    words = _HEAD_ENDS.split(phrase, maxsplit=1)[0].split()
    return words[-1].lower() if words else ""
