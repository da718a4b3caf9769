"""The parts of a search page that change while it runs, by the ids of their elements."""

from typing import Any

from ctgi.ui.views import Card, SearchView

_SMALL = ("status", "trust", "refined", "question", "dialogue", "shortlist")


class Parts:
    """What one browser was sent, so that only what differs is sent next."""

    def __init__(self, macros: Any) -> None:
        """`macros`: those of parts.html.j2."""
        self._macros = macros
        self._sent: dict[str, str] = {}
        self._cards: tuple[Card, ...] | None = None

    def changed(self, view: SearchView) -> dict[str, str]:
        """What differs, as HTML; cards stay where only verdicts come."""
        small = {name: _html(getattr(self._macros, name)(view)) for name in _SMALL}
        new = {name: html for name, html in small.items() if self._sent.get(name) != html}
        cards, self._sent, self._cards = self._cards, small, view.cards
        if cards is None or _order(cards) != _order(view.cards):
            return {**new, "ranking": _html(self._macros.ranking(view))}
        verdicts = {
            f"verdict-{card.id}": _html(self._macros.verdict(card))
            for before, card in zip(cards, view.cards, strict=True)
            if before.verdict != card.verdict
        }
        return {**new, **verdicts}


def _order(cards: tuple[Card, ...]) -> list[tuple[object, ...]]:
    """All but the verdicts."""
    return [(card.id, card.rank, card.score, card.anchor, card.kept) for card in cards]


def _html(part: object) -> str:
    return str(part).strip()
