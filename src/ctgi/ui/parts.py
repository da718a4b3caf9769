"""The parts of a search page that change while it runs, by the ids of their elements."""

from typing import Any

from ctgi.ui.views import Card, SearchView

PARTS = "parts.html.j2"
"""The template whose macros make them."""
_SMALL = ("status", "trust", "refined", "question", "dialogue", "shortlist")


class Parts:
    """What one browser was sent, so that only what differs is sent next."""

    def __init__(self, macros: Any, shown: str = "") -> None:
        """`macros`: those of PARTS; `shown`: the mark of the view that the browser has from the page itself."""
        self._macros, self._shown = macros, shown
        self._sent: dict[str, str] = {}
        self._cards: tuple[Card, ...] | None = None

    def mark(self, view: SearchView) -> str:
        """Equal for views that look the same, until the program ends."""
        return f"{hash((view.cards, *self._small(view).values())):x}"

    def changed(self, view: SearchView) -> dict[str, str]:
        """What differs, as HTML; cards stay where only verdicts come."""
        small = self._small(view)
        if self._cards is None and self._shown and self._shown == self.mark(view):
            self._sent, self._cards = small, view.cards
            return {}
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

    def _small(self, view: SearchView) -> dict[str, str]:
        return {name: _html(getattr(self._macros, name)(view)) for name in _SMALL}


def _order(cards: tuple[Card, ...]) -> list[tuple[object, ...]]:
    """All but the verdicts."""
    return [(card.id, card.rank, card.score, card.anchor, card.kept) for card in cards]


def _html(part: object) -> str:
    return str(part).strip()
