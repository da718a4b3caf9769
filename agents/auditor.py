"""The auditor: holds a person's caption against its picture, claim by claim."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ctgi.agents.claims import Claim, claims
from ctgi.agents.pool import PoolQuestion, QuestionPool
from ctgi.agents.statements import state, why_unusable
from ctgi.agents.wording import COLOR_WORDS, color_clash, contradiction
from ctgi.retrieval.images import ImageRef
from ctgi.tools.protocols import AnswerQuestion, VerifyMatch
from ctgi.tools.types import Reply, Verdict

_SURE = 0.98  # P of a verdict whose backend tells none
_EVEN = 0.5
_EDGE = 1e-4
_ANSWER_WEIGHT = 2.0
_SHADE = re.compile(
    rf"\b(?:(?:dark|light|bright|pale|off)[- ])?(?:{'|'.join(sorted(COLOR_WORDS))})(?:[- ]colou?red)?\b", re.IGNORECASE
)
_UNKNOWN_CONFIDENCE = 0.8  # of an answer whose backend tells none


@dataclass(frozen=True)
class Objection:
    """An answer of the model that contradicts a claim."""

    claim: Claim
    question: PoolQuestion
    answer: str
    confidence: float | None
    why: str

    @property
    def weight(self) -> float:
        """How much it counts, from 0 to 1."""
        return _UNKNOWN_CONFIDENCE if self.confidence is None else self.confidence

    @property
    def correction(self) -> str | None:
        """The claim with the color that the model saw; None where it is not about a single color."""
        told, seen = (list(_SHADE.finditer(text)) for text in (self.claim.text, self.answer))
        if not self.question.attribute.endswith("_color") or len(told) != 1 or len(seen) != 1:
            return None
        text = self.claim.text
        return text[: told[0].start()] + seen[0][0].lower() + text[told[0].end() :]


@dataclass(frozen=True)
class Audit:
    """What the model says to a caption."""

    verdict: Verdict
    objections: tuple[Objection, ...]
    checked: Mapping[int, Verdict] = field(default_factory=dict)
    """Start of a claim -> whether the picture shows it; of a caption that the model does not confirm."""
    claims: tuple[Claim, ...] = ()

    @property
    def doubt(self) -> float:
        """How bad the caption is, in log odds: that it is wrong, and what the answers say against it."""
        probability = self.verdict.probability
        if probability is None:
            probability = _SURE if self.verdict.match else 1 - _SURE
        against = {one.question.attribute: one.weight for one in self.objections}
        return math.log((1 - probability + _EDGE) / (probability + _EDGE)) + _ANSWER_WEIGHT * sum(against.values())

    def shows(self, claim: Claim) -> bool | None:
        """Whether the model rather sees a claim than not; None where it was not asked.

        The threshold of a verdict is that of searches, where a whole description has to fit.
        """
        verdict = self.checked.get(claim.start)
        if verdict is None:
            return None
        return verdict.match if verdict.probability is None else verdict.probability > _EVEN


@dataclass
class Auditor:
    """Audits the captions of one image; each question about it is put once."""

    verify: VerifyMatch
    answer: AnswerQuestion
    pool: QuestionPool
    """Takes captions apart."""
    askable: QuestionPool
    """The questions that the model can answer."""
    image: ImageRef
    _answers: dict[str, Reply] = field(default_factory=dict)

    async def __call__(self, caption: str) -> Audit:
        """The verdict on the caption and the answers against it; if it is doubted, a verdict on each claim too.

        Claims about what the model cannot see are left alone.

        Raises:
            ToolError: a call failed for good.
        """
        verdict = await self.verify(self.image, caption)
        found = claims(caption, self.pool)
        asked = questions_of(found, self.askable)
        objections = [one for claim, question in asked if (one := await self._object(claim, question))]
        checked = {}
        if objections or not verdict.match:
            seen = {claim.start for claim, _ in asked} | {claim.start for claim in found if not claim.questions}
            checked = {claim.start: await self.verify(self.image, claim.text) for claim in found if claim.start in seen}
        return Audit(verdict, tuple(objections), checked, tuple(found))

    async def _object(self, claim: Claim, question: PoolQuestion) -> Objection | None:
        if question.attribute not in self._answers:
            self._answers[question.attribute] = await self.answer(self.image, question.question)
        said = self._answers[question.attribute]
        why = _why_against(claim.text, question, said.text)
        return Objection(claim, question, said.text, said.confidence, why) if why else None


def questions_of(found: Iterable[Claim], askable: QuestionPool) -> list[tuple[Claim, PoolQuestion]]:
    """The questions that claims answer, each claim with each of them that the model can answer."""
    return [
        (claim, question) for claim in found for question in claim.questions if askable.by_attribute(question.attribute)
    ]


def _why_against(claim: str, question: PoolQuestion, answer: str) -> str | None:
    """In which way an answer contradicts a claim; None if it does not, or says nothing."""
    if why_unusable(question.question, answer, question.bland):
        return None
    if question.attribute.endswith("_color"):
        return f"{question.attribute.removesuffix('_color')} color" if color_clash(claim, answer) else None
    return contradiction(state(question, answer) or "", [claim])
