"""Reads errors of servers: status and message, in any of their forms."""

import email.utils
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import from_json

from ctgi.reading import Json
from ctgi.text import plain
from ctgi.tools.backends.endpoint import MAX_RETRY_AFTER_S, Unavailable

_LOAD_STRIKES = 1 / 8
"""Status 429 means load, not failure: it takes eight times as many in a row to end the run."""
_WORDS = ("message", "msg", "detail", "error", "errors", "error_msg", "error_message", "status_msg", "reason",
          "base_resp")  # fmt: skip
_CODES = ("code", "status_code", "status", "type", "error_code")
_BUSY = re.compile(r"rate.?limit|too.?many|throttl|overloaded.?429", re.IGNORECASE)
_BROKEN = re.compile(r"overloaded|unavailable|internal|server.?error|time.?out|upstream|bad.?gateway", re.IGNORECASE)
_MAX_WORDS = 300
_DEPTH = 6
"""Nesting depth at which a message is searched."""


@dataclass(frozen=True)
class Complaint:
    """An error as a server states it."""

    status: int
    """HTTP status, or the one that the body gives instead; 0 for a body with status 200 that gives none."""
    words: str
    """The server's message, one line without control characters."""
    code: str = ""
    """The server's name for this kind of error."""
    fields: tuple[str, ...] = ()
    """Fields of the request that it points at."""
    wait_s: float = 0
    """Pause that it asks for, in seconds."""


class RefusedError(Exception):
    """The server says that it cannot serve this request."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint.words)
        self.complaint = complaint


class BrokenError(Unavailable):
    """The server broke down over a request (500): it is dying, or something in the request does it."""

    def __init__(self, reason: str, complaint: Complaint) -> None:
        super().__init__(reason)
        self.complaint = complaint


def complaint(status: int, content: bytes, retry_after: str, hide: Callable[[str], str]) -> Complaint:
    """The error in the body of a response with an error status.

    Args:
        status: the HTTP status.
        content: the body.
        retry_after: the Retry-After header.
        hide: removes secrets from a text.
    """
    try:
        body = from_json(content)
    except ValueError:
        body = content.decode(errors="replace").strip()
    return replace(_complaint(status, body, hide), wait_s=retry_after_s(retry_after))


def complaint_in_reply(body: Json, hide: Callable[[str], str]) -> Complaint | None:
    """The error in a body that came with status 200.

    None if there is no error, as with `"error": null`, or if it accompanies a complete reply.
    """
    error = body.get("error")
    if body.get("choices"):
        told = bool(_names_words(error) if isinstance(error, dict) else error) and not _came_to_its_end(body)
    else:
        told = _names_words(body)
    if not told:
        return None
    return _complaint(_status(error if isinstance(error, dict) else body), body, hide)


def _complaint(status: int, body: Any, hide: Callable[[str], str]) -> Complaint:
    fields = body["error"] if isinstance(body, dict) and isinstance(body.get("error"), dict) else body
    fields = fields if isinstance(fields, dict) else {}
    words = plain(hide(_said(body) or f"status {status}"))[:_MAX_WORDS]
    code = next((str(fields[name]) for name in ("code", "type") if fields.get(name)), "")
    return Complaint(status, words, code, _pointed_at(fields))


def unavailable(said: Complaint) -> Unavailable:
    """An error after which another try may succeed, with the pause that the server asks for."""
    reason = f"status {said.status}: {said.words}" if said.status else said.words
    if said.wait_s > MAX_RETRY_AFTER_S:
        reason += f" (asks for a pause of {said.wait_s:,.0f} s; we wait {MAX_RETRY_AFTER_S:g} s at most)"
    if said.status in (500, 501):
        return BrokenError(reason, said)
    return Unavailable(reason, wait_s=said.wait_s, strikes=_LOAD_STRIKES if said.status == 429 else 1)


def retry_after_s(header: str) -> float:
    """Seconds of a Retry-After header, in either of its forms; 0 if unreadable."""
    if number := re.fullmatch(r"(\d{1,9}(?:\.\d{0,9})?)\s*(ms|s)?", header.strip(), re.IGNORECASE):
        return float(number[1]) / (1000 if (number[2] or "").lower() == "ms" else 1)
    try:
        date = email.utils.parsedate_tz(header)
        return max(0.0, email.utils.mktime_tz(date) - time.time()) if date else 0.0
    except (ValueError, OverflowError, IndexError):  # years and months that no calendar has
        return 0.0


def _came_to_its_end(body: Json) -> bool:
    choices = body["choices"] if isinstance(body["choices"], list) else []
    return any(isinstance(choice, dict) and choice.get("finish_reason") == "stop" for choice in choices)


def _names_words(body: Json) -> bool:
    found = [body.get(name) for name in _WORDS]
    return any(isinstance(said, (str, list, dict)) and said and not _is_turn(said) for said in found)


def _is_turn(said: Any) -> bool:
    """Whether this is a message of a dialogue, as in other reply formats."""
    return isinstance(said, dict) and "role" in said


def _said(body: Any, depth: int = _DEPTH) -> str:
    """The message in an error's body: the outermost field that holds words."""
    if isinstance(body, dict) and depth:
        found = next((body[name] for name in _WORDS if body.get(name)), None)
        place = [str(step) for step in body["loc"]] if isinstance(body.get("loc"), list) else []
        return (
            f"{'.'.join(place)}: {_said(found, depth - 1)}" if found and place else _said(found or str(body), depth - 1)
        )
    if isinstance(body, list) and depth:
        return "; ".join(_said(one, depth - 1) for one in body[:3])
    return str(body or "")


def _pointed_at(fields: Json) -> tuple[str, ...]:
    """The fields in `param`, or in the `loc` of each of FastAPI's details."""
    param = fields.get("param")
    if isinstance(param, str) and param:
        return (param,)
    detail = fields.get("detail")
    entries = [entry for entry in detail if isinstance(entry, dict)] if isinstance(detail, list) else []
    return tuple(str(step) for entry in entries for step in _steps(entry) if step != "body")


def _steps(entry: Json) -> list[Any]:
    return entry["loc"] if isinstance(entry.get("loc"), list) else []


def _status(error: Json) -> int:
    """The status that an error object with status 200 stands for, by its code or the name of its kind."""
    codes = [str(error[name]) for name in _CODES if error.get(name) is not None]
    numbers = [int(code) for code in codes if re.fullmatch(r"[45]\d\d", code)]
    if numbers:
        return numbers[0]
    if any(map(_BUSY.search, codes)):
        return 429
    return 503 if any(map(_BROKEN.search, codes)) else 0
