"""The page over a gallery of 100,000 images and as many captions: how long each thing takes that a person waits for.

    python -m benchmarks.large_gallery ./large [--images 100000]

Makes the gallery in ./large where it is not there yet (some minutes, about 1 GB): files of drawn people that differ in
a comment, vectors at random, queries read by the embedded encoder. Prints medians and maxima in milliseconds; the
browser's figures need a Chromium.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import random
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import torch
import uvicorn
from numpy.typing import NDArray
from PIL.Image import Image

from benchmarks.machine import describe_machine
from ctgi.config import Settings, load_settings
from ctgi.retrieval.encoder import Encoder, TextFeatures, load_encoder
from ctgi.retrieval.gallery import build_gallery, open_gallery
from ctgi.runs.events import Logged
from ctgi.ui.app import create_app
from ctgi.ui.guard import Door, Guard
from ctgi.ui.site import open_site

IDENTITIES = 40
QUERIES = ("woman with red bag", "a man in a blue coat", "green trousers, white shoes", "somebody on a bicycle")
ATTRIBUTES = ("shoes", "bag", "hair", "trousers", "coat", "hat")
REASONS = (None, None, None, "contradictory: says no", "irrelevant: to the image", "redundant: 0.9 similar")
WORDS = ("red", "blue", "green", "black", "white", "gray", "brown", "yellow", "striped", "plain", "long", "leather")


class RandomRows:
    """The encoder for queries; images become vectors at random, which costs nothing."""

    def __init__(self, encoder: Encoder) -> None:
        self.spec, self.fingerprint, self.dim = encoder.spec, encoder.fingerprint, encoder.dim
        self.context_length, self._encoder = encoder.context_length, encoder
        self._random = np.random.default_rng(0)

    def preprocess(self, image: Image) -> torch.Tensor:
        """Nothing."""
        return torch.zeros(1)

    def encode_images(self, images: torch.Tensor) -> NDArray[np.float32]:
        """Unit vectors at random."""
        rows = self._random.standard_normal((len(images), self.dim)).astype(np.float32)
        unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def encode_texts(self, texts: Sequence[str]) -> TextFeatures:
        """As the encoder reads them."""
        return self._encoder.encode_texts(texts)


def make(folder: Path, count: int, encoder: Encoder, settings: Settings) -> None:
    """Images, the gallery and two captions files."""
    if (folder / "images/.ctgi").is_dir():
        return
    people = [sys.executable, "-m", "ctgi", "synth", "people", "--identities", str(IDENTITIES), "--seed", "7"]
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(people, cwd=folder, check=True)
    drawn = [path.read_bytes() for path in sorted((folder / "people/imgs").glob("*.jpg"))]
    for number in range(count):
        place = folder / "images" / f"camera {number // 1000:03}" / f"{number:06} {'long ' * (number % 9)}name.jpg"
        if not number % 1000:
            place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(with_comment(drawn[number % len(drawn)], str(number)))
    print(f"{count:,} images written", file=sys.stderr)
    build_gallery([str(folder / "images")], folder / "images/.ctgi", RandomRows(encoder), settings.retriever)
    gallery = open_gallery(folder / "images", encoder)
    chosen = random.Random(0)
    with (folder / "captions.jsonl").open("w") as one, (folder / "other.jsonl").open("w") as other:
        for image in gallery.refs():
            line = record(image.path, image.sha256, chosen)
            one.write(json.dumps(line) + "\n")
            changed = {"caption": f"{line['caption']} And a hat."} if chosen.random() < 0.1 else {}
            other.write(json.dumps(line | changed) + "\n")


def with_comment(jpeg: bytes, text: str) -> bytes:
    """The same picture in another file."""
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text.encode() + jpeg[2:]


def record(path: str, sha256: str, chosen: random.Random) -> dict[str, Any]:
    """What ctgi caption would write of an image."""
    turns = []
    for attribute in ATTRIBUTES:
        answer, reason = " ".join(chosen.sample(WORDS, 3)), chosen.choice(REASONS)
        turns.append(
            {
                "attribute": attribute, "question": f"What {attribute} does the person have?", "answer": answer,
                "confidence": round(chosen.random(), 3), "statement": f"The person has {answer} {attribute}.",
                "kept": reason is None, "reason": reason,
            }
        )  # fmt: skip
    caption = " ".join(["A person.", *(turn["statement"] for turn in turns if turn["kept"])])
    return {"path": path, "sha256": sha256, "initial_caption": "A person.", "turns": turns, "caption": caption}


@contextlib.asynccontextmanager
async def served(folder: Path, settings: Settings, encoder: Encoder) -> AsyncIterator[str]:
    """The address of the page; its first page came when this is entered."""
    began = time.perf_counter()
    gallery = open_gallery(folder / "images", encoder)
    captions = (folder / "captions.jsonl", folder / "other.jsonl")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        async with open_site(gallery, settings, Logged(), captions) as site:
            app = Guard(create_app(site), Door("127.0.0.1", port, None))
            server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            base = f"http://127.0.0.1:{port}"
            async with httpx2.AsyncClient() as client:
                assert (await client.get(base)).status_code == 200
            say("open the gallery, up to the first page", [time.perf_counter() - began])
            yield base
            server.should_exit = True
            await serving


async def measure(base: str, count: int) -> None:
    """Print what each request takes."""
    headers = {"origin": base}
    async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=300) as client:

        def getting(*addresses: str) -> list[Callable[[], Awaitable[Any]]]:
            return [lambda address=address: got(client, address) for address in addresses]

        await timed("the first search", [lambda: searched(client, QUERIES[0])])
        await timed("both captions files read", getting("/captions/compare"))
        await timed("a search by words", [lambda one=one: searched(client, one) for one in QUERIES * 5])
        await timed("a search, up to the first question", [lambda: searched(client, QUERIES[1], "person")])
        await timed("gallery, first piece", getting("/gallery"))
        await timed("gallery, any piece", getting(*(f"/gallery?start={at}" for at in range(0, count, count // 20))))
        page = await got(client, f"/gallery?start={count // 2}")
        pictures = [part.partition('"')[0] for part in page.text.split('src="')[1:] if part.startswith("/images/")]
        await timed("thumbnails, made", getting(*pictures))
        await timed("thumbnails, kept", getting(*pictures))
        await timed("captions, first page", getting("/captions"))
        await timed("captions, any page", getting(*(f"/captions/0?page={at}" for at in range(1, count // 60, 167))))
        for name, query in FILTERS.items():
            await timed(f"captions, {name}", getting(*[f"/captions/0?{query}"] * 5))
        link = (await got(client, f"/captions/0?page={count // 120}")).text.partition('class="photo" href="')[2]
        one = link.partition('"')[0]
        await timed("one caption", getting(*[one] * 5))
        await timed("compare two files", getting(*["/captions/compare"] * 3))
        form = {"caption": f"A man, {time.time()}.", "caption_seen": "", "by": "Ann"}
        await timed("save a correction", [lambda: posted(client, one, form)])
        await timed("captions, after a correction", getting("/captions"))


FILTERS = {
    "words": "text=striped+leather", "no such words": "text=elephant", "attribute": "attribute=hat",
    "less sure than 10 %": "attribute=hat&below=10", "dropped as contradictory": "only=contradictory",
}  # fmt: skip


async def got(client: httpx2.AsyncClient, address: str) -> httpx2.Response:
    """A page that must be there."""
    answer = await client.get(address)
    assert answer.status_code == 200, (address, answer.text)
    return answer


async def searched(client: httpx2.AsyncClient, query: str, asks: str = "nobody") -> None:
    """From the query to its page; where a person is asked, to the first question."""
    begun = await client.post("/searches", data={"query": query, "asks": asks})
    assert begun.status_code == 303, begun.text
    await got(client, begun.headers["location"] + ("" if asks == "nobody" else "/stream"))


async def posted(client: httpx2.AsyncClient, address: str, form: dict[str, str]) -> None:
    """A form that must be taken."""
    answer = await client.post(address, data=form)
    assert answer.status_code == 303, answer.text


async def timed(name: str, calls: Sequence[Callable[[], Awaitable[Any]]]) -> None:
    """Print how long calls take, one after the other."""
    times = []
    for call in calls:
        began = time.perf_counter()
        await call()
        times.append(time.perf_counter() - began)
    say(name, times)


def say(name: str, times: Sequence[float]) -> None:
    """Print one line."""
    print(f"{name:40} {1000 * statistics.median(times):6.0f} ms, longest {1000 * max(times):6.0f} ms", flush=True)


SCROLL = """async () => {
  const times = [];
  let last = performance.now();
  const end = last + 5000;
  while (performance.now() < end) {
    scrollBy(0, 40);
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - last);
    last = performance.now();
  }
  return [times.sort((a, b) => a - b), scrollY, document.querySelectorAll("#list li").length];
}"""
COMPLETE = """!document.querySelector(".blank") && [...document.querySelectorAll("#list img")].every((one) => {
  const { top, bottom } = one.getBoundingClientRect();
  return bottom < 0 || top > innerHeight || (one.complete && one.naturalWidth);
})"""


def scrolled(base: str) -> None:
    """Print how the gallery scrolls in a browser without a screen."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})

        def until_complete() -> float:
            began = time.perf_counter()
            while not tab.evaluate(COMPLETE):
                time.sleep(0.02)
            return time.perf_counter() - began

        began = time.perf_counter()
        tab.goto(f"{base}/gallery")
        until_complete()
        say("browser: gallery, all pictures in view", [time.perf_counter() - began])
        times, height, items = tab.evaluate(SCROLL)
        ninety_fifth = times[int(0.95 * len(times))]
        print(
            f"browser: {height:,.0f} px scrolled in 5 s: a frame takes {statistics.median(times):.0f} ms, the 95th of "
            f"100 {ninety_fifth:.0f} ms, the longest {times[-1]:.0f} ms; {items} list items are there"
        )
        jumps = []
        for part in (0.5, 0.9, 0.1, 0.7, 0.3):
            tab.evaluate(f"scrollTo(0, document.documentElement.scrollHeight * {part})")
            jumps.append(until_complete())
        say("browser: jump to any place", jumps)
        browser.close()


async def main(folder: Path, count: int) -> None:
    """Make what is missing, serve, measure."""
    logging.disable(logging.WARNING)
    settings = load_settings(traces=str(folder / "traces"))
    encoder = load_encoder(str(settings.binding("search_gallery")), settings.retriever)
    await asyncio.to_thread(make, folder, count, encoder, settings)
    shutil.rmtree(folder / "images/.ctgi/page", ignore_errors=True)
    print(describe_machine())
    async with served(folder, settings, encoder) as base:
        await measure(base, count)
        await asyncio.to_thread(scrolled, base)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=100_000)
    given = parser.parse_args()
    asyncio.run(main(given.folder, given.images))
