"""What the public API returns: the records that graphs and runs pass on, and a search that shows itself."""

from pathlib import Path

from ctgi.records import Anchor, CaptionRecord, DialogueTurn, Found, Match, SearchRecord, Turn, VerdictRecord

__all__ = [
    "Anchor",
    "CaptionRecord",
    "DialogueTurn",
    "Found",
    "Match",
    "Page",
    "SearchResult",
    "Turn",
    "VerdictRecord",
]


class SearchResult(SearchRecord):
    """One search: the ranking, and the dialogue that refined it."""

    def show(self, out: str | Path | None = None) -> "Page":
        """The search as a page with its pictures: shown by a notebook, written to `out` where that is given."""
        from ctgi.reports.search_page import page_of

        page = page_of([self])
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
