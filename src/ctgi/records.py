"""What graphs and runs pass on, as typed values: the JSON of captions.jsonl and of `ctgi search --json`."""

import json
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from ctgi.errors import CtgiError
from ctgi.faults import first_fault
from ctgi.reading import Json


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected a text")
    return value


Text = Annotated[str, PlainValidator(_text)]
"""A text; bytes of file names that are no UTF-8 stay surrogate escapes, which pydantic's own type refuses."""


class Record(BaseModel):
    """Frozen; fields that a later version adds are kept, so that reading and writing loses nothing."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """The record in a parsed JSON object.

        Raises:
            CtgiError: a field is missing or of another type; says which.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise CtgiError(f"no {cls.__name__}: {first_fault(error, 'the whole of it')}") from None

    def made_with(self) -> Json:
        """The fields that it was made with, as they are."""
        return {name: value for name, value in self if name in self.model_fields_set}

    def to_json(self) -> Json:
        """As plain JSON values: the fields that it was made with, in the order of the class."""
        plain: Json = json.loads(json.dumps(self.model_dump(exclude_unset=True)))
        return plain


class Turn(Record):
    """One question and its answer, and why the answer was kept or dropped."""

    attribute: Text
    question: Text
    answer: Text
    confidence: float | None
    """In [0, 1]; None where the backend tells none."""
    statement: Text
    """The answer as a sentence; empty where it was dropped as unusable."""
    kept: bool
    reason: Text | None


class CaptionRecord(Record):
    """One image's line of captions.jsonl."""

    path: Text
    sha256: Text
    initial_caption: Text
    """T_s (Eq. 1)."""
    turns: tuple[Turn, ...]
    caption: Text
    """T_e, the dense caption (Eqs. 2-3)."""
    seconds: float = 0.0
    tokens: dict[str, int] = Field(default_factory=dict)
    """input and output."""
    bindings: dict[str, Text] = Field(default_factory=dict)
    """Tool -> backend."""
    trace: Text | None = None
    """The run that made it."""
    same_as: Text | None = None
    """The path of the image with the same content whose record this is a copy of."""


class Found(Record):
    """An image with its score."""

    path: Text
    sha256: Text
    score: float
    """S(q, v), or the fused score of Eq. 7."""
    score_before: float
    """S(q, v) of the query alone."""
    rank_before: int | None
    """Under the query alone; None for an image below the first thousand."""


class Origin(Record):
    """The place in a photograph or video that an image was cut out of by `ctgi crop`."""

    source: Text
    """The photograph or video."""
    frame: int | None
    """In the order shown, from 0; None for a photograph."""
    time_s: float | None
    """Since the video's first frame; None for a photograph."""
    time: Text | None = None
    """When it was taken, in ISO 8601, where the file says so."""
    box: tuple[float, float, float, float]
    """Left, top, right and bottom of the person, in px of the upright picture."""
    size: tuple[int, int]
    """Width and height of that picture in px."""
    track: Text = ""
    """The same for all crops of one person in one video."""
    camera: Text | None = None
    site: Text | None = None


class Match(Found):
    """One ranked image."""

    rank: int
    """From 1."""
    origin: Origin | None = None
    """Where it was cut out; None for an image that `ctgi crop` did not make."""


class Anchor(Record):
    """A candidate that the verifier or a person confirmed."""

    path: Text
    sha256: Text
    rank: int
    """When it was verified, from 1."""
    probability: float | None
    """P(yes); None where the backend tells none."""
    weak: Text | None = None
    """Why it is weak, like "P(yes) 0.61, rank 14"; None for a sound one."""
    by_person: bool = False
    """Whether a person confirmed it."""


class VerdictRecord(Record):
    """What the verifier, or a person, said about one candidate."""

    path: Text
    sha256: Text = ""
    rank: int
    """Under the ranking of its round."""
    score: float = 0.0
    """Under that ranking."""
    round: int = 1
    match: bool
    probability: float | None
    text: Text
    error: Text | None
    """Why there is no verdict."""
    threshold: float = 0.5
    """P(yes) above it is a match."""
    doubt: Text | None = None
    """Why a match is not sure enough to be an anchor; None for a sure one."""
    by_person: bool = False
    """Whether a person said so."""

    @property
    def confirmed(self) -> bool:
        """Whether it can be an anchor."""
        return self.match and self.doubt is None


class DialogueTurn(Turn):
    """One question about what the query left out, put to an anchor or to a person."""

    anchor: Text | None = None
    """The path of the image that was asked about; None where a person answered."""
    round: int = 1


class NotIndexed(Record):
    """An image that indexing on first use left out."""

    path: Text
    reason: Text


class PeopleRecord(Record):
    """The people that were found in one photograph or frame."""

    people: tuple[tuple[float | None, ...], ...]
    """Left, top, right, bottom in px, and the score, of each."""


class SearchRecord(Record):
    """One search: the ranking, and the dialogue that refined it."""

    query: Text
    refined_query: Text | None
    """None where nothing was refined."""
    anchors: tuple[Anchor, ...]
    overruled: Text | None = None
    """Plain retrieval's first image, where an anchor took its rank 1."""
    no_match: Text | None = None
    """Why there is no confident match, where candidates were verified; None where one was confirmed."""
    dialogue: tuple[DialogueTurn, ...]
    verified: tuple[VerdictRecord, ...] = ()
    early_stop: bool = False
    """Whether the first candidate was confirmed and close enough to look no further."""
    rounds: int = 0
    calls: dict[str, int] = Field(default_factory=dict)
    """Tool -> calls."""
    results: tuple[Match, ...]
    left: tuple[Match, ...] = ()
    """Images of the first ranks under the query alone that the refinement moved out of `results`, with that rank."""
    truncated_tokens: int = 0
    """Of the query, beyond the text encoder's length."""
    not_english: int = 0
    """Answers that are not in English."""
    seconds: float = 0.0
    trace: Text | None = None
    unknown_words: tuple[Text, ...] = ()
    """Of the query, where embedded models that never learned them took part."""
    cached: int = 0
    """Replies that came from the cache."""
    gallery: Text = ""
    encoder: Text = ""
    where: Text | None = None
    """The condition that images had to pass to be ranked."""
    group: Text | None = None
    """The column of which each value is ranked once."""
    searched: int | None = None
    """Images that passed the condition."""
    bindings: dict[str, Text] = Field(default_factory=dict)
    """Tool -> backend."""
    passed_over: dict[str, int] = Field(default_factory=dict)
    """Files that are no images, by kind, where the gallery was indexed for this search."""
    not_indexed: tuple[NotIndexed, ...] = ()
    answer: Text = ""
    """An agent's last words."""
    weight: float | None = None
    """Lambda of Eq. 7, where an agent chose it."""
    named: int = 0
    """How many of the results an agent's answer names; they come first, whatever their scores."""
    stopped: Text | None = None
    """Why an agent was stopped before it answered."""
