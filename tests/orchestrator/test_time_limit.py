"""A limit whose clock stands still while its work waits for what is away."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest

from orchestrator.time_limit import not_counted, time_limit

pytestmark = pytest.mark.anyio


class OverError(Exception):
    pass


async def sleeping(limit: float, *, not_counting: Sequence[float] = (), then: float = 0.0) -> None:
    """Sleep under a limit, first in naps that do not count."""
    async with time_limit(limit, OverError()):
        for seconds in not_counting:
            with not_counted():
                await asyncio.sleep(seconds)
        await asyncio.sleep(then)


async def test_work_that_takes_too_long_is_cancelled_and_its_error_raised() -> None:
    cancelled = False

    async def work() -> None:
        nonlocal cancelled
        async with time_limit(0.05, OverError()):
            try:
                await asyncio.sleep(60)
            finally:
                cancelled = True

    with pytest.raises(OverError):
        await work()
    assert cancelled


async def test_work_in_time_is_left_alone_and_its_own_timeout_is_its_own() -> None:
    async def work() -> None:
        async with time_limit(60, OverError()), asyncio.timeout(0.01):
            await asyncio.sleep(60)

    await sleeping(60)
    with pytest.raises(TimeoutError):
        await work()


async def test_time_that_is_not_counted_does_not_count_and_the_rest_does() -> None:
    await sleeping(2, not_counting=[0.6] * 4)
    with pytest.raises(OverError):
        await sleeping(0.1, not_counting=[0.2], then=60)


async def test_while_one_of_many_tasks_waits_the_clock_of_all_stands_still() -> None:
    async def wait(seconds: float) -> None:
        with not_counted():
            await asyncio.sleep(seconds)

    began = time.monotonic()
    async with time_limit(0.1, OverError()):
        await asyncio.gather(wait(0.1), wait(0.2), wait(0.4))
    assert time.monotonic() - began >= 0.4


async def test_after_a_wait_that_failed_the_clock_goes_on() -> None:
    async def work() -> None:
        async with time_limit(0.2, OverError()):
            with suppress(ValueError), not_counted():
                int("no number")
            await asyncio.sleep(60)

    with pytest.raises(OverError):
        await work()


async def test_without_a_limit_nothing_is_counted() -> None:
    with not_counted():
        await asyncio.sleep(0)


async def test_limits_of_tasks_side_by_side_are_their_own() -> None:
    found = await asyncio.gather(
        sleeping(0.1, not_counting=[0.05], then=60),
        sleeping(60, not_counting=[0.05], then=0.2),
        sleeping(0.1, not_counting=[0.05], then=60),
        return_exceptions=True,
    )
    assert [type(each) for each in found] == [OverError, type(None), OverError]
