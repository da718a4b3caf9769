"""Answers as statements: what an answer says, whether it says anything, and how statements join into prose."""

import re
from collections.abc import Iterable
from functools import lru_cache

from ctgi.agents.pool import PoolQuestion

_NOT_VISIBLE = re.compile(
    r"\b(?:(?:is|are|was)?\s*not (?:clearly |fully |really )?(?:visible|seen|shown|clear|determinable|discernible)"
    r"|(?:can|could)\s*(?:not|n't) (?:be )?(?:clearly )?(?:seen?|tell|determined?|say|identif\w+|discern\w*)"
    r"|cannot (?:be )?(?:clearly )?(?:seen?|tell|determined?|say|identif\w+|discern\w*)"
    r"|unclear|unknown|unsure|uncertain|not sure|no idea|don't know|out of (?:view|frame)|hidden|invisible)\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\b(?:i'?m sorry|i am sorry|i apologi[sz]e|as an ai|language model"
    r"|i (?:can(?:no|')t|am unable to|am not able to|won't) (?:help|assist|answer|identify|comply|provide|discuss))\b",
    re.IGNORECASE,
)
_NOTHING_THERE = re.compile(
    r"^(?:no|none|nothing|nobody|no one|n/?a|neither|not applicable|there (?:is|are) (?:no|none|nothing)|without)\b"
    r"|\b(?:does not|doesn't|is not|isn't|are not|aren't|not) (?:wear|carry|have|hold)(?:ing)?\b"
    r"|\b(?:wears|carries|has|holds|wearing|carrying|holding) (?:no|nothing|none)\b",
    re.IGNORECASE,
)
_YES = re.compile(r"^(?:yes|yeah|yep)\b[\s,.;:!-]*", re.IGNORECASE)
_SENTENCE = re.compile(
    r"^(?:the|this|that|a|an|his|her|their|he|she|they|it|there)\b.*?\b(?:is|are|was|were|has|have|wears?|carr(?:y|ies)"
    r"|holds?|walks?|stands?|runs?|rides?|looks?|appears?|seems?|shows?|comes?|reach(?:es)?|includes?)\b",
    re.IGNORECASE,
)
_DETERMINED = re.compile(
    r"^(?:an?|the|his|her|their|its|some|two|three|four|several|many|one|no|another|both|either|what|something)\b",
    re.IGNORECASE,
)
COLORS = frozenset(
    {"dark", "light", "bright", "black", "white", "gray", "grey", "red", "blue", "green", "yellow", "orange", "pink",
     "purple", "brown", "beige", "navy", "tan", "khaki"}
)  # fmt: skip
_WORD = re.compile(r"[a-z0-9]+(?:[-'][a-z0-9]+)*")
_STOP_WORDS = frozenset(
    {
        "a",
        "an",
        "the",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "of",
        "in",
        "on",
        "at",
        "by",
        "to",
        "and",
        "or",
        "with",
        "has",
        "have",
        "had",
        "it",
        "its",
        "this",
        "that",
        "there",
        "person",
        "person's",
        "man",
        "woman",
        "wears",
        "wear",
        "wearing",
        "carries",
        "carry",
        "carrying",
        "body",
        "clothing",
        "color",
        "colour",
        "image",
    }
)
_SUBJECT = "The person "


def why_unusable(question: str, answer: str) -> str | None:
    """The reason an answer says nothing to keep, or None: empty, not visible, refusal, nothing there, echo."""
    text = " ".join(answer.replace("\u2019", "'").split())
    if not _WORD.search(text.lower()):
        return "empty"
    if _REFUSAL.search(text):
        return "refusal"
    if _NOT_VISIBLE.search(text):
        return "not visible"
    if _NOTHING_THERE.search(text):
        return "nothing there"
    if content_words(text) <= content_words(question) and (text.endswith("?") or len(text.split()) > 3):
        return "echo of the question"
    return None


def state(question: PoolQuestion, answer: str) -> str | None:
    """The answer as one sentence, or None when it is a bare yes that the question cannot turn into one.

    "red" to the color of the shoes gives "The shoes are red."; an answer that is a sentence stays one.
    """
    bare = _YES.sub("", " ".join(answer.split())).rstrip(" .;,")
    if not bare:
        bare = question.bare_yes
    if not bare:
        return None
    if _SENTENCE.match(bare):
        return as_sentence(bare)
    if content_words(bare) <= COLORS and question.bare_yes and "{thing}" in question.statement:
        bare = _colored(question.bare_yes, bare.lower())
    phrase = bare if re.match(r"[A-Z][\w-]*[A-Z]|I\b|[A-Z]-", bare) else bare[0].lower() + bare[1:]
    return as_sentence(question.statement.format(answer=phrase, thing=with_article(phrase)))


def _colored(thing: str, color: str) -> str:
    """A color put before what it belongs to: ("a belt", "brown") -> "a brown belt"."""
    bare = re.sub(r"^an? ", "", thing)
    return with_article(f"{color} {bare}") if bare != thing else f"{color} {thing}"


def with_article(phrase: str) -> str:
    """A noun phrase with "a" or "an" where it is singular and has no determiner: "red bag" -> "a red bag"."""
    head = re.split(r"\b(?:and|with|of|in|on|at|over|that|which|for|to|,)\b|,", phrase, maxsplit=1)[0].strip()
    last = head.split()[-1].lower() if head else ""
    if not last or _DETERMINED.match(phrase) or last.endswith("s") or last in _UNCOUNTED or last.isdigit():
        return phrase
    return f"{'an' if begins_with_vowel_sound(phrase) else 'a'} {phrase}"


def begins_with_vowel_sound(phrase: str) -> bool:
    """Whether the phrase's first sound asks for "an"."""
    return phrase.lower().startswith(("a", "e", "i", "o", "umbrella", "under", "unzip"))


_UNCOUNTED = frozenset(
    {
        "luggage",
        "clothing",
        "denim",
        "jewelry",
        "footwear",
        "people",
        "grass",
        "greenery",
        "water",
        "hair",
        "paper",
        "food",
    }
)


def as_sentence(text: str) -> str:
    """The text with a capital letter at its start and a full stop at its end."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def compose(description: str, statements: Iterable[str]) -> str:
    """Description and statements as prose; what is said of "the person" becomes one sentence.

    ("A man.", "The person wears glasses.", "The shoes are red.", "The person has a bag.") gives
    "A man. The person wears glasses and has a bag. The shoes are red."
    """
    sentences, predicates = [], []
    for statement in statements:
        if statement.startswith(_SUBJECT) and statement.count(".") == 1:
            predicates.append(statement.removeprefix(_SUBJECT).rstrip("."))
        else:
            sentences.append(statement)
    if predicates:
        sentences.insert(0, f"{_SUBJECT}{join_and(predicates)}.")
    opening = [as_sentence(description)] if description.strip() else []
    return " ".join(opening + sentences)


def join_and(parts: list[str]) -> str:
    """Parts as English lists them: "a, b and c"."""
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else "".join(parts)


@lru_cache(maxsize=4096)
def content_words(text: str) -> frozenset[str]:
    """The words of a text that carry meaning, lower-cased."""
    return frozenset(_WORD.findall(text.lower())) - _STOP_WORDS
