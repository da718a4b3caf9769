"""Measured abilities of the embedded models: what they are asked, and what they may say."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache

from ctgi.agents import languages
from ctgi.agents.captioner import Captioner
from ctgi.agents.pool import QuestionPool
from ctgi.agents.trust import EVERY_YES, Trust
from ctgi.agents.verifier import Verifier
from ctgi.config import Settings
from ctgi.embedded import ABILITIES
from ctgi.reading import Json
from ctgi.retrieval.images import ImageRef
from ctgi.tools.backends import Mllm
from ctgi.tools.specs import TOOLS
from ctgi.tools.types import Reply, Verdict

LEAST_ACCURACY = 0.6
"""Attributes with lower accuracy are neither asked about nor described; on photographs neither may the mean over the
right answers be lower, which always the same answer does not raise.
"""
NOT_JUDGED = "not judged"
"""How a verdict begins that no model was asked for."""
_LEAST_ANSWERS = 10
_FUNCTION_WORDS = frozenset(
    {
        "a",
        "an",
        "the",
        "in",
        "on",
        "at",
        "of",
        "to",
        "with",
        "and",
        "or",
        "from",
        "by",
        "who",
        "that",
        "is",
        "are",
        "has",
        "have",
        "his",
        "her",
        "their",
        "he",
        "she",
        "they",
        "it",
        "its",
        "this",
        "for",
        "over",
        "under",
        "no",
        "not",
    }
)
_HAIR = (
    r" with (?:(?:short|cropped|long|shoulder-length|medium-length|black|dark|brown|brunette|blond|blonde|gray|grey|red"
    r"|reddish|light|light-colored) )*hair(?: (?:tied back|pulled back(?: in a ponytail)?|in a \w+|tied in a \w+"
    r"|pulled up in a bun))?| with an? (?:\w+ )?(?:ponytail|bun|bald head|shaved head)| with no hair"
)
_ACTION = (
    r",? (?:and )?(?:standing(?: still)?|walking|strolling|running|jogging|riding (?:on )?a (?:bicycle|bike)"
    r"|talking on (?:the|a cell) phone|making a phone call)"
)
_PLACE = (
    r",? (?:(?:on|in) (?:the|a) (?:street|sidewalk|pavement|park|hall|corridor|shop|store)|indoors"
    r"|(?:in front of|by|next to) a wall|in front of shop shelves)"
)
_PHRASES = {
    "hair": re.compile(rf"(?:{_HAIR})(?= (?:in|who|wearing|wears|dressed|carrying|has|with|and)\b|[.,]|$)"),
    "action": re.compile(rf"{_ACTION}(?={_PLACE}|[.,]|$)"),
    "background": re.compile(rf"{_PLACE}(?= (?:and|with|wearing|carrying)\b|[.,]|$)"),
}
"""Phrases of the embedded captioner about an attribute that can be removed and still leave a sentence."""
_KINDS_OF_BAGS = re.compile(r"\b(?:handbag|purse|backpack|rucksack|shoulder bag|bag with a shoulder strap)\b")


@cache
def measured() -> Json:
    """The table that comes with the embedded models; {} if the installation lacks it."""
    try:
        table: Json = json.loads(ABILITIES.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return table


@cache
def not_seen() -> frozenset[str]:
    """Attributes of the question pool that the embedded model answers too badly to be asked."""
    table = measured().get("attributes", {})
    return frozenset(attribute for attribute, sources in table.items() if not is_well_seen(sources))


def is_well_seen(sources: dict[str, Json]) -> bool:
    """Whether an attribute's figures, by kind of picture, are all good enough; few answers prove nothing."""
    return all(
        min(row["accuracy"], row["balanced"] if kind == "photographs" else 1.0) >= LEAST_ACCURACY
        for kind, row in sources.items()
        if row["n"] >= _LEAST_ANSWERS
    )


def is_embedded(settings: Settings, tool: str) -> bool:
    """Whether the embedded models, CLIP and MLLM, serve a tool."""
    binding = settings.binding(tool)
    if tool in TOOLS and "embedded" in TOOLS[tool].openers:
        return False  # a detector made from photographs
    return binding.endpoint == "embedded" or settings.endpoint(binding).provider == "embedded"


def askable(pool: QuestionPool, settings: Settings) -> QuestionPool:
    """The pool without questions that the bound model is known to answer badly."""
    if not is_embedded(settings, "answer_question"):
        return pool
    return replace(pool, questions=tuple(one for one in pool.questions if one.attribute not in not_seen()))


def unknown_words(text: str) -> list[str]:
    """The words of a text that the embedded models never learned, in their order."""
    known = _vocabulary()
    return [word for word in dict.fromkeys(languages.words(text)) if known and not _is_known(word, known)]


def is_mostly_unknown(text: str) -> bool:
    """Whether the embedded models never learned most words of a text, so that their answer means nothing."""
    told = [word for word in dict.fromkeys(languages.words(text)) if word not in _FUNCTION_WORDS]
    return 2 * len(unknown_words(text)) > len(told)


@cache
def _vocabulary() -> frozenset[str]:
    return frozenset(measured().get("words", ()))


def _is_known(word: str, known: frozenset[str]) -> bool:
    forms = (word, f"{word}s", word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("'s"))
    return (
        word in _FUNCTION_WORDS
        or word.isdigit()
        or any(form in known for form in forms)
        or ("-" in word and all(part in known for part in word.split("-")))
    )


@dataclass(frozen=True)
class EmbeddedCaptioner:
    """caption_image by the embedded model, without phrases about attributes that it does not see."""

    mllm: Mllm

    async def __call__(self, image: ImageRef) -> Reply:
        """Image -> T_s. Raises as `Captioner`."""
        told = await Captioner(self.mllm)(image)
        text = seen(told.text, not_seen())
        return replace(told, text=text, raw=told.raw or told.text) if text != told.text else told


def seen(caption: str, unseen: Collection[str]) -> str:
    """A caption of the embedded model without its phrases about some attributes.

    unseen: hair, action, background; bag: bags of all kinds are called bags.
    """
    if "bag" in unseen:
        caption = _KINDS_OF_BAGS.sub("bag", caption)
    for attribute, phrase in _PHRASES.items():
        if attribute in unseen:
            caption = phrase.sub("", caption)
    return caption


@dataclass(frozen=True)
class EmbeddedVerifier:
    """verify_match by the embedded model: yes above the measured threshold, never to words that it does not know."""

    mllm: Mllm

    async def __call__(self, image: ImageRef, description: str) -> Verdict:
        """Whether the image shows the person described. Raises as `Verifier`."""
        if is_mostly_unknown(description):
            unknown = ", ".join(unknown_words(description))
            return Verdict(False, None, f"{NOT_JUDGED}: the embedded model never learned these words: {unknown}")
        threshold = float(measured().get("verify_match", {}).get("threshold", 0.5))
        return await Verifier(self.mllm, threshold)(image, description)


def trust_in(settings: Settings) -> Trust:
    """How sure the bound verifier must be, as measured; a verifier without a measurement is believed."""
    if not is_embedded(settings, "verify_match"):
        return EVERY_YES
    table = measured().get("verify_match", {})
    return Trust(int(table["near"]), float(table["deep"])) if "near" in table else EVERY_YES


EMBEDDED_ROLES = {"caption_image": EmbeddedCaptioner, "verify_match": EmbeddedVerifier}
