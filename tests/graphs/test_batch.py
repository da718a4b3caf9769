import asyncio
from collections.abc import Iterator

import pytest

from ctgi.errors import EndpointDownError, ToolError
from ctgi.runs.batch import run_many


async def collect(items: object, work: object, in_flight: int) -> list[tuple[int, object]]:
    return [pair async for pair in run_many(items, work, in_flight=in_flight)]  # type: ignore[arg-type,misc]


def test_a_failed_item_is_a_result() -> None:
    async def work(item: int) -> int:
        if item == 1:
            raise ToolError("no")
        return item * 10

    found = dict(asyncio.run(collect(range(3), work, 2)))
    assert (found[0], found[2]) == (0, 20)
    assert isinstance(found[1], ToolError)


@pytest.mark.parametrize(
    ("error", "said"),
    [(MemoryError(), "takes more memory than there is"), (RecursionError("too deep"), r"nested too deeply \(too deep")],
)
def test_what_exhausts_the_process_fails_the_one_item(error: BaseException, said: str) -> None:
    async def work(item: int) -> int:
        if item == 1:
            raise error
        return item * 10

    found = dict(asyncio.run(collect(range(3), work, 2)))
    assert (found[0], found[2]) == (0, 20)
    assert isinstance(found[1], ToolError)
    with pytest.raises(ToolError, match=said):
        raise found[1]


def test_no_more_than_so_many_in_flight_and_drawn() -> None:
    drawn, running, peak = 0, 0, 0

    def source() -> Iterator[int]:
        nonlocal drawn
        for item in range(50):
            drawn += 1
            assert drawn - finished <= 5
            yield item

    finished = 0

    async def work(item: int) -> int:
        nonlocal running, peak, finished
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.002)
        running -= 1
        finished += 1
        return item

    found = asyncio.run(collect(source(), work, 5))
    assert sorted(item for item, _ in found) == list(range(50))
    assert peak == 5


def test_a_dead_endpoint_ends_the_batch_once_and_cancels_the_rest() -> None:
    cancelled = 0

    async def work(item: int) -> int:
        nonlocal cancelled
        try:
            await asyncio.sleep(0.01 if item == 0 else 30)
        except asyncio.CancelledError:
            cancelled += 1
            raise
        raise EndpointDownError("gone")

    with pytest.raises(EndpointDownError):
        asyncio.run(collect(range(10), work, 4))
    assert cancelled == 3
