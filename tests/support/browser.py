"""A real browser, without a screen, on a page that a real server serves."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ctgi.plugins import lend, take_back

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def executable() -> str:
    """The browser's program; a test that has none is skipped."""
    if found := next((path for name in BROWSERS if (path := shutil.which(name))), None):
        return found
    pytest.skip("no Chromium on PATH")


@contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = executable()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


class Served:
    """The page on a port of this machine, in a thread; stopped and started again it serves what it kept."""

    def __init__(self, images: Path, model: Any, traces: Path, captions: tuple[Path, ...] = ()) -> None:
        self._images, self._model, self._traces, self._captions = images, model, traces, captions
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> "Served":
        self._server = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        deadline = time.monotonic() + 60
        while not (self._server and self._server.started):
            assert self._thread.is_alive() and time.monotonic() < deadline
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        assert self._thread
        self._thread.join()

    def _run(self) -> None:
        import asyncio

        asyncio.run(self._serve())

    async def _serve(self) -> None:
        import uvicorn

        from ctgi.config import load_settings
        from ctgi.retrieval.gallery import open_gallery
        from ctgi.runs.events import Logged
        from ctgi.ui.app import create_app
        from ctgi.ui.guard import Door, Guard
        from ctgi.ui.site import open_site
        from tests.support.color_encoder import ColorEncoder

        binding = lend(self._model)
        settings = load_settings(binds=[f"images={binding}"], traces=str(self._traces), cache={"enabled": False})
        try:
            gallery = open_gallery(self._images, ColorEncoder())
            async with open_site(gallery, settings, Logged(), self._captions) as site:
                app = Guard(create_app(site), Door("127.0.0.1", self.port, None))
                config = uvicorn.Config(
                    app, host="127.0.0.1", port=self.port, log_level="warning", lifespan="off",
                    timeout_graceful_shutdown=1,
                )  # fmt: skip
                self._server = uvicorn.Server(config)
                await self._server.serve()
        finally:
            take_back(binding)
