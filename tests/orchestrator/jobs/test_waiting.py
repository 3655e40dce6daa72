"""The waiting line: users take turns, paid jobs have a line of their own, one read serves all who ask."""

import asyncio
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.jobs import progress, waiting
from orchestrator.jobs.models import Job
from orchestrator.jobs.waiting import WaitingLine
from tests.fixtures_control_plane import MakeUser
from tests.orchestrator.jobs.conftest import MakeJob

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]


async def give(make_session: Sessions, job: Job, user_id: UUID) -> Job:
    async with make_session.begin() as session:
        await session.execute(sa.update(Job).where(Job.id == job.id).values(user_id=user_id))
    return job


async def test_nobody_waits_for_another_s_whole_backlog(
    engine: AsyncEngine, make_job: MakeJob, make_session: Sessions, make_user: MakeUser
) -> None:
    big = [await make_job(started=False) for _ in range(5)]
    other = await make_user("marianne@example.org")
    small = [await give(make_session, await make_job(started=False), other.id) for _ in range(2)]
    line = WaitingLine(engine)
    assert [await line.place(job.id) for job in big] == [1, 3, 5, 6, 7]
    assert [await line.place(job.id) for job in small] == [2, 4]


async def test_paid_jobs_wait_in_a_line_of_their_own(engine: AsyncEngine, make_job: MakeJob) -> None:
    free = [await make_job(started=False) for _ in range(2)]
    paid = await make_job(started=False, credits=10)
    line = WaitingLine(engine)
    assert [await line.place(job.id) for job in (*free, paid)] == [1, 2, 1]


async def test_what_does_not_wait_has_no_place(engine: AsyncEngine, make_job: MakeJob, make_session: Sessions) -> None:
    job = await make_job()
    assert await WaitingLine(engine).place(job.id) is None


async def test_one_read_serves_all_who_ask_at_once_and_is_kept_for_a_moment(
    engine: AsyncEngine, make_job: MakeJob, make_session: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "FRESH_S", 3600.0)
    reads = 0

    def note(*given: object) -> None:
        nonlocal reads
        reads += "row_number" in str(given[2])

    sa.event.listen(engine.sync_engine, "before_cursor_execute", note)
    jobs = [await make_job(started=False) for _ in range(5)]
    line = WaitingLine(engine)
    assert await asyncio.gather(*(line.place(job.id) for job in jobs * 4)) == [1, 2, 3, 4, 5] * 4
    assert reads == 1
    async with make_session.begin() as session:
        await progress.start(session, jobs[0].id)
    assert await line.place(jobs[1].id) == 2, "as it was a moment ago"
    new = await make_job(started=False)
    assert await line.place(new.id) == 5, "who is not in it has come since"
    assert reads == 2
