"""Streams outlive what serves them: an API process that ends, one of two, the connection that listens."""

import asyncio
import subprocess
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.jobs import events, progress
from orchestrator.jobs.events import JobNews
from orchestrator.jobs.following import UserReader
from orchestrator.jobs.models import Job, JobEvent
from orchestrator.settings import Settings
from tests.fixtures_api import api_process
from tests.fixtures_control_plane import Bearer
from tests.orchestrator.jobs.conftest import MakeJob
from tests.orchestrator.jobs.event_streams import PATIENCE_S, end, first, read, report, some

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]

LISTENER = sa.text(
    "select pid from pg_stat_activity where datname = current_database() and query = 'listen job' and state = 'idle'"
)


@dataclass
class Client:
    """One who follows a stream and comes back with the last position, as a browser does."""

    url: str
    told: list[dict[str, Any]] = field(default_factory=list)
    came_back_at: list[int] = field(default_factory=list)
    """How much it had been told by then."""

    async def follow(self, api_url: str, headers: dict[str, str]) -> None:
        """Until the stream ends or is cut."""
        given = {"Last-Event-ID": str(self.told[-1]["id"])} if self.told else {}
        self.came_back_at.append(len(self.told))
        async with httpx.AsyncClient(base_url=api_url, headers=headers, timeout=PATIENCE_S) as client:
            with suppress(httpx.TransportError):
                async for event in read(client, self.url, given):
                    self.told.append(event)

    async def has_heard(self, percent: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not self.told or self.told[-1]["progress"] < percent:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def ids(self) -> list[int]:
        return [event["event_id"] for event in self.told]


async def written(make_session: Sessions, job: Job) -> list[int]:
    async with make_session() as session:
        query = sa.select(JobEvent.id).where(JobEvent.job_id == job.id).order_by(JobEvent.id)
        return list(await session.scalars(query))


@pytest.mark.parametrize("stop", [subprocess.Popen.kill, subprocess.Popen.terminate])
async def test_nothing_is_lost_or_told_twice_where_the_api_ends_under_its_streams(
    stop: Callable[[subprocess.Popen[bytes]], None],
    app_settings: Settings,
    tmp_path: Path,
    bearer: Bearer,
    user: User,
    job: Job,
    make_session: Sessions,
) -> None:
    headers, percents = await bearer(user), iter(range(1, 99))
    of_job, of_user = clients = Client(f"/v1/jobs/{job.id}/events"), Client("/v1/events")

    async def go_on(reports: int) -> int:
        done = 0
        for _ in range(reports):
            done = next(percents)
            await report(make_session, job.id, done)
        return done

    for start in range(2):
        with api_process(app_settings, tmp_path / f"{start}.log") as api:
            following = [asyncio.create_task(client.follow(api.url, headers)) for client in clients]
            for client in clients:
                await client.has_heard(0)
            heard = await go_on(4)
            for client in clients:
                await client.has_heard(heard)
            await go_on(3)  # some of it is on its way when the process ends
            stop(api.process)
            await go_on(3)
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*following)
        await go_on(3)
    with api_process(app_settings, tmp_path / "last.log") as api:
        following = [asyncio.create_task(client.follow(api.url, headers)) for client in clients]
        await go_on(2)
        await end(make_session, job.id)
        for client in clients:
            await client.has_heard(100)
        api.process.kill()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*following)

    all_ids = await written(make_session, job)
    assert len(of_job.came_back_at) == 3
    assert of_job.ids() == all_ids
    assert sorted(set(of_user.ids())) == all_ids[1:], "it begins with the newest event of the job"
    for start, stop_ in zip(of_user.came_back_at, [*of_user.came_back_at[1:], None], strict=True):
        once = of_user.ids()[start:stop_]
        assert once == sorted(set(once)), "only what came before a reconnection may come again"


async def test_any_of_two_processes_on_one_database_tells_of_a_job(
    app_settings: Settings, tmp_path: Path, bearer: Bearer, user: User, job: Job, make_session: Sessions
) -> None:
    headers, url = await bearer(user), f"/v1/jobs/{job.id}/events"
    with api_process(app_settings, tmp_path / "a.log") as a, api_process(app_settings, tmp_path / "b.log") as b:
        async with (
            httpx.AsyncClient(base_url=a.url, headers=headers, timeout=PATIENCE_S) as at_a,
            httpx.AsyncClient(base_url=b.url, headers=headers, timeout=PATIENCE_S) as at_b,
        ):
            streams = [read(client, url) for client in (at_a, at_b)]
            begun = [await some(stream, 2) for stream in streams]
            assert begun[0] == begun[1]
            position = begun[0][-1]["id"]
            for percent in range(10, 60, 10):
                await report(make_session, job.id, percent)
                told = [await some(stream, 1) for stream in streams]
                assert told[0] == told[1]
                assert told[0][0]["progress"] == percent
                moving = at_a if percent % 20 else at_b
                assert await first(moving, url, 1, **{"Last-Event-ID": str(position)}) == told[0]
                position = told[0][0]["id"]
            await end(make_session, job.id)
            for stream in streams:
                assert [event["type"] async for event in stream] == ["completed"]


async def test_a_stream_goes_on_where_only_the_connection_that_listens_is_lost(
    engine: AsyncEngine,
    live: httpx.AsyncClient,
    job: Job,
    make_session: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def listeners() -> set[int]:
        async with engine.connect() as connection:
            return set(await connection.scalars(LISTENER))

    async def other_than(gone: set[int]) -> set[int]:
        async with asyncio.timeout(PATIENCE_S):
            while not (found := await listeners() - gone):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return found

    monkeypatch.setattr(events, "LONGEST_PAUSE_S", 3600.0)  # the table is read only where something is announced
    async with aclosing(read(live, f"/v1/jobs/{job.id}/events")) as stream:  # type: ignore[type-var]
        await some(stream, 2)
        gone: set[int] = set()
        for percent in (10, 30, 50):
            (pid,) = await other_than(gone)
            async with make_session() as session:
                assert await session.scalar(sa.select(sa.func.pg_terminate_backend(pid)))
            gone.add(pid)
            await report(make_session, job.id, percent)  # nobody may be listening yet
            assert [event["progress"] for event in await some(stream, 1)] == [percent]
            await other_than(gone)
            await report(make_session, job.id, percent + 10)
            assert [event["progress"] for event in await some(stream, 1)] == [percent + 10]
        await end(make_session, job.id)
        assert [event["type"] async for event in stream] == ["completed"]


async def test_an_event_is_told_whose_transaction_began_last_took_its_number_first_and_ends_last(
    engine: AsyncEngine, user: User, make_job: MakeJob, make_session: Sessions
) -> None:
    """A snapshot does not name the one that is still at work then: it is newer than any that has ended."""
    early_job, late_job = await make_job(), await make_job()
    news = JobNews(engine)
    running = asyncio.create_task(news.run())
    try:
        with UserReader(engine, news, user.id, None) as reader:
            assert len(await reader.next(PATIENCE_S)) == 2
            async with make_session() as early, make_session() as late:
                await progress.lock(early, early_job.id)
                await early.execute(sa.update(Job).where(Job.id == early_job.id).values(message="at work"))
                await progress.record(late, late_job.id, progress=10)
                await progress.record(early, early_job.id, progress=20)
                await early.commit()
                (first_told,) = await reader.next(PATIENCE_S)
                assert first_told.event.job_id == early_job.id
                await late.commit()
            told = await reader.next(PATIENCE_S)
        assert [each.event.job_id for each in told] == [late_job.id]
        assert told[0].event.id < first_told.event.id
    finally:
        running.cancel()
