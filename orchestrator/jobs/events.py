"""Following jobs: one LISTEN connection per process wakes every stream whose job has news.

The truth is the table: a stream re-reads it when woken and, should a notification be lost, every few seconds anyway.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from orchestrator.database import is_outage, sessions
from orchestrator.jobs.models import JobEvent
from orchestrator.jobs.progress import CHANNEL

log = structlog.get_logger(__name__)

TERMINAL = frozenset({"completed", "failed", "cancelled"})
PAGE = 500
LONGEST_PAUSE_S = 3.0


class JobNews:
    """Wakes those who wait for a job's next event. `run` listens until cancelled, through restarts of the database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: dict[UUID, set[asyncio.Event]] = defaultdict(set)

    async def run(self) -> None:
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

    @contextmanager
    def watch(self, job_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set whenever the job may have news."""
        woken = asyncio.Event()
        self._waiting[job_id].add(woken)
        try:
            yield woken
        finally:
            self._waiting[job_id].discard(woken)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def _connect(self) -> psycopg.AsyncConnection:
        url = self._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        return await psycopg.AsyncConnection.connect(
            url, autocommit=True, connect_timeout=5, keepalives_idle=15, keepalives_interval=5, keepalives_count=3
        )

    def _wake(self, job_id: UUID) -> None:
        for woken in self._waiting.get(job_id, ()):
            woken.set()

    def _wake_all(self) -> None:
        for job_id in list(self._waiting):
            self._wake(job_id)


async def events_after(session: AsyncSession, job_id: UUID, event_id: int) -> list[JobEvent]:
    """The next events of a job in order, at most a page of them."""
    query = (
        sa.select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.id > event_id).order_by(JobEvent.id).limit(PAGE)
    )
    return list((await session.scalars(query)).all())


async def follow(
    engine: AsyncEngine, news: JobNews, job_id: UUID, after: int, heartbeat_s: float
) -> AsyncIterator[JobEvent | None]:
    """A job's events after the one with id `after`, as they come, up to the one that ends the job; None in a silence.

    Goes on through a database outage, giving signs of life meanwhile.
    """
    make = sessions(engine)
    with news.watch(job_id) as woken:
        while True:
            woken.clear()
            try:
                async with make() as session:
                    events = await events_after(session, job_id, after)
            except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
                if isinstance(error, sa.exc.DBAPIError) and not is_outage(error):
                    raise
                events = []
            for event in events:
                after = event.id
                yield event
                if event.type in TERMINAL:
                    return
            if len(events) == PAGE:
                continue
            try:
                async with asyncio.timeout(heartbeat_s):
                    await woken.wait()
            except TimeoutError:
                yield None
