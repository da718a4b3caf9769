"""A page over a few images, visited in the process, with models that answer from a script."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2

from ctgi.config import load_settings
from ctgi.plugins import lend, take_back
from ctgi.retrieval.gallery import build_gallery, open_gallery
from ctgi.runs.events import Logged
from ctgi.ui.app import create_app
from ctgi.ui.guard import Door, Guard
from ctgi.ui.site import Site, open_site
from tests.support.color_encoder import ColorEncoder

HERE = Door("127.0.0.1", 8321, None)
PAGE = "http://127.0.0.1:8321"


@dataclass(frozen=True)
class Visit:
    """A browser without a screen: follows redirects, sends forms from the page itself."""

    client: httpx2.AsyncClient
    site: Site

    async def get(self, address: str, **headers: str) -> httpx2.Response:
        return await self.client.get(address, headers=headers)

    async def post(self, address: str, origin: str = PAGE, **form: Any) -> httpx2.Response:
        return await self.client.post(address, data=form, headers={"origin": origin})

    async def search(self, query: str = "a man", asks: str = "model", **form: str) -> str:
        """Its address, once it has a ranking."""
        shown = await self.post("/searches", query=query, asks=asks, **form)
        assert shown.status_code == 200, shown.text
        return shown.url.path

    async def finished(self, query: str = "a man", asks: str = "model", **form: str) -> str:
        """Its address, once it stands still."""
        address = await self.search(query, asks, **form)
        await self.get(f"{address}/stream")
        return address

    async def see(self, address: str) -> "Seen":
        shown = await self.get(address)
        assert shown.status_code == 200, shown.text
        return seen(shown.text)


@asynccontextmanager
async def visited(
    images: Path, model: Any, traces: Path, door: Door = HERE, captions: tuple[Path, ...] = ()
) -> AsyncIterator[Visit]:
    """The page of the gallery in `images`, which is made where there is none."""
    encoder = ColorEncoder()
    if not (images / ".ctgi").is_dir():
        build_gallery([str(images)], images / ".ctgi", encoder, load_settings().retriever)
    binding = lend(model)
    settings = load_settings(binds=[f"images={binding}"], traces=str(traces), cache={"enabled": False})
    try:
        async with open_site(open_gallery(images, encoder), settings, Logged(), captions) as site:
            transport = httpx2.ASGITransport(Guard(create_app(site), door))
            async with httpx2.AsyncClient(transport=transport, base_url=PAGE, follow_redirects=True) as client:
                yield Visit(client, site)
    finally:
        take_back(binding)


class Seen(HTMLParser):
    """What a page holds: its elements with their attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def order(self) -> list[str]:
        """sha256 of the ranked images."""
        images = [one["src"] for tag, one in self.elements if tag == "img"]
        return [src.split("/")[2] for src in images if src.endswith("/small")]

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [one for name, one in self.elements if name == tag and wanted.items() <= one.items()]


def seen(html: str) -> Seen:
    parser = Seen()
    parser.feed(html)
    return parser
