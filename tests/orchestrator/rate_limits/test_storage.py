"""The storage of counts: exact among processes, sliding, and gone in time."""

import asyncio
import time

import pytest
import sqlalchemy as sa
from limits import RateLimitItemPerMinute, parse
from limits.aio.strategies import FixedWindowRateLimiter, SlidingWindowCounterRateLimiter
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.jobs.sweeper import sweep_rate_limits
from orchestrator.rate_limits.storage import PostgresStorage
from tests.orchestrator.rate_limits.conftest import WINDOW_BEGINS, Clock

pytestmark = pytest.mark.anyio

TEN_A_MINUTE = RateLimitItemPerMinute(10)


@pytest.fixture
def storage(engine: AsyncEngine, clock: Clock) -> PostgresStorage:
    return PostgresStorage(engine, clock)


async def admitted(limiter: SlidingWindowCounterRateLimiter, attempts: int) -> int:
    return sum([await limiter.hit(TEN_A_MINUTE, "somebody") for _ in range(attempts)])


async def rows(engine: AsyncEngine, table: str = "rate_limit") -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(sa.text(f"select count(*) from {table}"))).scalar_one())  # noqa: S608


@pytest.mark.parametrize(("limit", "let_through"), [("1000/hour", 100), ("37/hour", 37)])
async def test_a_hundred_hits_at_once_through_two_engines_count_exactly(
    engine: AsyncEngine, other_engine: AsyncEngine, clock: Clock, limit: str, let_through: int
) -> None:
    item = parse(limit)
    storages = [PostgresStorage(each, clock) for each in (engine, other_engine)]
    limiters = [SlidingWindowCounterRateLimiter(storage) for storage in storages]
    hits = await asyncio.gather(*(limiters[n % 2].hit(item, "somebody") for n in range(100)))
    assert sum(hits) == let_through
    for storage in storages:
        counts = await storage.get_sliding_window(item.key_for("somebody"), item.get_expiry())
        assert counts == (0, 0.0, let_through, 7200.0)


@pytest.mark.parametrize(
    ("later_s", "let_through"),
    [(0, 0), (59, 0), (60.1, 1), (75, 3), (90, 5), (119, 10), (120, 10), (1000, 10)],
)
async def test_the_window_slides_so_that_its_edge_lets_no_second_burst_through(
    storage: PostgresStorage, clock: Clock, later_s: float, let_through: int
) -> None:
    limiter = SlidingWindowCounterRateLimiter(storage)
    assert await admitted(limiter, 15) == 10
    clock.now += later_s
    assert await admitted(limiter, 15) == let_through


async def test_what_is_refused_is_not_counted(storage: PostgresStorage) -> None:
    await admitted(SlidingWindowCounterRateLimiter(storage), 30)
    assert await storage.get_sliding_window(TEN_A_MINUTE.key_for("somebody"), 60) == (0, 0.0, 10, 120.0)


async def test_callers_and_limits_are_counted_apart(storage: PostgresStorage) -> None:
    limiter = SlidingWindowCounterRateLimiter(storage)
    await admitted(limiter, 10)
    assert not await limiter.test(TEN_A_MINUTE, "somebody")
    assert await limiter.hit(TEN_A_MINUTE, "somebody else")
    assert await limiter.hit(RateLimitItemPerMinute(11), "somebody")


async def test_a_hit_may_weigh_more_than_one(storage: PostgresStorage) -> None:
    limiter = SlidingWindowCounterRateLimiter(storage)
    costs = (7, 4, 3, 1, 11)
    assert [await limiter.hit(TEN_A_MINUTE, "x", cost=cost) for cost in costs] == [True, False, True, False, False]


async def test_clearing_forgets_one_caller_and_a_reset_all(storage: PostgresStorage, engine: AsyncEngine) -> None:
    limiter = SlidingWindowCounterRateLimiter(storage)
    await admitted(limiter, 10)
    await limiter.hit(TEN_A_MINUTE, "somebody else")
    await limiter.clear(TEN_A_MINUTE, "somebody")
    assert await admitted(limiter, 11) == 10
    assert await storage.reset() == 2
    assert await rows(engine) == 0


async def test_without_a_clock_of_the_test_the_databases_counts(engine: AsyncEngine) -> None:
    storage = PostgresStorage(engine)
    assert await admitted(SlidingWindowCounterRateLimiter(storage), 1) == 1
    assert await storage.check()
    assert abs(await storage.get_expiry("nothing") - time.time()) < 60


async def test_fixed_windows_count_too_and_end(storage: PostgresStorage, clock: Clock) -> None:
    limiter = FixedWindowRateLimiter(storage)
    hits = [await limiter.hit(TEN_A_MINUTE, "x") for _ in range(12)]
    assert hits == [True] * 10 + [False] * 2
    key = TEN_A_MINUTE.key_for("x")
    assert await storage.get_expiry(key) == WINDOW_BEGINS + 60
    clock.now += 60
    assert await storage.get(key) == 0
    assert await limiter.hit(TEN_A_MINUTE, "x")
    assert await storage.get(key) == 1
    await storage.clear(key)
    assert await storage.get(key) == 0


async def test_the_sweeper_deletes_counts_that_no_longer_weigh_and_no_others(engine: AsyncEngine, clock: Clock) -> None:
    for age_s, left in ((121, 0), (59, 1), (0, 1)):
        storage = PostgresStorage(engine, clock)
        clock.now = time.time() - age_s
        await admitted(SlidingWindowCounterRateLimiter(storage), 1)
        await sweep_rate_limits(engine)
        assert await rows(engine) == left
        await storage.reset()


async def test_the_sweeper_forgets_addresses_after_thirty_days(engine: AsyncEngine) -> None:
    insert = sa.text(
        "insert into known_address values ('a', 'old', now() - interval '31 days'),"
        " ('a', 'young', now() - interval '29 days')"
    )
    async with engine.begin() as connection:
        await connection.execute(insert)
    await sweep_rate_limits(engine)
    async with engine.connect() as connection:
        assert (await connection.execute(sa.text("select address_hash from known_address"))).all() == [("young",)]
