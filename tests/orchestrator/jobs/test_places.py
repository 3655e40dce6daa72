"""Places of a worker: bounded, shared between paid and unpaid work, and given to one alone where that is wanted."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from orchestrator.jobs.places import Places

pytestmark = pytest.mark.anyio


class Crowd:
    """Many who want a place, each for a moment; who worked when."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.order: list[bool] = []
        self.most = 0
        self.together: list[Counter[bool]] = []
        self._now: Counter[bool] = Counter()

    @asynccontextmanager
    async def working(self, paid: bool) -> AsyncIterator[None]:
        self._now[paid] += 1
        self.order.append(paid)
        self.most = max(self.most, self._now.total())
        self.together.append(Counter(self._now))
        yield
        self._now[paid] -= 1

    async def work(self, paid: bool, seconds: float = 0.002) -> None:
        async with self.places.taken(paid=paid), self.working(paid):
            await asyncio.sleep(seconds)


@pytest.mark.parametrize("total", [1, 2, 16])
async def test_never_more_work_than_there_are_places(total: int) -> None:
    crowd = Crowd(Places(total, 0.75))
    await asyncio.gather(*(crowd.work(number % 3 == 0) for number in range(100)))
    assert crowd.most == total
    assert len(crowd.order) == 100
    assert crowd.places.working == 0


async def test_while_both_wait_paid_work_has_its_share_and_the_other_the_rest() -> None:
    crowd = Crowd(Places(16, 0.75))
    work = (crowd.work(number >= 300, 0.01 + 0.01 * (number % 7)) for number in range(600))
    await asyncio.gather(*work)
    both = [each for each in crowd.together[100:300] if each.total() == 16]
    assert len(both) > 20
    assert {(each[True], each[False]) for each in both} <= {(11, 5), (12, 4), (13, 3)}


@pytest.mark.parametrize("paid", [True, False])
async def test_what_one_kind_leaves_the_other_takes(paid: bool) -> None:
    crowd = Crowd(Places(8, 0.75))
    await asyncio.gather(*(crowd.work(paid) for _ in range(50)))
    assert crowd.most == 8


async def test_paid_work_that_comes_to_a_full_house_gets_the_next_places() -> None:
    crowd = Crowd(Places(4, 0.75))
    unpaid = [asyncio.create_task(crowd.work(False)) for _ in range(100)]
    await asyncio.sleep(0.003)
    there = len(crowd.order)
    paid = [asyncio.create_task(crowd.work(True)) for _ in range(3)]
    await asyncio.gather(*paid)
    assert len(crowd.order) - there <= 12, "it does not wait for the hundred"
    await asyncio.gather(*unpaid)


@pytest.mark.parametrize("paid", [True, False])
async def test_on_a_single_place_neither_kind_starves(paid: bool) -> None:
    crowd = Crowd(Places(1, 0.75))
    flood = [asyncio.create_task(crowd.work(not paid)) for _ in range(200)]
    await asyncio.sleep(0.003)
    there = len(crowd.order)
    await crowd.work(paid)
    assert len(crowd.order) - there <= 4
    await asyncio.gather(*flood)


async def test_inside_a_kind_the_first_to_come_is_the_first_served() -> None:
    places, served = Places(1, 0.75), []

    async def work(number: int) -> None:
        async with places.taken(paid=False):
            served.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(number) for number in range(20)))
    assert served == list(range(20))


async def test_who_wants_to_be_alone_is_alone_and_the_others_go_on_after() -> None:
    crowd = Crowd(Places(4, 0.75))
    before = [asyncio.create_task(crowd.work(False)) for _ in range(4)]
    await asyncio.sleep(0)
    beside: list[int] = []

    async def alone() -> None:
        async with places.taken(paid=False, alone=True):
            beside.append(crowd._now.total())
            await asyncio.sleep(0.01)
            beside.append(crowd._now.total())

    places = crowd.places
    lonely = [asyncio.create_task(alone()) for _ in range(2)]
    await asyncio.sleep(0)
    after = [asyncio.create_task(crowd.work(True)) for _ in range(8)]
    await asyncio.gather(*before, *lonely, *after)
    assert beside == [0, 0, 0, 0]
    assert crowd.most == 4


async def test_who_stops_waiting_takes_no_place_and_keeps_nobody_from_one() -> None:
    places = Places(1, 0.75)
    inside = asyncio.Event()

    async def hold() -> None:
        async with places.taken(paid=True):
            inside.set()
            await asyncio.sleep(60)

    async def want(alone: bool = False) -> None:
        async with places.taken(paid=True, alone=alone):
            pass

    holder = asyncio.create_task(hold())
    await inside.wait()
    given_up = [asyncio.create_task(want(alone)) for alone in (False, True, False)]
    patient = asyncio.create_task(want())
    await asyncio.sleep(0)
    for task in [*given_up, holder]:
        task.cancel()
    await asyncio.gather(*given_up, holder, return_exceptions=True)
    await asyncio.wait_for(patient, 60)
    assert places.working == 0
