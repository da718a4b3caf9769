"""Reads replies in languages other than English: words, yes and no, "not visible"."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import files

_APOSTROPHES = str.maketrans({"\u2019": "'", "\u02bc": "'", "\uff07": "'"})
_LATIN_WORD = re.compile(r"[a-z0-9]+(?:[-'][a-z0-9]+)*")
_QUOTED = re.compile(r"\"[^\"]*\"|\u201c[^\u201d]*\u201d|\u00ab[^\u00bb]*\u00bb|\u300c[^\u300d]*\u300d")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Kana, Hangul, Han: scripts without spaces between words, or with suffixes."""
_HANGUL = re.compile("[\uac00-\ud7af]")
_POLITE = frozenset(
    {"sorry", "please", "honestly", "really", "well", "um", "uh", "hm", "hmm", "oh", "just", "bitte", "leider"}
)  # fmt: skip
_ENGLISH = frozenset(
    {"a", "an", "the", "is", "are", "was", "and", "or", "with", "in", "on", "at", "of", "to", "from", "has", "have",
     "it", "his", "her", "their", "she", "he", "they", "this", "that", "wearing", "wears", "carrying", "carries",
     "holding", "person", "man", "woman", "not", "visible", "no", "yes"}
)  # fmt: skip


def words(text: str) -> list[str]:
    """The words of a text in any script, lower-cased; in scripts without spaces, pairs of neighboring characters."""
    text = text.translate(_APOSTROPHES).lower()
    if text.isascii():
        return _LATIN_WORD.findall(text)
    return [part for word in _spaced(text) for part in (_pairs(word) if _UNSPACED.search(word) else [word])]


def yes_or_no(text: str) -> bool | None:
    """Whether a reply begins with yes or no in a known language; None for neither.

    "Cannot be seen" is neither, even if it begins with a word for no.
    """
    said = _normal(text)
    yes, no = (max(map(len, _starting(said, kind)), default=0) for kind in ("agree", "deny"))
    return None if yes == no or _contains(said, "unseen") else yes > no


def without_yes(text: str) -> str:
    """An answer without the yes that it begins with."""
    if yes_or_no(text) is not True:
        return text
    rest = _letters(text) + max(map(len, _starting(_normal(text), "agree")))
    return text[rest:].lstrip(" \t,.;:!-–—،，。、！؛।")


def is_unseen(text: str) -> bool:
    """Whether an answer in another language says that something cannot be seen or told."""
    return _contains(_normal(text), "unseen")


def is_nothing(text: str) -> bool:
    """Whether an answer in another language says that there is nothing of the kind."""
    said = _normal(text)
    starts = [phrase for kind in ("none", "deny") for phrase in _starting(said, kind)]
    return any(len(phrase) > 1 or not said[1:2].isalpha() for phrase in starts) or _contains(said, "not")


def is_skip(text: str) -> bool:
    """Whether a person skips a question: "skip", "dunno", "can't tell", "weiß nicht"; not "I don't know the color"."""
    said = tuple(word for word in words(text) if word not in _POLITE)
    return said in _skips()


@cache
def _skips() -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(words(phrase)) for table in _table().values() for phrase in table.get("skip", []))


def unquoted_part(text: str) -> str:
    """The text without quotations, because a shirt may say anything."""
    return _QUOTED.sub(" ", text)


def is_english(text: str) -> bool:
    """Whether a text may be English: few letters of other scripts, and no foreign function words.

    Quotations are ignored, because a shirt may say anything. Single words that English shares pass.
    """
    plain = unquoted_part(text)
    letters = [character for character in plain if character.isalpha()]
    other = sum(not unicodedata.name(character, "").startswith("LATIN") for character in letters)
    if letters and other / len(letters) >= 0.25:
        return False
    told = _spaced(plain.translate(_APOSTROPHES).lower())
    foreign = sum(word in _known() for word in told)
    return foreign <= sum(word in _ENGLISH for word in told) and not (foreign and foreign == len(told))


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    import yaml

    content: dict[str, dict[str, list[str]]] = yaml.safe_load(
        (files("ctgi.agents") / "languages.yaml").read_text(encoding="utf-8")
    )
    return content


@cache
def _patterns(kind: str, *, english: bool) -> dict[str, tuple[str, re.Pattern[str]]]:
    """Each phrase, normalized, with its pattern; a phrase in a script with spaces must not end inside a word."""
    phrases = [phrase for name, table in _table().items() if english or name != "en" for phrase in table.get(kind, [])]
    known = {phrase: _normal(phrase) for phrase in sorted(phrases, key=len, reverse=True)}
    return {phrase: (text, re.compile(_bounded(text))) for phrase, text in known.items()}


def _bounded(phrase: str) -> str:
    if _UNSPACED.search(phrase) and not (_HANGUL.match(phrase) and len(phrase) < 3):
        return re.escape(phrase)
    return rf"(?<![^\W\d_]){re.escape(phrase)}(?![^\W\d_]|-\w)"


@cache
def _known() -> frozenset[str]:
    return frozenset(word for table in _table().values() for word in table.get("known", []))


@lru_cache(maxsize=1024)
def _starting(said: str, kind: str) -> tuple[str, ...]:
    """The phrases of a kind that a normalized text begins with."""
    patterns = _patterns(kind, english=kind in ("agree", "deny")).items()
    return tuple(phrase for phrase, (text, pattern) in patterns if said.startswith(text) and pattern.match(said))


def _contains(said: str, kind: str) -> bool:
    return any(text in said and pattern.search(said) for text, pattern in _patterns(kind, english=False).values())


@lru_cache(maxsize=1024)
def _normal(text: str) -> str:
    """Normalized: composed, in lower case, from the first letter on."""
    return unicodedata.normalize("NFC", text.translate(_APOSTROPHES))[_letters(text) :].lower()


def _letters(text: str) -> int:
    """Position of the first letter."""
    return next((place for place, character in enumerate(text) if character.isalpha()), len(text))


def _spaced(text: str) -> list[str]:
    """Runs of letters, digits and the marks on them; hyphens and apostrophes inside belong to a word."""
    kept = "".join(
        character if character in "-'\u200c\u200d" or _is_part(character) else " " for character in text
    )  # joiners occur inside words of Persian and Indian scripts
    return [word for part in kept.split() if (word := part.strip("-'\u200c\u200d"))]


def _is_part(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def _pairs(word: str) -> Sequence[str]:
    return [word[place : place + 2] for place in range(len(word) - 1)] or [word]
