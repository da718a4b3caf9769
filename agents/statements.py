"""Turns answers into statements, finds answers that say nothing, and joins statements into prose."""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from ctgi.agents import languages
from ctgi.agents.grammar import COLORS, affirmed, as_sentence, is_clause, join_and, lowered, with_article
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
_NO_IMAGE = re.compile(
    r"\b(?:(?:i (?:can(?:no|')t|do not|don't|am unable to)"
    r"|(?:i'm|i am) (?:not able|unable) to) (?:\w+ )?(?:see|view|access|open|process|display) "
    r"(?:\w+ ){0,2}(?:images?|pictures?|photos?|files?)\b"
    r"|no (?:image|picture|photo)s? (?:(?:is|was|are|were|has been) )?"
    r"(?:attached|provided|uploaded|included|given)|(?:haven't|have not|didn't|did not) (?:\w+ )?(?:provided?"
    r"|attach(?:ed)?|upload(?:ed)?|included?|shared?) (?:an?|any|the) (?:image|picture|photo)"
    r"|please (?:upload|provide|share|attach) (?:\w+ ){0,3}(?:image|picture|photo|description|query))\b",
    re.IGNORECASE,
)
_SORRY = re.compile(
    r"^\W*(?:很?抱歉|对不起|對不起|申し訳|すみません|죄송|lo siento|(?:je suis )?désolé|es tut mir leid|entschuldigung"
    r"|desculpe|mi dispiace|извините|простите|к сожалению|عذرا|آسف)",
    re.IGNORECASE,
)
_NOTHING_THERE = re.compile(
    r"^(?:no|none|nothing|nobody|no one|n/?a|neither|not applicable|there (?:is|are) (?:no|none|nothing)|without)\b"
    r"|\b(?:does not|doesn't|is not|isn't|are not|aren't|not) (?:wear|carry|have|hold)(?:ing)?\b"
    r"|\b(?:wears|carries|has|holds|wearing|carrying|holding) (?:no|nothing|none)\b",
    re.IGNORECASE,
)
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
        "she",
        "he",
        "they",
        "her",
        "his",
        "their",
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
_SHORT_YES = re.compile(
    r"^(?:(?:it|he|she|they|there|(?:the|this) person) (?:is|are|does|do|has|have|can))?$", re.IGNORECASE
)
_SUBJECT = "The person "
_SENTENCE_END = re.compile(r"(?<=[a-z0-9)][.!?])\s+(?=[A-Z])")
_COLOR_OF = re.compile(
    rf"^The (?P<thing>shoes|bag|hat) (?:is|are) (?P<color>(?:(?:{'|'.join(sorted(COLORS))}|maroon|burgundy|cream|gold"
    r"|silver)(?: blue| and )?)+)\.$"
)
_NAMED = {
    thing: re.compile(rf"^(?P<verb>The person (?:wears|has|carries)) (?:an? )?(?P<thing>(?:{words}))(?P<rest>.*)$")
    for thing, words in (
        ("shoes", "sneakers|boots|sandals|heels|high heels|loafers|trainers|running shoes|dress shoes"),
        ("bag", "bag|handbag|backpack|purse|shoulder bag|tote bag|suitcase|briefcase"),
        ("hat", "hat|cap|baseball cap|beanie|helmet"),
    )
}


def why_unusable(question: str, answer: str, bland: Collection[str] = ()) -> str | None:
    """Why an answer has nothing to keep, or None.

    Reasons: empty, skipped, not visible, refusal, nothing there, echo.
    bland: words that add nothing to the question.
    """
    text = " ".join(answer.replace("\u2019", "'").split())
    if not languages.words(text):
        return "empty"
    if languages.is_skip(text):
        return "skipped"
    if is_refusal(text):
        return "refusal"
    if tells_nothing_seen(text):
        return "not visible"
    if _NOTHING_THERE.search(text) or languages.is_nothing(text):
        return "nothing there"
    said = content_words(text)
    if said <= content_words(question) and (text.endswith("?") or len(text.split()) > 3):
        return "echo of the question"
    return "no more than the question" if said and said <= set(bland) else None


