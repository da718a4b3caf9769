"""The searches that go on now, each a task of its own: begun, watched by any number of pages, answered, resumed."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import cast
from uuid import uuid4

from ctgi.errors import CtgiError, ToolError
from ctgi.runs.steered import Asks, Beginning, Moment, Steered
from ctgi.text import joined
from ctgi.ui.store import Begun, Store

MAX_WAITING = 64
"""Dialogues that are kept open while they wait for a person; older ones are resumed from disk when answered."""

logger = logging.getLogger(__name__)


class Live:
    """One search that goes on."""

    def __init__(self) -> None:
        self.moment: Moment | None = None
        self.task: asyncio.Task[None] | None = None
        self._answers: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._changed = asyncio.Event()

    def show(self, moment: Moment) -> None:
        """The next step."""
        self.moment = moment
        self.wake()

    def wake(self) -> None:
        """Tell everybody who waits."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Wait for the next step, or the end."""
        await self._changed.wait()

    def answer(self, question: str, text: str) -> None:
        """What the person says to this question; it is taken once the question is put."""
        self._answers.put_nowait((question, text))

    async def ask(self, question: str, left: int) -> str:
        """The answer to this question; those to others came twice or too late."""
        while True:
            asked, text = await self._answers.get()
            if asked == question:
                return text


class Desk:
    """All searches of a gallery's page. Belongs to one event loop."""

    def __init__(self, steered: Steered, store: Store) -> None:
        self._steered, self._store = steered, store
        self._encoder = steered.live.now.fingerprint
        self._live: dict[str, Live] = {}

    async def begin(self, asks: Asks, beginning: Beginning, parent: str | None = None) -> str:
        """A new search; returns its id once it has a ranking.

        Raises:
            CtgiError: it cannot be begun.
            ToolError: its first step failed.
        """
        name = uuid4().hex[:16]
        live = self._set_going(name, asks, beginning)
        while live.moment is None and live.task and not live.task.done():
            await live.change()
        if live.moment is None:
            problem = self._problem(live)
            raise problem if isinstance(problem, ToolError) else CtgiError(str(problem))
        self._store.begin(name, joined(beginning.query), asks, parent, self._encoder)
        if parent:
            self._store.inherit(name, parent)
        if live.task and live.task.done():
            self._ended(name, live)
        return name

    async def moment(self, begun: Begun) -> tuple[Moment | None, bool]:
        """Where a search stands, and whether it goes on; one that a restart broke off is resumed."""
        live = self._live.get(begun.id)
        if live is None:
            moment = await self._steered.look(begun.id)
            if moment is None or not _is_unfinished(begun, moment) or moment.question is not None or self.is_old(begun):
                return moment, False
            live = self._live.get(begun.id) or self._set_going(begun.id, cast(Asks, begun.asks), None, moment)
        return live.moment, live.moment is None or live.moment.question is None

    async def answer(self, begun: Begun, question: str, text: str) -> None:
        """What the person says; an answer to another question than the one that waits changes nothing.

        Raises:
            CtgiError: it cannot be kept, or another encoder made the search.
            ToolError: the step that it led to failed.
        """
        self._store.check()
        live = self._live.get(begun.id)
        if live is None:
            moment = await self._steered.look(begun.id)
            if moment is None or moment.question != question:
                return
            self._check_encoder(begun)
            if begun.problem:
                self._store.fail(begun.id, None)
            live = self._live.get(begun.id) or self._set_going(begun.id, cast(Asks, begun.asks), None, moment)
        if live.moment and live.moment.question == question:
            live.answer(question, text)
            while live.moment.question == question and live.task and not live.task.done():
                await live.change()
            if live.moment.question == question and (problem := self._problem(live)):
                raise problem  # it is not kept: whoever said it can say it again

    async def follow(self, begun: Begun) -> AsyncIterator[Moment]:
        """Every step from now on, up to the end or the next question."""
        _, goes_on = await self.moment(begun)
        live = self._live.get(begun.id)
        while live and live.moment and goes_on:
            yield live.moment
            if live.moment.question is not None or live.task is None or live.task.done():
                return
            await live.change()

    def is_old(self, begun: Begun) -> bool:
        """Whether the search was made with another encoder than the present one: its scores mean nothing to this."""
        return begun.encoder not in ("", self._encoder)

    async def aclose(self) -> None:
        """Break off what goes on; each search is kept up to its last step."""
        tasks = [live.task for live in self._live.values() if live.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _check_encoder(self, begun: Begun) -> None:
        if self.is_old(begun):
            raise CtgiError(
                "the encoder has changed since this search began: search again; your answers stand on its page"
            )

    def _set_going(self, name: str, asks: Asks, beginning: Beginning | None, moment: Moment | None = None) -> Live:
        self._let_go_of_the_oldest()
        live = self._live[name] = Live()
        live.moment = moment
        live.task = asyncio.create_task(self._steered.run(name, asks, live.ask, live.show, beginning))
        live.task.add_done_callback(lambda task: self._ended(name, live))
        return live

    def _let_go_of_the_oldest(self) -> None:
        waiting = [live for live in self._live.values() if live.moment and live.moment.question]
        for live in waiting[: max(0, len(waiting) - MAX_WAITING + 1)]:
            if live.task:
                live.task.cancel()

    def _ended(self, name: str, live: Live) -> None:
        if self._live.get(name) is live:
            del self._live[name]
        problem = self._problem(live)
        if problem:
            self._store.fail(name, str(problem))
        live.wake()

    def _problem(self, live: Live) -> BaseException | None:
        if live.task is None or live.task.cancelled():
            return None
        error = live.task.exception()
        if error is None or isinstance(error, CtgiError | ToolError):
            return error
        logger.error("a search failed: %s", error, exc_info=error)
        return CtgiError("ctgi failed here, which is a fault of ctgi: the terminal says more")


def _is_unfinished(begun: Begun, moment: Moment) -> bool:
    return moment.node is not None and begun.asks != "nobody" and begun.problem is None
