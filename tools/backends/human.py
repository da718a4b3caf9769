"""The person at the terminal as a backend: asks on stderr, reads a line from stdin."""

import asyncio
import sys
import threading
from collections.abc import Sequence

from ctgi.errors import CtgiError
from ctgi.retrieval.images import ImageRef
from ctgi.text import plain
from ctgi.tools.traces.call_notes import spending
from ctgi.tools.types import Reply, Verdict

_ONE_AT_A_TIME = threading.Lock()
"""Only one question is on the terminal at a time, whoever asks."""


async def ask_user(question: str, image: ImageRef | None = None) -> Reply:
    """Show the question and the image's path, and return the typed line.

    Raises:
        CtgiError: standard input is closed, so nobody can answer.
    """
    shown = f"[{plain(image.path)}] " if image else ""
    with spending():
        return Reply(await asyncio.to_thread(_read_line, f"{shown}{plain(question)} "))


async def caption_image(image: ImageRef) -> Reply:
    """Ask for the initial caption."""
    return await ask_user("Describe the person:", image)


async def answer_question(
    image: ImageRef, question: str, *, description: str = "", turns: Sequence[tuple[str, str]] = ()
) -> Reply:
    """Ask one question about an image."""
    return await ask_user(question, image)


async def verify_match(image: ImageRef, description: str) -> Verdict:
    """Ask whether an image shows the person described; anything but y or yes is a no."""
    said = await ask_user(f'Is this "{description}"? [y/n]', image)
    match = said.text.strip().lower() in ("y", "yes")
    return Verdict(match, float(match), said.text)


def _read_line(prompt: str) -> str:
    with _ONE_AT_A_TIME:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        line = sys.stdin.readline()
    if not line:
        raise CtgiError("a tool is bound to human, but standard input is closed: run the command in a terminal")
    return line.strip()
