"""The parts of a search page that change while it runs, by the ids of their elements."""

from dataclasses import replace
from typing import Any

from ctgi.ui.views import SearchView

_PARTS = ("status", "trust", "refined", "question", "dialogue", "shortlist")
_ORDER = "ranking"


def parts_of(macros: Any, view: SearchView) -> dict[str, str]:
    """Each part as HTML. Verdicts are parts of their own, so that cards stay where only verdicts come."""
    parts = {name: _html(getattr(macros, name)(view)) for name in _PARTS}
    bare = replace(view, cards=tuple(replace(card, verdict=None) for card in view.cards))
    verdicts = {f"verdict-{card.id}": _html(macros.verdict(card)) for card in view.cards}
    return {**parts, _ORDER: _html(macros.ranking(view)), "": _html(macros.ranking(bare)), **verdicts}


def changed(sent: dict[str, str], parts: dict[str, str]) -> dict[str, str]:
    """What differs: the whole ranking where its order does, else the verdicts."""
    new = {name: html for name, html in parts.items() if sent.get(name) != html and name}
    if parts[""] == sent.get(""):
        return {name: html for name, html in new.items() if name != _ORDER}
    return {name: html for name, html in new.items() if not name.startswith("verdict-")}


def _html(part: object) -> str:
    return str(part).strip()
