"""What every page of one gallery is made of: settings, images, what is remembered, and the templates."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FunctionLoader, StrictUndefined

from ctgi.agents.assemble import Models
from ctgi.agents.senders import senders
from ctgi.captions_index import CaptionsIndex
from ctgi.config import Settings
from ctgi.errors import CtgiError
from ctgi.footage.scenes import in_words
from ctgi.graphs.thread_file import threads_to_write
from ctgi.records import Turn
from ctgi.reports.caption_views import fate
from ctgi.retrieval.gallery import Gallery
from ctgi.retrieval.sources.references import file_name
from ctgi.runs.events import Events
from ctgi.runs.live_gallery import LiveGallery, live_gallery
from ctgi.runs.search import unknown_to_models
from ctgi.runs.steered import Steered
from ctgi.text import plain
from ctgi.tools.specs import TOOLS
from ctgi.ui.desk import Desk
from ctgi.ui.pictures import Pictures
from ctgi.ui.store import FILE, Store

PAGES = (("/", "Search"), ("/gallery", "Gallery"), ("/captions", "Captions"), ("/traces", "Traces"))
"""What stands at the top of each page: addresses and names."""
FOLDER = "page"
"""In the gallery's home: what the page keeps."""
THREADS = "threads.sqlite"
"""There: the searches, step by step."""


@dataclass(frozen=True)
class Site:
    """One gallery's page; routes find it as `request.app.state.site`."""

    settings: Settings
    live: LiveGallery
    store: Store
    desk: Desk
    indexes: tuple[CaptionsIndex, ...] = ()
    """The caption files, to be browsed and corrected."""

    @property
    def gallery(self) -> Gallery:
        """The gallery as the last search found it."""
        return self.live.now

    @property
    def columns(self) -> tuple[str, ...]:
        """What is known of the images beside their pixels."""
        return self.gallery.column_names()

    @cached_property
    def pictures(self) -> Pictures:
        """The gallery's images by sha256."""
        return Pictures(self._paths_of, self.gallery.home / FOLDER)

    def _paths_of(self, sha256: str) -> list[str]:
        return [self.gallery.ref(row).path for row in self.gallery.rows_of(sha256)]

    @cached_property
    def unknown(self) -> Callable[[str], tuple[str, ...]]:
        """Tells the words of a query that mean nothing to the models."""
        return lru_cache(maxsize=256)(partial(unknown_to_models, self.settings, TOOLS))

    @cached_property
    def _templates(self) -> Environment:
        folder = files("ctgi.ui") / "templates"
        environment = Environment(
            loader=FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
            autoescape=True,
            finalize=lambda value: plain(value) if type(value) is str else value,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            "file_name": file_name,
            "fate": _fate,
            "score": _score,
            "in_words": in_words,
            "upfirst": lambda text: text[:1].upper() + text[1:],
        }
        sent = senders(self.settings, TOOLS)
        environment.globals |= {
            "pages": PAGES,
            "gallery_name": self.gallery.name,
            "sent": sent,
        }
        return environment

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A template as a response; `values` may hold anything, which is shown as text."""
        return HTMLResponse(self.render(template, {"here": request.url.path, "view": None} | values), status)

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """A template as a text."""
        common = {"gallery_count": len(self.gallery), "renewal": self.live.renewal, "columns": self.columns}
        return self._templates.get_template(template).render({**common, **values})

    def macros(self, template: str) -> Any:
        """The macros of a template, to be called one by one."""
        return self._templates.get_template(template).module


def _fate(turn: Turn) -> str:
    return fate(turn.kept, turn.reason)


def _score(value: float) -> str:
    return f"{value:.3f}".replace("-", "\u2212")


@asynccontextmanager
async def open_site(
    gallery: Gallery, settings: Settings, events: Events, captions: tuple[Path, ...] = (), *, trace: bool = True
) -> AsyncIterator[Site]:
    """A gallery's page with warm models, in the running event loop.

    Raises:
        CtgiError: what it keeps in the gallery's folder cannot be read or written.
    """
    folder, models = gallery.home / FOLDER, Models()
    store = Store(folder / FILE)
    async with threads_to_write(folder / THREADS) as saver:
        live, indexes = live_gallery(gallery, settings), tuple(map(CaptionsIndex, captions))
        desk = Desk(Steered(live, settings, events, saver, models, trace, indexes[0] if indexes else None), store)
        site = Site(settings, live, store, desk, indexes)
        Thread(target=_read_ahead, args=(indexes,), daemon=True).start()
        try:
            yield site
        finally:
            await desk.aclose()
            await models.aclose()
            store.close()


def _read_ahead(indexes: Iterable[CaptionsIndex]) -> None:
    """A hundred thousand captions take some seconds, which nobody should wait for; their page tells what is wrong."""
    for index in indexes:
        with suppress(CtgiError):
            index.refresh()
