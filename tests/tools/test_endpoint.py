import asyncio
from collections.abc import Awaitable, Callable, Iterable

import pytest

from ctgi.config import Endpoint
from ctgi.errors import CtgiError, EndpointDownError, ToolError
from ctgi.tools.backends.endpoint import Limits, Unavailable
from tests.support.clock import run_timed

REFUSED = Unavailable("connection refused", unreachable=True)
BROKEN = Unavailable("status 500")
BUSY = Unavailable("status 429", strikes=1 / 8)


def limits(**settings: float) -> Limits:
    return Limits(Endpoint(**({"backoff_s": 0} | settings)), "http://here/v1", "Start it.")


def scripted(outcomes: Iterable[object]) -> Callable[[], Awaitable[object]]:
    """An attempt that raises or returns what stands next."""
    script = iter(outcomes)

    async def attempt() -> object:
        outcome = next(script)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return attempt


async def outcomes_of(held: Limits, scripts: Iterable[Iterable[object]]) -> list[object]:
    return [(await asyncio.gather(held.call(scripted(script)), return_exceptions=True))[0] for script in scripts]


def test_tries_again_until_it_works_but_not_for_ever() -> None:
    async def both() -> None:
        held = limits(retries=2)
        assert await held.call(scripted([BROKEN, BUSY, "fine"])) == "fine"
        with pytest.raises(ToolError, match=r"http://here/v1: status 500 \(3 tries\)"):
            await held.call(scripted([BROKEN, BROKEN, BROKEN]))

    asyncio.run(both())


def test_waits_grow_and_a_retry_after_comes_on_top() -> None:
    def waited_s(script: list[object]) -> float:
        async def asked() -> object:
            return await limits(retries=2, backoff_s=0.1).call(scripted(script))

        return run_timed(asked())[1]

    assert 0.3 <= waited_s([BROKEN, BROKEN, "fine"]) <= 0.3 + 0.2  # 0.1 + 0.2, and a jitter of up to 0.1 for each
    assert 0.5 <= waited_s([Unavailable("busy", wait_s=0.4), "fine"]) <= 0.5 + 0.1


def test_a_pause_longer_than_two_minutes_is_not_waited_for() -> None:
    async def asked() -> None:
        with pytest.raises(ToolError, match=r"\(1 try\)"):
            await limits(retries=3).call(scripted([Unavailable("status 429", wait_s=3600)]))

    assert run_timed(asked())[1] == 0


def test_an_endpoint_never_reached_stops_at_the_first_call() -> None:
    found = asyncio.run(outcomes_of(limits(retries=1), [[REFUSED, REFUSED], ["never asked"]]))
    assert [type(one) for one in found] == [EndpointDownError] * 2
    assert str(found[1]) == "http://here/v1: no connection: connection refused (2 tries). Start it."


def test_failures_in_a_row_open_the_breaker_and_a_success_closes_the_row() -> None:
    failing, fine = [BROKEN], ["fine"]
    found = asyncio.run(
        outcomes_of(limits(retries=0, failures_to_stop=3), [failing, failing, fine] + [failing] * 3 + [fine])
    )
    kinds = [type(one).__name__ for one in found]
    assert kinds == ["ToolError", "ToolError", "str", "ToolError", "ToolError"] + ["EndpointDownError"] * 2


def test_a_refused_request_shows_that_the_server_lives() -> None:
    scripts = [[BROKEN], [ToolError("this request is bad")], [BROKEN], ["fine"]]
    found = asyncio.run(outcomes_of(limits(retries=0, failures_to_stop=2), scripts))
    assert found[-1] == "fine"


def test_load_stops_the_run_eight_times_later_than_death_and_empty_answers_never_do() -> None:
    empty = Unavailable("the answer is empty", strikes=0)
    busy = asyncio.run(outcomes_of(limits(retries=0, failures_to_stop=2), [[BUSY]] * 16))
    assert [type(one) for one in busy] == [ToolError] * 15 + [EndpointDownError]
    silent = asyncio.run(outcomes_of(limits(retries=0, failures_to_stop=2), [[empty]] * 20))
    assert {type(one) for one in silent} == {ToolError}


def test_what_the_user_must_mend_stops_every_further_call() -> None:
    found = asyncio.run(outcomes_of(limits(), [[CtgiError("no such model")], ["never asked"]]))
    assert [(type(one), str(one)) for one in found] == [(CtgiError, "no such model")] * 2


def test_calls_that_wait_for_their_next_try_stop_with_the_breaker() -> None:
    tries = 0

    async def down() -> None:
        nonlocal tries
        tries += 1
        raise BROKEN

    async def together() -> list[object]:
        held = limits(retries=1000, backoff_s=0.02, failures_to_stop=1)
        waiting = [asyncio.ensure_future(held.call(down)) for _ in range(5)]
        await asyncio.sleep(0.01)
        with pytest.raises(CtgiError):
            await held.call(scripted([CtgiError("gone")]))
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [str(one) for one in asyncio.run(together())] == ["gone"] * 5
    assert tries == 5


def test_one_refused_request_never_ends_a_run_and_a_run_in_which_nothing_works_ends() -> None:
    refused = ToolError("too long")

    async def some(*scripts: list[object]) -> list[str]:
        return [type(one).__name__ for one in await outcomes_of(limits(failures_to_stop=3), scripts)]

    bad, good = [refused], ["fine"]
    assert asyncio.run(some(bad, bad, good, bad, bad, bad, bad)) == ["ToolError"] * 2 + ["str"] + ["ToolError"] * 4
    assert asyncio.run(some(bad, bad, bad, good)) == ["ToolError"] * 2 + ["EndpointDownError"] * 2


def test_refusals_wait_for_the_calls_that_may_still_be_answered() -> None:
    async def work() -> list[str]:
        held, answered = limits(failures_to_stop=2), asyncio.Event()

        async def slow() -> str:
            await answered.wait()
            return "fine"

        waiting = asyncio.create_task(held.call(slow))
        await asyncio.sleep(0)
        early = await outcomes_of(held, [[ToolError("too long")]] * 5)
        answered.set()
        return [type(one).__name__ for one in [*early, await waiting, *await outcomes_of(held, [["fine"]])]]

    assert asyncio.run(work()) == ["ToolError"] * 5 + ["str", "str"]


def test_refusals_end_the_run_once_the_last_hope_was_refused_too() -> None:
    async def work() -> list[str]:
        held, answered = limits(failures_to_stop=2), asyncio.Event()

        async def slow() -> str:
            await answered.wait()
            raise ToolError("too long")

        waiting = asyncio.create_task(held.call(slow))
        await asyncio.sleep(0)
        early = await outcomes_of(held, [[ToolError("too long")]] * 3)
        answered.set()
        await asyncio.gather(waiting, return_exceptions=True)
        return [type(one).__name__ for one in [*early, *await outcomes_of(held, [["fine"]])]]

    assert asyncio.run(work()) == ["ToolError"] * 3 + ["EndpointDownError"]
