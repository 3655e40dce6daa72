"""News of jobs: one LISTEN connection per process, and one read of the table for all streams that wait.

The truth is the table. When something is announced, what is new in it is read once and handed to every stream that
follows the job or its owner; should a notification be lost, that happens every few seconds anyway.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.database import is_outage
from orchestrator.jobs.horizon import FURTHEST, Horizon
from orchestrator.jobs.models import JobEvent
from orchestrator.jobs.progress import CHANNEL

log = structlog.get_logger(__name__)

TERMINAL = frozenset({"completed", "failed", "cancelled"})
PAGE = 500
LONGEST_PAUSE_S = 3.0
GATHER_S = 0.02
"""What is announced within this time after a read is read together."""
MOST_WAITING = 200
"""Events a stream may leave lying; beyond that it reads the table again when its client has caught up."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it is told; `data` is JSON, made once for all streams."""

    id: int
    job_id: UUID
    user_id: UUID
    type: str
    data: str

    @classmethod
    def of(cls, row: Any) -> Self:
        """From a row of the table of events."""
        told = {**row.data, "job_id": str(row.job_id), "event_id": row.id, "at": row.at.isoformat()}
        return cls(row.id, row.job_id, row.user_id, row.type, json.dumps(told, ensure_ascii=False))


class Subscription:
    """What one stream was handed and has not taken yet."""

    __slots__ = ("_events", "_woken", "overflowed")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._woken = asyncio.Event()
        self.overflowed = False
        """Something was dropped; the table has it."""

    def put(self, event: Event) -> None:
        if len(self._events) >= MOST_WAITING:
            self._events = []
            self.overflowed = True
        if not self.overflowed:
            self._events.append(event)
        self._woken.set()

    def wake(self) -> None:
        """Let `take` return, with nothing where there is nothing."""
        self._woken.set()

    def begin(self) -> None:
        """Collect from now on; what came before will be read from the table."""
        self._events, self.overflowed = [], False
        self._woken.clear()

    async def take(self) -> list[Event]:
        """What came since the last call, once there is something; nothing where it overflowed or was woken."""
        await self._woken.wait()
        self._woken.clear()
        events, self._events = self._events, []
        return events


_NEWEST = sa.select(JobEvent.id).where(JobEvent.id > sa.select(sa.func.max(JobEvent.id)).scalar_subquery() - FURTHEST)
_NEWS = sa.text(
    """
    select e.*, pg_snapshot_xmin(now.snapshot)::text::bigint as oldest,
        pg_current_xact_id()::text::bigint as next
    from (select pg_current_snapshot() as snapshot) now
    left join lateral (
        select * from job_event where id > :floor and id <> all(cast(:seen as bigint[])) order by id limit :page
    ) e on true
    """
)


class JobNews:
    """Hands out the events of jobs as they come. `run` goes on until cancelled, through restarts of the database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: dict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._followers: dict[UUID, set[Subscription]] = defaultdict(set)
        self._wanted = asyncio.Event()
        self._announced = asyncio.Event()
        self._begun = asyncio.Event()
        self._horizon = Horizon(())
        self.is_closed = False
        """The process is about to end: nothing more is told here, and followers go on elsewhere."""

    def close(self) -> None:
        """End every stream. What its client was not told it gets when it comes back with Last-Event-ID."""
        self.is_closed = True
        for followers in self._followers.values():
            for subscription in followers:
                subscription.wake()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._tell_for_ever())

    @contextmanager
    def watch(self, job_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set whenever the job may have news."""
        woken = asyncio.Event()
        with _kept(self._waiting, job_id, woken):
            yield woken

    @contextmanager
    def subscribed(self, id_: UUID) -> Iterator[Subscription]:
        """Collects the events of a job or, where the id is a user's, of all of the user's jobs. See `begun`."""
        subscription = Subscription()
        with _kept(self._followers, id_, subscription):
            self._wanted.set()
            yield subscription

    async def begun(self) -> int:
        """Wait until all events that become visible from now on are handed out, while somebody is subscribed.

        Returns the number up to which every event there will ever be is visible now.
        """
        await self._begun.wait()
        return self._horizon.floor

    @property
    def settled(self) -> int:
        """The number up to which every event there will ever be was handed out."""
        return self._horizon.floor

    async def _listen(self) -> None:
        pause = 0.1
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.execute(f"listen {CHANNEL}")
                    pause = 0.1
                    self._wake_all()  # whatever was said while nobody listened
                    async for notice in connection.notifies():
                        self._wake(UUID(notice.payload))
            except (psycopg.OperationalError, OSError) as error:
                log.warning("not listening for job events, trying again", error=type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _connect(self) -> psycopg.AsyncConnection:
        url = self._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        return await psycopg.AsyncConnection.connect(
            url, autocommit=True, connect_timeout=5, keepalives_idle=15, keepalives_interval=5, keepalives_count=3
        )

    def _wake(self, job_id: UUID) -> None:
        self._announced.set()
        for woken in self._waiting.get(job_id, ()):
            woken.set()

    def _wake_all(self) -> None:
        self._announced.set()
        for job_id in list(self._waiting):
            self._wake(job_id)

    async def _tell_for_ever(self) -> None:
        while True:
            if not self._followers:
                self._begun.clear()
                self._wanted.clear()
                await self._wanted.wait()
            try:
                whole = await self._tell()
            except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
                if not is_outage(error):
                    raise
                log.warning("job events cannot be read, trying again", error=type(error).__name__)
                await asyncio.sleep(LONGEST_PAUSE_S)
                continue
            await asyncio.sleep(GATHER_S)
            if whole:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LONGEST_PAUSE_S):
                        await self._announced.wait()

    async def _tell(self) -> bool:
        """Read what is new and hand it out; whether that was all of it."""
        self._announced.clear()
        async with self._engine.connect() as connection:
            if not self._begun.is_set():
                self._horizon = Horizon((await connection.scalars(_NEWEST)).all())
            position = {"floor": self._horizon.floor, "seen": self._horizon.seen, "page": PAGE}
            rows = (await connection.execute(_NEWS, position)).all()
        events = [Event.of(row) for row in rows if row.id is not None]
        whole = len(events) < PAGE
        self._horizon.read([event.id for event in events], rows[0].oldest, rows[0].next, whole=whole)
        self._begun.set()
        for event in events:
            for id_ in (event.job_id, event.user_id):
                for subscription in self._followers.get(id_, ()):
                    subscription.put(event)
        return whole


@contextmanager
def _kept(place: dict[UUID, set[Any]], key: UUID, value: object) -> Iterator[None]:
    """The value stands under the key while the context lasts."""
    place[key].add(value)
    try:
        yield
    finally:
        place[key].discard(value)
        if not place[key]:
            del place[key]
