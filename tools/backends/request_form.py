"""Writes requests to one server: with the fields that it accepts, without those that it refuses."""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ctgi.settings_tables import Endpoint
from ctgi.text import plain
from ctgi.tools.backends import ChatRequest
from ctgi.tools.backends.chat_completions import Json, messages
from ctgi.tools.backends.refusals import Complaint

logger = logging.getLogger(__name__)

_LIMITS = ("max_tokens", "max_completion_tokens")
_GUESSED = ("structured_outputs", "logprobs", "seed")
"""Order in which fields are given up if a refusal names none: the likeliest first."""
_BARE = (*_GUESSED, "top_p", "temperature", "stream", "system")
"""Fields that a request can do without."""
_ALIASES = {
    "structured_outputs": {"structuredoutput", "structured", "guided", "guidedchoice", "guideddecoding"},
    "logprobs": {"toplogprobs", "logprob"},
    "temperature": {"sampling"},
    "top_p": {"sampling"},
    "system": {"role", "roles", "developer"},
}
_UNKNOWN_FIELD = re.compile(
    r"unsupported|not? support|unrecogni[sz]ed|unknown|unexpected|instead|extra|not permitted|not allowed",
    re.IGNORECASE,
)
_WRONG_VALUE = re.compile(
    r"too (?:large|many|long|high|big|small|low)|context|exceed|at (?:most|least)|less than|greater|maximum|minimum"
    r"|range|between|must be",
    re.IGNORECASE,
)
_ALLOWED_INSTEAD = re.compile(
    r"(?<!not )\b(?:supported|allowed|valid|accepted|permitted|known|available|expected)\s+(?:\w+\s+)?"
    r"(?:parameters|params|fields|arguments|keys|names|values|are)\b",
    re.IGNORECASE,
)

GivenUp = frozenset[str]
"""Names of fields that are omitted, or written in another way (`system`, and a limit with another name)."""


@dataclass(frozen=True)
class Dialect:
    """Features of one kind of server beyond the common format."""

    structured: bool
    """Whether it accepts vLLM's structured_outputs."""
    top_logprobs: int
    """Maximum number of alternatives per token that it reports."""
    token_limit: str
    """Name of the field that limits the answer."""
    cure: str
    """What to do if nobody answers."""


class RequestForm:
    """The form of requests to one server; fields that it refuses are omitted from then on."""

    def __init__(self, model: str, endpoint: Endpoint, dialect: Dialect, name: str) -> None:
        self._model, self._endpoint, self._dialect, self._name = model, endpoint, dialect, name
        self._model_name = re.compile(rf"(?<!\w){re.escape(model)}(?!\w)")
        self._proven: set[str] = set()
        self.given_up: GivenUp = frozenset(endpoint.leave_out)
        """Fields that requests omit."""

    def body(self, request: ChatRequest, image_url: str | None, given_up: GivenUp) -> Json:
        """The JSON of a request without the given-up fields; the endpoint's `extra_body` comes last and overrides."""
        fields = self._fields(request, given_up)
        kept = {name: value for part, held in fields.items() if part not in given_up for name, value in held.items()}
        said = messages(request, image_url, system_apart="system" not in given_up)
        return {"model": self._model, "messages": said} | kept | self._endpoint.extra_body

    def _fields(self, request: ChatRequest, given_up: GivenUp) -> dict[str, Json]:
        """The fields that can be given up, by name."""
        fields: dict[str, Json] = {
            "temperature": {"temperature": self._endpoint.temperature},
            "top_p": {"top_p": 1.0},
            "seed": {"seed": self._endpoint.seed},
            "stream": {"stream": False},  # some gateways stream unless told not to
            "logprobs": {"logprobs": True} | ({"top_logprobs": self._dialect.top_logprobs} if request.choices else {}),
        }
        if request.choices and self._dialect.structured:
            fields["structured_outputs"] = {"structured_outputs": {"choice": list(request.choices)}}
        if request.system:
            fields["system"] = {}  # part of the messages
        return fields | {name: {name: request.max_tokens} for name in self._limit(given_up)}

    def present(self, request: ChatRequest, given_up: GivenUp) -> list[str]:
        """The fields of a request that can be given up, likeliest first."""
        return [name for name in (*_BARE, *_LIMITS) if name in self._fields(request, given_up).keys() - given_up]

    def culprits(self, complaint: Complaint, request: ChatRequest, given_up: GivenUp) -> GivenUp:
        """Fields to give up after a refusal: those that it names, else the likeliest that never worked here."""
        present = self.present(request, given_up)
        if named := self.named(complaint, present):
            return named if self._is_unknown_field(complaint) else named - {*_LIMITS}
        unproven = [name for name in present if name in _GUESSED and name not in self._proven]
        return frozenset(unproven[:1] if complaint.status else ())

    def named(self, complaint: Complaint, present: Iterable[str]) -> GivenUp:
        """The fields among `present` that the server names, by a pointer or in its message."""
        words = _ALLOWED_INSTEAD.split(self._model_name.sub("", complaint.words))[0]
        pointed, told = (
            {name for name in present if _means(name, text)} for text in (" ".join(complaint.fields), words)
        )
        named = pointed or told
        if len(named) > 1:
            named -= {"system"}  # "role" and "system" are words of many messages
        if not pointed and {"temperature", "top_p"} <= named:
            named -= {"temperature"}  # not both: ours is the temperature
        return frozenset(named)

    def _is_unknown_field(self, complaint: Complaint) -> bool:
        """Whether a limit is refused as a field, not because its value is too large for the prompt."""
        said = f"{complaint.code} {complaint.words}"
        return bool(_UNKNOWN_FIELD.search(said)) or not _WRONG_VALUE.search(said)

    def unproven(self, request: ChatRequest, given_up: GivenUp) -> list[str]:
        """Fields that a request could omit and that never worked here."""
        there = self.present(request, given_up)
        return [name for name in there if name in _BARE and name not in self._proven]

    def learn(self, request: ChatRequest, given_up: GivenUp) -> None:
        """Record a success: the request's fields work, and those it lacked are omitted from now on."""
        self._proven |= {*self.present(request, given_up)}
        new = given_up - self.given_up
        self.given_up |= given_up
        if new:
            logger.warning("%s refuses some fields: from now on %s", self._name, self._told(new))

    def takes(self, name: str) -> bool:
        """Whether a request that held this field was answered."""
        return name in self._proven

    def _limit(self, given_up: GivenUp) -> list[str]:
        """The name of the field that limits the reply; the other name once the first was refused."""
        names = sorted(_LIMITS, key=lambda name: name != self._dialect.token_limit)
        return [name for name in names if name not in given_up][:1]

    def _told(self, new: GivenUp) -> str:
        left_out = [name for name in (*_BARE, *_LIMITS) if name in new - {"system"}]
        parts = [f"requests go without {', '.join(left_out)}"] if left_out else []
        if new & {*_LIMITS} and (renamed := self._limit(self.given_up)):
            parts.append(f"with {renamed[0]}")
        if "system" in new:
            parts.append("the instructions are put before the first prompt")
        return plain(", ".join(parts))


def _means(name: str, text: str) -> bool:
    """Whether a text names a field, in snake_case, camelCase or with hyphens."""
    words = {word.replace("_", "") for word in re.findall(r"[a-z_]+", text.lower().replace("-", "_"))}
    return bool(words & ({name.replace("_", "")} | _ALIASES.get(name, set())))