def is_refusal(text: str) -> bool:
    """Whether a text refuses, or says that there is no image, instead of describing somebody."""
    text = languages.unquoted_part(text).replace("\u2019", "'")
    return bool(_REFUSAL.search(text) or _NO_IMAGE.search(text) or _SORRY.search(text))


def tells_nothing_seen(text: str) -> bool:
    """Whether a text says, in a known language, that something cannot be seen or told, or refuses."""
    return bool(_NOT_VISIBLE.search(text) or _REFUSAL.search(text)) or languages.is_unseen(text)


def state(question: PoolQuestion, answer: str) -> str | None:
    """The answer as one sentence, or None for a bare yes to a question that yes does not answer.

    "red" to the color of the shoes gives "The shoes are red."; an answer that is a sentence stays one.
    """
    bare = languages.without_yes(" ".join(answer.split())).rstrip(" .;,")
    if _SHORT_YES.match(bare):
        bare = question.bare_yes
        if not bare:
            return affirmed(question.question)
    if is_clause(bare) or bare[-1:] in "。！？؟।" or (len(bare.split()) > 4 and not languages.is_english(bare)):
        return as_sentence(bare)
    if content_words(bare) <= COLORS and question.bare_yes and "{thing}" in question.statement:
        bare = _colored(question.bare_yes, bare.lower())
    phrase = lowered(bare)
    return as_sentence(question.statement.format(answer=phrase, thing=with_article(phrase)))


def _colored(thing: str, color: str) -> str:
    """A thing with its color: ("a belt", "brown") -> "a brown belt"."""
    bare = re.sub(r"^an? ", "", thing)
    return with_article(f"{color} {bare}") if bare != thing else f"{color} {thing}"


def compose(description: str, statements: Iterable[str]) -> str:
    """Description and statements as prose without repetition; statements about "the person" become one sentence.

    ("A man.", "The person wears glasses.", "The shoes are red.", "The person has a bag.") gives
    "A man. The person wears glasses and has a bag. The shoes are red."
    """
    sentences, predicates = [], []
    said = [sentence for statement in statements for sentence in _SENTENCE_END.split(statement)]
    for statement in dict.fromkeys(_with_colors(list(dict.fromkeys(said)))):
        if statement.startswith(_SUBJECT) and statement.count(".") == 1:
            predicates.append(statement.removeprefix(_SUBJECT).rstrip("."))
        else:
            sentences.append(statement)
    if predicates:
        sentences.insert(0, f"{_SUBJECT}{join_and(_by_verb(predicates))}.")
    opening = [as_sentence(description)] if languages.words(description) else []
    return " ".join(opening + sentences)


def _by_verb(predicates: list[str]) -> list[str]:
    """Predicates grouped by verb (wear, have, carry): "wears boots and glasses"."""
    things: dict[str, list[str]] = {}
    for predicate in predicates:
        verb, _, thing = predicate.partition(" ")
        alike = verb in ("wears", "has", "carries", "holds") and " on the " not in thing
        things.setdefault(verb if alike else predicate, []).append(thing if alike else "")
    return [f"{verb} {join_and(objects)}".strip() for verb, objects in things.items()]


def _with_colors(statements: list[str]) -> list[str]:
    """Statements in which the color of shoes, a bag or a hat is merged into the statement that names the thing."""
    told = list(statements)
    for statement in statements:
        color = _COLOR_OF.match(statement)
        for place, other in enumerate(told if color else ()):
            named = _NAMED[color["thing"]].match(other) if color else None
            if color and named:
                thing = f"{color['color']} {named['thing']}"
                told[place] = f"{named['verb']} {with_article(thing)}{named['rest']}"
                told.remove(statement)
                break
    return told


@lru_cache(maxsize=4096)
def content_words(text: str) -> frozenset[str]:
    """The content words of a text, in lower case."""
    return frozenset(languages.words(text)) - _STOP_WORDS
