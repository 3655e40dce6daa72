"""A storage of the `limits` library in our PostgreSQL, so that all processes count together.

Each hit is one statement that commits by itself, never part of a request's transaction: a request that is refused and
rolls back still counts. The clock is the database's. Errors of the database reach the caller: while it is away nothing
is let through.
"""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from limits.aio.storage.base import SlidingWindowCounterSupport, Storage
from sqlalchemy.ext.asyncio import AsyncEngine

_CLOCK = (
    "with clock as materialized ("
    " select coalesce(cast(:at as float8), cast(extract(epoch from clock_timestamp()) as float8)) as at)"
)
_WINDOWS = _CLOCK + (  # noqa: S608
    ", windows as materialized ("
    " select cast(:key as text) || '/' || cast(n as text) as current, cast(:key as text) || '/' || cast(n - 1 as text)"
    " as previous, (n + 1) * :expiry - at as remaining, to_timestamp((n + 2) * :expiry) as expires_at"
    " from clock, lateral (select cast(floor(at / :expiry) as bigint) as n) as numbered)"
)
"""Windows are numbered from the epoch; a row outlives its window by one, in which its count still weighs."""
_ACQUIRE = sa.text(
    _WINDOWS + ", carried as materialized ("  # noqa: S608
    " select coalesce(r.count, 0) * w.remaining / :expiry as weight"
    " from windows w left join rate_limit r on r.key = w.previous)"
    " insert into rate_limit as counted (key, count, expires_at)"
    " select current, :amount, expires_at from windows, carried where floor(weight) + :amount <= :limit"
    " on conflict (key) do update set count = counted.count + excluded.count"
    " where floor((select weight from carried) + counted.count) + :amount <= :limit returning count"
)
_LOOK = sa.text(
    _WINDOWS + " select coalesce(p.count, 0) as previous, coalesce(c.count, 0) as current, w.remaining"  # noqa: S608
    " from windows w left join rate_limit p on p.key = w.previous left join rate_limit c on c.key = w.current"
)
_CLEAR_WINDOWS = sa.text(
    _WINDOWS + " delete from rate_limit r using windows w where r.key in (w.current, w.previous)"  # noqa: S608
)
_INCREMENT = sa.text(
    _CLOCK + " insert into rate_limit as counted (key, count, expires_at)"  # noqa: S608
    " select :key, :amount, to_timestamp(at + :expiry) from clock"
    " on conflict (key) do update set"
    " count = case when counted.expires_at > to_timestamp((select at from clock)) then counted.count else 0 end"
    " + excluded.count, expires_at = case when counted.expires_at > to_timestamp((select at from clock))"
    " then counted.expires_at else excluded.expires_at end returning count"
)
_GET = sa.text(
    _CLOCK + " select count, extract(epoch from expires_at) as expires_at from rate_limit, clock"  # noqa: S608
    " where key = :key and expires_at > to_timestamp(at)"
)
_NOW = sa.text(_CLOCK + " select at from clock")  # noqa: S608
_CLEAR = sa.text("delete from rate_limit where key = :key")
_RESET = sa.text("delete from rate_limit")
_PURGE = sa.text("delete from rate_limit where expires_at < now()")


class PostgresStorage(Storage, SlidingWindowCounterSupport):
    """Counts in the table `rate_limit`: fixed windows, and sliding ones by weighing the window before.

    `clock` (seconds since the epoch) takes the place of the database's own, for tests.
    """

    STORAGE_SCHEME = None

    def __init__(self, engine: AsyncEngine, clock: Callable[[], float] | None = None) -> None:
        super().__init__()
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._clock = clock

    @property
    def base_exceptions(self) -> type[Exception]:
        return sa.exc.SQLAlchemyError

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` if it fits the limit; otherwise count nothing and return False."""
        values = {"key": key, "limit": limit, "expiry": expiry, "amount": amount}
        return await self._row(_ACQUIRE, values) is not None

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """The count of the window before and for how many seconds it still weighs; the same of the current one."""
        row = await self._row(_LOOK, {"key": key, "expiry": expiry})
        assert row is not None  # noqa: S101  (the statement always gives one)
        return row.previous, row.remaining if row.previous else 0.0, row.current, row.remaining + expiry

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        await self._execute(_CLEAR_WINDOWS, {"key": key, "expiry": expiry})

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        row = await self._row(_INCREMENT, {"key": key, "expiry": expiry, "amount": amount})
        assert row is not None  # noqa: S101
        return int(row[0])

    async def get(self, key: str) -> int:
        row = await self._row(_GET, {"key": key})
        return int(row[0]) if row else 0

    async def get_expiry(self, key: str) -> float:
        """When the count of a fixed window ends, in seconds since the epoch; now, where there is none."""
        row = await self._row(_GET, {"key": key}) or await self._row(_NOW, {})
        assert row is not None  # noqa: S101
        return float(row[-1])

    async def check(self) -> bool:
        """Whether the database answers. Raises its error where it does not."""
        return await self._row(_NOW, {}) is not None

    async def reset(self) -> int:
        """Forget every count; how many there were."""
        return await self._execute(_RESET, {})

    async def clear(self, key: str) -> None:
        await self._execute(_CLEAR, {"key": key})

    async def _row(self, statement: sa.TextClause, values: Mapping[str, Any]) -> sa.Row[Any] | None:
        async with self._engine.connect() as connection:
            return (await connection.execute(statement, self._timed(values))).one_or_none()

    async def _execute(self, statement: sa.TextClause, values: Mapping[str, Any]) -> int:
        async with self._engine.connect() as connection:
            return (await connection.execute(statement, self._timed(values))).rowcount

    def _timed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"at": self._clock() if self._clock else None, **values}


async def purge(engine: AsyncEngine) -> None:
    """Delete the counts that no longer weigh."""
    async with engine.begin() as connection:
        await connection.execute(_PURGE)
