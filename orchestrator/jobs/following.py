"""Readers of events: of one job to its end, of all jobs of a user. Each reads the table up to now, then is handed news.

A reader holds a page of the table and what its subscription collects at most: one that is read slowly goes back to the
table.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.database import is_outage
from orchestrator.jobs.events import LONGEST_PAUSE_S, PAGE, TERMINAL, Event, JobNews
from orchestrator.jobs.models import Job, JobEvent
from orchestrator.jobs.progress import OPEN

_COLUMNS = (JobEvent.id, JobEvent.job_id, JobEvent.user_id, JobEvent.type, JobEvent.at, JobEvent.data)


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and the position from which one goes on who was told it."""

    position: int
    event: Event


class Reader(ABC):
    """A context, during which news is collected. Goes on through a database outage."""

    def __init__(self, engine: AsyncEngine, news: JobNews, id_: UUID) -> None:
        self._engine = engine
        self._news = news
        self._stack = ExitStack()
        self._subscription = self._stack.enter_context(news.subscribed(id_))
        self._is_new = True
        self._reads_table = False
        self._settled = 0
        """All events up to this number that there will ever be were among those read or handed out."""
        self.is_over = False
        """Nothing more will come; here, where the process is about to end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    async def next(self, wait_s: float) -> list[Told]:
        """What comes next, in order; nothing after `wait_s` seconds without news, and where it is over."""
        try:
            async with asyncio.timeout(wait_s):
                return await self._next()
        except TimeoutError:
            return []
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            if not is_outage(error):
                raise
        await asyncio.sleep(min(wait_s, LONGEST_PAUSE_S))
        return []

    async def _next(self) -> list[Told]:
        told: list[Told] = []
        while not told and not self.is_over:
            if self._is_new or self._subscription.overflowed:
                self._subscription.begin()
                self._settled = await self._news.begun()
                self._start_reading()
                self._is_new, self._reads_table = False, True
            if self._reads_table:
                events = await self._page()
                self._reads_table = len(events) >= PAGE
            else:
                events = sorted(await self._subscription.take(), key=lambda event: event.id)
                self._settled = self._news.settled
            told = self._fresh(events)
            self.is_over = self.is_over or self._news.is_closed
        return told

    async def _read(self, query: sa.Select[*tuple[Any, ...]]) -> list[Event]:
        async with self._engine.connect() as connection:
            return [Event.of(row) for row in await connection.execute(query)]

    @abstractmethod
    def _start_reading(self) -> None:
        """The table is about to be read up to now."""

    @abstractmethod
    async def _page(self) -> list[Event]:
        """The next events of the table in order; fewer than PAGE where there are no more."""

    @abstractmethod
    def _fresh(self, events: Iterable[Event]) -> list[Told]:
        """Those that were not told yet."""


class JobReader(Reader):
    """The events of a job after the one with the number `after`, up to the one that ends the job."""

    def __init__(self, engine: AsyncEngine, news: JobNews, job_id: UUID, after: int) -> None:
        super().__init__(engine, news, job_id)
        self._job_id = job_id
        self._after = after

    def _start_reading(self) -> None:
        """From the last one told: the events of one job become visible in the order of their numbers."""

    async def _page(self) -> list[Event]:
        return await self._read(events_after(self._job_id, self._after))

    def _fresh(self, events: Iterable[Event]) -> list[Told]:
        told: list[Told] = []
        for event in events:
            if event.id > self._after and not self.is_over:
                self._after = event.id
                self.is_over = event.type in TERMINAL
                told.append(Told(event.id, event))
        return told


class UserReader(Reader):
    """The events of all jobs of a user after `position`; without one, the newest of each open job and all that follow.

    Where one goes on from a position, some of what was told shortly before it may be told again.
    """

    def __init__(self, engine: AsyncEngine, news: JobNews, user_id: UUID, position: int | None) -> None:
        super().__init__(engine, news, user_id)
        self._user_id = user_id
        self._position = position
        self._read_to = 0
        self._last: dict[UUID, int] = {}
        """Of each job the number of the last event told."""

    def _start_reading(self) -> None:
        self._read_to = self._position or 0

    async def _page(self) -> list[Event]:
        if self._position is None:
            newest = await self._read(newest_of_open_jobs(self._user_id))
            self._position = self._read_to = self._settled
            return newest
        events = await self._read(events_of_user_after(self._user_id, self._read_to))
        if events:
            self._read_to = events[-1].id
        return events

    def _fresh(self, events: Iterable[Event]) -> list[Told]:
        told: list[Told] = []
        for event in events:
            if event.id > self._last.get(event.job_id, 0):
                self._last[event.job_id] = event.id
                self._position = max(self._position or 0, min(event.id, self._settled))
                told.append(Told(self._position, event))
        return told


def events_after(job_id: UUID, event_id: int) -> sa.Select[*tuple[Any, ...]]:
    """The next page of a job's events in order."""
    return _ordered(JobEvent.job_id == job_id, JobEvent.id > event_id)


def events_of_user_after(user_id: UUID, event_id: int) -> sa.Select[*tuple[Any, ...]]:
    """The next page of the events of a user's jobs in order."""
    return _ordered(JobEvent.user_id == user_id, JobEvent.id > event_id)


def newest_of_open_jobs(user_id: UUID) -> sa.Select[*tuple[Any, ...]]:
    """The last event of each of the user's open jobs, in order."""
    last = sa.select(JobEvent.id).where(JobEvent.job_id == Job.id).order_by(JobEvent.id.desc()).limit(1)
    open_ = sa.select(last.correlate(Job).scalar_subquery()).where(Job.user_id == user_id, Job.status.in_(OPEN))
    return sa.select(*_COLUMNS).where(JobEvent.id.in_(open_)).order_by(JobEvent.id)


def _ordered(*conditions: sa.ColumnElement[bool]) -> sa.Select[*tuple[Any, ...]]:
    return sa.select(*_COLUMNS).where(*conditions).order_by(JobEvent.id).limit(PAGE)
