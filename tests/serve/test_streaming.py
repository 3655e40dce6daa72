"""Requests of one stream run side by side and are answered in order."""

import asyncio
from collections.abc import AsyncIterator

from serve.protocol.streaming import answers_in_order

STEP_S = 0.05


async def numbered(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


def test_a_stream_runs_requests_side_by_side_and_answers_them_in_order() -> None:
    running: list[int] = []
    most: list[int] = []

    async def answer(number: int) -> int:
        running.append(number)
        most.append(len(running))
        await asyncio.sleep(0.05 if number % 2 == 0 else 0.01)
        running.remove(number)
        return number

    async def collect() -> list[int]:
        return [each async for each in answers_in_order(numbered(9), answer, ahead=3)]

    assert asyncio.run(collect()) == list(range(9))
    assert max(most) == 3


def test_a_stream_that_is_given_up_cancels_what_runs() -> None:
    ended: list[int] = []

    async def answer(number: int) -> int:
        try:
            await asyncio.sleep(STEP_S if number == 0 else 30)
        finally:
            ended.append(number)
        return number

    async def first() -> int:
        stream = answers_in_order(numbered(9), answer, ahead=3)
        got = await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # an asynchronous generator
        await asyncio.sleep(0)
        return got

    assert asyncio.run(first()) == 0
    assert sorted(ended) == [0, 1, 2]
