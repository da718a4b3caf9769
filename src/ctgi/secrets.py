"""Masks credentials: they become *** in everything that is shown or written."""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, quote

_HIDDEN = "***"
_SHORTEST = 4  # anything shorter would blot out what it is not
_VERSION = re.compile(r"v?\d[\d.-]{0,12}(-?preview|latest)?")
_AUTHORIZATION = re.compile(r"^(bearer|basic|token|api-?key)\s+(?=\S)", re.IGNORECASE)
_UNMISTAKABLE = 8  # from here on hidden within words, too


class Secrets:
    """Keys, passwords and other secrets, in every spelling that a server or library may echo."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Hide these texts everywhere. Texts under four characters cannot be told from words."""
        given = {part for text in texts for part in (text, _AUTHORIZATION.sub("", text))}
        self.texts = frozenset(text for text in given if len(text) >= _SHORTEST)
        self._all = _pattern(self.texts)
        self._no_words = _pattern(text for text in self.texts if not _is_word(text))

    def mask(self, text: str) -> str:
        """`text` without any of them, but for those that are short ordinary words: a "coat" is no secret."""
        return self._no_words.sub(_HIDDEN, text) if self._no_words else text

    def mask_error(self, text: str) -> str:
        """A server's message about our request, without any of them; it may mention a password."""
        return self._all.sub(_HIDDEN, text) if self._all else text

    def mask_json(self, body: bytes) -> bytes:
        """JSON as it came or goes, masked as by `mask`: its texts alone, so that its numbers and names stay."""
        text = body.decode("utf-8", "surrogateescape")
        if self._no_words is None or not ("\\" in text or self._no_words.search(text)):
            return body
        try:
            said = json.loads(text)
            hidden = self._in_values(said)
        except (ValueError, RecursionError):
            return self.mask(text).encode("utf-8", "surrogateescape")
        return body if hidden == said else json.dumps(hidden, separators=(",", ":")).encode()

    def _in_values(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, list):
            return [self._in_values(one) for one in value]
        return {name: self._in_values(one) for name, one in value.items()} if isinstance(value, dict) else value


def in_url(url: str) -> set[str]:
    """What is secret in a URL: its password, or its user where that is a token, and the values of its query."""
    from ctgi.network import parse_address  # imported late: every command masks what it shows, few go anywhere

    try:
        address = parse_address(url)
    except ValueError:
        return set()
    values = {value for _, value in parse_qsl(address.query.removeprefix("?"))}
    found = {value for value in values if not _VERSION.fullmatch(value)}
    if address.user or address.password:
        found |= {address.password or address.user, _base64(f"{address.user}:{address.password}")}
    return found


def basic_authorization(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return f"Basic {_base64(f'{user}:{password}')}"


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _is_word(text: str) -> bool:
    return len(text) < _UNMISTAKABLE and text.isalpha()


def _pattern(texts: Iterable[str]) -> "re.Pattern[str] | None":
    forms = {(form, len(text) < _UNMISTAKABLE) for text in texts for form in _forms(text)}
    ordered = sorted(forms, key=lambda one: -len(one[0]))
    parts = [rf"(?<!\w){re.escape(form)}(?!\w)" if short else re.escape(form) for form, short in ordered]
    return re.compile("|".join(parts)) if parts else None


def _forms(text: str) -> set[str]:
    """A secret as it may be spelled: itself, percent-encoded, in base64, and each within JSON."""
    raw = text.encode(errors="surrogateescape")
    plain = {text, text.rstrip("="), quote(raw, safe=""), quote(raw)}
    if len(text) >= _UNMISTAKABLE:
        plain |= {b64encode(raw).decode().rstrip("="), urlsafe_b64encode(raw).decode().rstrip("=")}
    plain |= {form.replace("%", "%25") for form in plain} | {re.sub("%..", _lower, form) for form in plain}
    escaped = {json.dumps(form)[1:-1] for form in plain} | {
        json.dumps(form, ensure_ascii=False)[1:-1] for form in plain
    }
    return plain | escaped | {form.replace("/", r"\/") for form in escaped}


def _lower(escape: "re.Match[str]") -> str:
    return escape[0].lower()


known = Secrets()
"""Those of the configuration in use; `learn` puts them here."""


def learn(texts: Iterable[str]) -> None:
    """Hide these from now on in everything this process shows."""
    global known
    known = Secrets(texts)


def all_known(more: Iterable[str]) -> Secrets:
    """The secrets of the configuration in use, and these."""
    return Secrets({*known.texts, *more})


def masked(text: str) -> str:
    """`text` without the secrets of the configuration in use."""
    return known.mask(text)
