"""Limits of an endpoint: requests in flight, retries with back-off, and when it counts as gone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exception,
    wait_exponential_jitter,
)

from ctgi.errors import CtgiError, EndpointDownError, ToolError
from ctgi.settings_tables import Endpoint
from ctgi.tools.traces.call_notes import note, spending

MAX_BACKOFF_S = 30.0
MAX_RETRY_AFTER_S = 120.0

Result = TypeVar("Result")


class Unavailable(Exception):
    """One try failed, but another may succeed."""

    def __init__(self, reason: str, *, wait_s: float = 0, strikes: float = 1, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s
        """Pause that the server asks for, in seconds."""
        self.strikes = strikes
        """Evidence that the endpoint is gone: 1 for a refused connection, 0 for an empty answer."""
        self.unreachable = unreachable
        """Whether no connection could be made."""


class Limits:
    """The calls to one endpoint: limited in number, retried, and stopped for good when the endpoint is gone.

    A call that fails with all its tries adds its strikes, and a successful call clears them. At `failures_to_stop`,
    every further call fails at once. The same happens if nothing works: calls about that many images were refused,
    and no call that was in flight by then succeeded. Belongs to the running loop.
    """

    def __init__(self, endpoint: Endpoint, name: str, cure: str) -> None:
        self._slots = asyncio.Semaphore(endpoint.at_once)
        self._endpoint = endpoint
        self.name = name
        """The endpoint's name in messages."""
        self._cure = cure
        self._strikes = 0.0
        self._reached = False
        self._stopped: CtgiError | None = None
        self.worked = False
        """Whether any call was answered."""
        self._calls = self._refusals = 0
        self._refused_about: set[str] = set()
        self._in_flight: set[int] = set()
        self._last_hope: set[int] | None = None

    @property
    def slots(self) -> AbstractAsyncContextManager[None]:
        """Hold one around `call` and its preparation."""
        return self._slot()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        async with self._slots:
            with spending():
                yield

    async def call(self, attempt: Callable[[], Awaitable[Result]], about: str = "") -> Result:
        """The result of `attempt`, which is tried again while it raises Unavailable.

        `about` identifies the content, such as an image's hash: repeated refusals of one content count once.

        Raises:
            ToolError: the tries are spent.
            EndpointDownError: the endpoint was never reached, too many calls in a row failed, or nothing works.
            CtgiError: from this or an earlier attempt; it stops the endpoint for all further calls.
        """
        self._calls += 1
        number = self._calls
        self._in_flight.add(number)
        try:
            result: Result = await self._retrying()(self._attempt, attempt)
        except Unavailable as failure:
            raise self._given_up(failure) from None
        except CtgiError as error:
            self._stopped = self._stopped or error
            raise
        except ToolError as error:
            self._answered()
            raise self._refused(error, number, about) from None
        finally:
            self._in_flight.discard(number)
        self._answered()
        self.worked = True
        return result

    def _retrying(self) -> AsyncRetrying:
        backoff_s = self._endpoint.backoff_s
        return AsyncRetrying(
            stop=stop_after_attempt(self._endpoint.retries + 1),
            retry=retry_if_exception(_worth_another_try),
            wait=wait_exception(_asked_wait_s)
            + wait_exponential_jitter(max=MAX_BACKOFF_S, jitter=backoff_s, multiplier=backoff_s),
            before_sleep=_note_retry,
            reraise=True,
        )

    async def _attempt(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        if self._stopped:
            raise type(self._stopped)(*self._stopped.args)
        return await attempt()

    def _answered(self) -> None:
        self._reached, self._strikes = True, 0.0

    def _refused(self, error: ToolError, number: int, about: str) -> ToolError | CtgiError:
        """A refusal concerns one request; `failures_to_stop` refusals without a success end the run."""
        self._refusals += 1
        self._refused_about.add(about or f"call {number}")
        if self.worked or len(self._refused_about) < self._endpoint.failures_to_stop:
            return error
        if self._last_hope is None:
            self._last_hope = set(self._in_flight)
        if (self._last_hope & self._in_flight) - {number}:
            return error
        self._stopped = EndpointDownError(f"{self.name}: {self._refusals} calls were refused, none answered: {error}")
        return self._stopped

    def _given_up(self, failure: Unavailable) -> ToolError | CtgiError:
        tries = self._endpoint.retries + 1 if _worth_another_try(failure) else 1
        tried = f"{failure.reason} ({tries} {'tries' if tries > 1 else 'try'})"
        self._strikes += failure.strikes
        self._reached = self._reached or not failure.unreachable
        if self._reached and self._strikes < self._endpoint.failures_to_stop:
            return ToolError(f"{self.name}: {tried}")
        how = "call after call failed" if self._reached else "no connection"
        self._stopped = EndpointDownError(f"{self.name}: {how}: {tried}. {self._cure}")
        return self._stopped


def _note_retry(state: RetryCallState) -> None:
    """Note for the trace that a retry was needed; tenacity calls this before it."""
    note(retries=state.attempt_number)


def _asked_wait_s(failure: BaseException) -> float:
    return failure.wait_s if isinstance(failure, Unavailable) else 0.0


def _worth_another_try(failure: BaseException) -> bool:
    return isinstance(failure, Unavailable) and failure.wait_s <= MAX_RETRY_AFTER_S
