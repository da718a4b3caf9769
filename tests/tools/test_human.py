"""The person at the terminal."""

import asyncio
import io
import threading

import pytest

from ctgi.tools.backends.human import ask_user


class Terminal:
    """Somebody who answers a question once they see it, and looks whether another one is asked meanwhile."""

    def __init__(self) -> None:
        self.shown = io.StringIO()
        self.asked_meanwhile: list[bool] = []
        self._another = threading.Event()

    def write(self, text: str) -> None:
        self.shown.write(text)
        if self.shown.getvalue().count("?") > len(self.asked_meanwhile) + 1:
            self._another.set()

    def flush(self) -> None:
        pass

    def readline(self) -> str:
        self.asked_meanwhile.append(self._another.wait(0.1))
        return f"answer {len(self.asked_meanwhile)}\n"


def test_two_questions_at_once_are_asked_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("sys.stderr", terminal)

    async def both() -> list[str]:
        return [reply.text for reply in await asyncio.gather(ask_user("Hat?"), ask_user("Shoes?"))]

    assert sorted(asyncio.run(both())) == ["answer 1", "answer 2"]
    assert terminal.asked_meanwhile == [False, False]
