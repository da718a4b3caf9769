"""Make docs/ui.jpg and docs/ui.webp: a search on the page, as a picture and as a film, over people that ctgi draws.

    python docs/ui_picture.py ["woman with a red backpack"]

Needs a Chromium and pip install 'ctgi[dev]'. The film takes each change of the page once, and slow waits as short ones.
"""

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
QUERY = sys.argv[1] if len(sys.argv) > 1 else "woman with a red backpack"
PEOPLE = ("--identities", "12", "--seed", "231")
PORT = "8399"
SIZE = {"width": 1280, "height": 1100}
FILM_SIZE = (960, 825)
SLOWER = 40
"""How much slower than in life cards glide while they are filmed."""
ONE_BY_ONE = """
const add = EventSource.prototype.addEventListener;
let before = Promise.resolve();
EventSource.prototype.addEventListener = function (kind, listener) {
  const later = (event) => {
    before = before.then(() => new Promise((rest) => setTimeout(rest, 1500))).then(() => listener(event));
  };
  return add.call(this, kind, kind === "parts" ? later : listener);
};
"""
"""Gives the camera time for each change that the server sends."""


def main() -> None:
    """Draw people, serve the page, search once on film and once for the picture."""
    with tempfile.TemporaryDirectory() as folder, served(folder) as address, opened() as browser:
        film(browser, address)
        picture(browser, address)


@contextmanager
def served(folder: str) -> Iterator[str]:
    """The address of the page of drawn people."""
    ctgi = [sys.executable, "-m", "ctgi"]
    subprocess.run([*ctgi, "synth", "people", *PEOPLE], cwd=folder, check=True)
    page = subprocess.Popen(
        [*ctgi, "ui", "-g", "people/imgs", "--port", PORT], cwd=folder, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"HOME": folder},
    )  # fmt: skip
    try:
        assert page.stderr
        for line in page.stderr:
            if "the page:" in line:
                break
        yield f"http://127.0.0.1:{PORT}/"
    finally:
        page.send_signal(signal.SIGINT)
        page.wait()


@contextmanager
def opened() -> Iterator[Any]:
    """A browser."""
    program = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def picture(browser: Any, address: str) -> None:
    """A finished search."""
    tab = browser.new_page(viewport=SIZE)
    tab.goto(address)
    tab.fill("#query", QUERY)
    tab.click("form.ask button")
    tab.wait_for_url("**/searches/*")
    tab.wait_for_selector(".spin", state="detached", timeout=120_000)
    tab.reload()
    tab.wait_for_load_state("networkidle")
    shown(tab).save(HERE / "ui.jpg", quality=84, optimize=True)


def film(browser: Any, address: str) -> None:
    """The search as it goes: typed, ranked, verified, asked, ranked anew, and the person put on the shortlist."""
    tab = browser.new_context(viewport=SIZE, bypass_csp=True).new_page()
    tab.add_init_script(ONE_BY_ONE)
    tab.goto(address)
    frames = [(shown(tab), 900)]
    for at in range(2, len(QUERY) + 2, 2):
        tab.fill("#query", QUERY[:at])
        frames.append((shown(tab), 110))
    frames[-1] = (frames[-1][0], 700)
    tab.click("form.ask button")
    tab.wait_for_url("**/searches/*")
    tab.add_style_tag(content=".spin { animation: none !important }")  # which would be a change in each frame
    session = tab.context.new_cdp_session(tab)
    session.send("Animation.enable")
    session.send("Animation.setPlaybackRate", {"playbackRate": 1 / SLOWER})
    frames += changes(tab)
    tab.click("#ranking .card:first-child button[data-key=s]")
    tab.wait_for_selector("#shortlist a")
    tab.mouse.move(0, 0)
    frames.append((shown(tab), 4000))
    small = [frame.resize(FILM_SIZE, Image.Resampling.LANCZOS) for frame, _ in frames]
    times = [time for _, time in frames]
    small[0].save(
        HERE / "ui.webp", save_all=True, append_images=small[1:], duration=times, loop=0, quality=68, method=6
    )


def changes(tab: Any) -> Iterator[tuple[Image.Image, int]]:
    """Each state of the page until the search is done and the cards have come to rest, with its milliseconds."""
    last, ended = None, False
    while not ended:
        gliding = tab.evaluate("document.getAnimations().length > 0")
        ended = not gliding and tab.query_selector(".spin") is None
        now = shown(tab)
        if last is None or now.tobytes() != last.tobytes():
            yield now, 50 if gliding else 1400 if last is None else 2500 if ended else 800
            last = now


def shown(tab: Any) -> Image.Image:
    """What is on the screen."""
    return Image.open(io.BytesIO(tab.screenshot()), formats=("PNG",)).convert("RGB")


if __name__ == "__main__":
    main()
