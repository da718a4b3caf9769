"""What runs come to, as typed values: the JSON of captions.jsonl and of `ctgi search --json`, read and written."""

import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from ctgi.errors import CtgiError


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected a text")
    return value


FileName = Annotated[str, PlainValidator(_name)]
"""A path; one that is no UTF-8 keeps its bytes as surrogate escapes, which pydantic's own type refuses."""


class _Record(BaseModel):
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
            problem = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, problem["loc"])) or "the whole of it"
            raise CtgiError(f"no {cls.__name__}: {place}: {problem['msg']}") from None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, with the fields that it was made with, in their order."""
        plain: dict[str, Any] = json.loads(json.dumps(self.model_dump(exclude_unset=True)))
        return plain


class Turn(_Record):
    """One question and its answer, and why the answer was kept or dropped."""

    attribute: str
    question: str
    answer: str
    confidence: float | None
    """In [0, 1]; None where the backend tells none."""
    statement: str
    """The answer as a sentence; empty where it was dropped as unusable."""
    kept: bool
    reason: str | None


class CaptionRecord(_Record):
    """One image's line of captions.jsonl."""

    path: FileName
    sha256: str
    initial_caption: str
    """T_s (Eq. 1)."""
    turns: tuple[Turn, ...]
    caption: str
    """T_e, the dense caption (Eqs. 2-3)."""
    bindings: dict[str, str] = Field(default_factory=dict)
    """Tool -> backend."""
    seconds: float = 0.0
    tokens: dict[str, int] = Field(default_factory=dict)
    """input and output."""
    trace: str | None = None
    """The run that made it."""
    same_as: FileName | None = None
    """The path of the image with the same content whose record this is a copy of."""


class Match(_Record):
    """One ranked image."""

    path: FileName
    sha256: str
    rank: int
    """From 1."""
    score: float
    """S(q, v), or the fused score of Eq. 7."""
    rank_before: int | None
    """Under the query alone; None for an image below the first thousand."""
    score_before: float


class Anchor(_Record):
    """A candidate that the verifier confirmed."""

    path: FileName
    sha256: str
    rank: int
    """When it was verified, from 1."""
    probability: float | None
    """P(yes); None where the backend tells none."""
    weak: str | None = None
    """Why it is weak, like "P(yes) 0.61, rank 14"; None for a sound one."""


class VerdictRecord(_Record):
    """What the verifier said about one candidate."""

    path: FileName
    rank: int
    match: bool
    probability: float | None
    text: str
    error: str | None
    """Why there is no verdict."""


class SearchResult(_Record):
    """One search: the ranking, and the dialogue that refined it."""

    query: str
    refined_query: str | None
    """None where nothing was refined."""
    anchors: tuple[Anchor, ...]
    dialogue: tuple[Turn, ...]
    verified: tuple[VerdictRecord, ...] = ()
    results: tuple[Match, ...]
    calls: dict[str, int] = Field(default_factory=dict)
    """Tool -> calls."""
    seconds: float = 0.0
    trace: str | None = None
    overruled: FileName | None = None
    """Plain retrieval's first image, where an anchor took its rank 1."""

    def show(self, out: str | Path | None = None) -> "Page":
        """The search as a page with its pictures: shown by a notebook, written to `out` where that is given."""
        from ctgi.reports.search_page import page_of

        page = page_of([self.to_json()])
        if out is not None:
            from ctgi.files import write_whole

            write_whole(Path(out), page.encode())
        return Page(page)

    def _repr_html_(self) -> str:
        return self.show()._repr_html_()


class Page(str):
    """An HTML page; a notebook shows it in a frame of its own, where its style touches nothing else."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        from html import escape

        return f'<iframe srcdoc="{escape(self)}" sandbox style="width: 100%; height: 40em; border: 0"></iframe>'
