"""One stream of all of one's jobs: what it begins with, what it tells, where it goes on, what it never loses."""

import asyncio
import random
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.jobs import following, progress
from orchestrator.jobs.events import JobNews
from orchestrator.jobs.following import Told, UserReader
from orchestrator.jobs.models import Job, JobEvent
from tests.fixtures_control_plane import Bearer, MakeUser
from tests.orchestrator.jobs.conftest import Ask, MakeJob
from tests.orchestrator.jobs.event_streams import PATIENCE_S, end, first, read, report, some

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]


async def test_it_begins_with_where_each_open_job_is_and_goes_on_with_all(
    live: httpx.AsyncClient, make_job: MakeJob, make_session: Sessions
) -> None:
    waiting, working, ended = await make_job(started=False), await make_job(), await make_job()
    await report(make_session, working.id, 30)
    await end(make_session, ended.id)
    stream = read(live, "/v1/events")
    begun = await some(stream, 2)
    assert {(event["job_id"], event["status"], event["progress"]) for event in begun} == {
        (str(waiting.id), "pending", 0),
        (str(working.id), "processing", 30),
    }
    for job, percent in ((working, 40), (working, 50)):
        await report(make_session, job.id, percent)
        (event,) = await some(stream, 1)
        assert (event["job_id"], event["progress"]) == (str(job.id), percent)
    await end(make_session, working.id)
    assert [event["type"] for event in await some(stream, 1)] == ["completed"]
    new = await make_job()
    assert [event["job_id"] for event in await some(stream, 2)] == [str(new.id)] * 2


async def test_a_job_asked_for_meanwhile_is_told(live: httpx.AsyncClient, ask: Ask, job: Job) -> None:
    stream = read(live, "/v1/events")
    await some(stream, 1)
    asked = (await ask()).json()["id"]
    (event,) = await some(stream, 1)
    assert (event["job_id"], event["status"]) == (asked, "pending")


async def test_a_stranger_hears_nothing_of_it(
    server: str, bearer: Bearer, make_user: MakeUser, live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    stranger = await make_user("willoughby@example.org")
    async with httpx.AsyncClient(base_url=server, headers=await bearer(stranger), timeout=60) as other:
        listening = asyncio.create_task(first(other, "/v1/events", 1))
        mine = read(live, "/v1/events")
        await some(mine, 1)
        await report(make_session, job.id, 10)
        await some(mine, 1)
        await asyncio.sleep(0.3)
        assert not listening.done()
        listening.cancel()


async def test_one_who_comes_back_gets_what_was_missed_of_every_job(
    live: httpx.AsyncClient, make_job: MakeJob, make_session: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PAGE", 4)
    jobs = [await make_job() for _ in range(3)]
    position = (await first(live, "/v1/events", 3))[-1]["id"]
    for percent in range(10, 60, 10):
        for job in jobs:
            await report(make_session, job.id, percent)
    await end(make_session, jobs[0].id)
    wanted = {(str(job.id), percent) for job in jobs for percent in range(10, 60, 10)} | {(str(jobs[0].id), 100)}
    told: list[tuple[str, int]] = []
    while wanted - set(told):
        events = await first(live, f"/v1/events?last_event_id={position}", 5 if len(told) < 10 else 2)
        told += [(event["job_id"], event["progress"]) for event in events]
        position = events[-1]["id"]
    for job in jobs:
        percents = [percent for job_id, percent in told if job_id == str(job.id)]
        assert percents == sorted(percents)


@pytest.mark.parametrize("first_to_begin", ["slow", "quick"])
async def test_an_event_that_is_committed_after_later_ones_is_not_lost_to_who_comes_back_between(
    engine: AsyncEngine, user: User, make_job: MakeJob, make_session: Sessions, first_to_begin: str
) -> None:
    """The slow transaction has the lower number: whoever went on from the higher one would never see it."""
    slow_job, quick_job = await make_job(), await make_job()
    news = JobNews(engine)
    running = asyncio.create_task(news.run())
    try:
        with UserReader(engine, news, user.id, None) as reader:
            assert len(await reader.next(PATIENCE_S)) == 2
            async with make_session() as slow, make_session() as hasty:
                if first_to_begin == "quick":
                    await hasty.execute(sa.select(sa.func.pg_current_xact_id()))
                await progress.record(slow, slow_job.id, progress=10)
                await progress.record(hasty, quick_job.id, progress=20)
                await hasty.commit()
                (quick,) = await reader.next(PATIENCE_S)
                assert quick.event.job_id == quick_job.id
                assert quick.position < quick.event.id, "the number before it is not settled"
                await slow.commit()
            (late,) = await reader.next(PATIENCE_S)
        assert late.event.job_id == slow_job.id
        assert late.event.id < quick.event.id
        with UserReader(engine, news, user.id, quick.position) as again:
            assert [told.event.job_id for told in await again.next(PATIENCE_S)] == [slow_job.id, quick_job.id]
    finally:
        running.cancel()


async def test_whoever_leaves_and_comes_back_at_any_moment_is_told_everything(
    engine: AsyncEngine, user: User, make_job: MakeJob, make_session: Sessions
) -> None:
    """Six jobs report at once, each transaction open for a while; readers come and go at random."""
    jobs = [await make_job() for _ in range(6)]
    chance = random.Random(7)
    news = JobNews(engine)
    running = asyncio.create_task(news.run())

    async def work(job_id: UUID) -> None:
        for percent in range(1, 31):
            async with make_session.begin() as session:
                await progress.record(session, job_id, progress=percent)
                await asyncio.sleep(chance.uniform(0, 0.02))

    async def follow() -> list[Told]:
        heard: list[Told] = []
        position: int | None = 0
        while len({told.event.id for told in heard if '"progress": 30' in told.event.data}) < len(jobs):
            with UserReader(engine, news, user.id, position) as reader:
                for _ in range(chance.randint(1, 3)):
                    told = await reader.next(1.0)
                    taken = told[: chance.randint(1, len(told))] if told else []
                    heard += taken
                    position = taken[-1].position if taken else position
                    if len(taken) < len(told):
                        break
        return heard

    try:
        async with asyncio.timeout(2 * PATIENCE_S):
            async with asyncio.TaskGroup() as tasks:
                for job in jobs:
                    tasks.create_task(work(job.id))
                followers = [tasks.create_task(follow()) for _ in range(2)]
    finally:
        running.cancel()
    async with make_session() as session:
        written = set(await session.scalars(sa.select(JobEvent.id).where(JobEvent.user_id == user.id)))
    for follower in followers:
        assert {told.event.id for told in follower.result()} == written


async def test_it_does_not_end_with_its_jobs_and_is_silent_without_any(
    live: httpx.AsyncClient, application: FastAPI, job: Job, make_session: Sessions
) -> None:
    application.state.context.settings.sse_heartbeat_s = 0.05
    async with live.stream("GET", "/v1/events") as response, asyncio.timeout(PATIENCE_S):
        lines = response.aiter_lines()
        seen = [await anext(lines) for _ in range(2)]
        await end(make_session, job.id)
        while "event: completed" not in seen:
            seen.append(await anext(lines))
        seen.clear()
        while len(seen) < 10:
            seen.append(await anext(lines))
        assert ": still here" in seen
