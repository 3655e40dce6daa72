"""Server-sent events of a job: from the start, from where one was, live, to the end, through a restart."""

import asyncio

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.database import EmbeddedPostgres
from orchestrator.jobs import events, following, progress
from orchestrator.jobs.following import JobReader
from orchestrator.jobs.models import Job
from orchestrator.settings import Settings
from tests.orchestrator.jobs.conftest import MakeJob
from tests.orchestrator.jobs.event_streams import PATIENCE_S, end, first, read, report, some

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]


def url(job: Job) -> str:
    return f"/v1/jobs/{job.id}/events"


async def percents(client: httpx.AsyncClient, job: Job) -> list[int]:
    return [event["progress"] async for event in read(client, url(job))]


async def test_an_ended_job_is_told_from_the_start_and_then_it_ends(
    live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    for percent in (10, 50):
        await report(make_session, job.id, percent)
    await end(make_session, job.id)
    told = [event async for event in read(live, url(job))]
    assert [event["type"] for event in told] == ["progress"] * 4 + ["completed"]
    assert [event["progress"] for event in told] == [0, 0, 10, 50, 100]
    assert [event["id"] for event in told] == sorted({event["id"] for event in told})


async def test_one_who_comes_back_gets_what_was_missed(
    live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    for percent in (10, 50):
        await report(make_session, job.id, percent)
    await end(make_session, job.id)
    told = [event async for event in read(live, url(job))]
    for position, event in enumerate(told[:-1]):
        missed = [each async for each in read(live, url(job), {"Last-Event-ID": str(event["id"])})]
        assert missed == told[position + 1 :]


async def test_one_who_has_it_all_is_told_not_to_come_back(
    live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    await end(make_session, job.id)
    last = [event async for event in read(live, url(job))][-1]["id"]
    answer = await live.get(url(job), headers={"Last-Event-ID": str(last)})
    assert answer.status_code == 204


@pytest.mark.parametrize("bad", ["x", "-1", "99999999999999999999"])
async def test_a_position_that_is_none_is_refused(live: httpx.AsyncClient, job: Job, bad: str) -> None:
    assert (await live.get(url(job), headers={"Last-Event-ID": bad})).status_code == 422


async def test_events_come_as_they_happen(live: httpx.AsyncClient, job: Job, make_session: Sessions) -> None:
    stream = read(live, url(job))
    assert [(await anext(stream))["progress"] for _ in range(2)] == [0, 0]
    for percent in (20, 40, 60):
        await report(make_session, job.id, percent)
        async with asyncio.timeout(PATIENCE_S):
            assert (await anext(stream))["progress"] == percent
    await end(make_session, job.id)
    assert [event["type"] async for event in stream] == ["completed"]


async def test_many_readers_of_many_jobs_all_see_everything(
    live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    readers = [asyncio.create_task(percents(live, job)) for _ in range(20)]
    await asyncio.sleep(0.3)
    for percent in range(5, 100, 5):
        await report(make_session, job.id, percent)
    await end(make_session, job.id)
    assert {tuple(seen) for seen in await asyncio.gather(*readers)} == {(0, 0, *range(5, 101, 5))}


async def test_a_silence_is_filled_with_signs_of_life(
    live: httpx.AsyncClient, job: Job, app_settings: Settings
) -> None:
    app_settings.sse_heartbeat_s = 0.05
    async with live.stream("GET", url(job)) as response, asyncio.timeout(PATIENCE_S):
        async for line in response.aiter_lines():
            if line.startswith(":"):
                break


async def test_streams_that_end_are_forgotten(
    application: FastAPI, live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    news = application.state.context.news
    stream = read(live, url(job))
    await anext(stream)
    assert list(news._followers) == [job.id]
    await end(make_session, job.id)
    assert [event["type"] async for event in stream][-1] == "completed"
    assert not news._followers


async def test_a_stream_goes_on_after_a_restart_of_the_database(
    live: httpx.AsyncClient, postgres: EmbeddedPostgres, job: Job, make_session: Sessions
) -> None:
    stream = read(live, url(job))
    for _ in range(2):
        await anext(stream)
    await asyncio.to_thread(postgres.stop)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(postgres.start)
    await report(make_session, job.id, 30)
    async with asyncio.timeout(PATIENCE_S):
        assert (await anext(stream))["progress"] == 30
    await end(make_session, job.id)
    assert [event["type"] async for event in stream] == ["completed"]


async def test_the_position_may_stand_in_the_url_and_the_further_one_counts(
    live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    for percent in (10, 20, 30):
        await report(make_session, job.id, percent)
    ids = [event["id"] for event in await first(live, url(job), 5)]
    in_url = f"{url(job)}?last_event_id={ids[2]}"
    assert (await first(live, in_url, 1))[0]["progress"] == 20
    assert (await first(live, in_url, 1, **{"Last-Event-ID": str(ids[3])}))[0]["progress"] == 30
    assert (await first(live, in_url, 1, **{"Last-Event-ID": str(ids[0])}))[0]["progress"] == 20
    assert (await live.get(f"{url(job)}?last_event_id=x")).status_code == 422


async def test_a_client_is_told_when_to_come_back_and_not_all_at_once(live: httpx.AsyncClient, job: Job) -> None:
    told = set()
    for _ in range(8):
        async with live.stream("GET", url(job)) as response, asyncio.timeout(PATIENCE_S):
            told.add(await anext(response.aiter_lines()))
    assert all(1500 <= int(line.removeprefix("retry: ")) <= 4500 for line in told)
    assert len(told) > 1


async def test_what_is_told_says_of_which_job_and_when_and_in_words(
    live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    await report(make_session, job.id, 10)
    pending, started, _ = await first(live, url(job), 3)
    assert (pending["message"], started["message"]) == ("Waiting for a free place", "Started")
    assert {event["job_id"] for event in (pending, started)} == {str(job.id)}
    assert pending["event_id"] == pending["id"]
    assert pending["at"] < started["at"]


class Reads:
    """Counts the statements that read the table of events."""

    def __init__(self, application: FastAPI) -> None:
        self.count = 0
        sa.event.listen(application.state.context.engine.sync_engine, "before_cursor_execute", self._note)

    def _note(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self.count += "from job_event" in statement.lower()


async def test_one_read_serves_all_streams_of_all_jobs(
    application: FastAPI,
    live: httpx.AsyncClient,
    make_job: MakeJob,
    make_session: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "LONGEST_PAUSE_S", 3600.0)
    jobs = [await make_job() for _ in range(10)]
    streams = [read(live, url(job)) for job in jobs for _ in range(3)]
    for stream in streams:
        await some(stream, 2)
    reads = Reads(application)
    async with make_session.begin() as session:
        for job in jobs:
            await progress.record(session, job.id, progress=40)
    for stream in streams:
        assert [event["progress"] for event in await some(stream, 1)] == [40]
    assert 1 <= reads.count <= 3, "one commit, one read, not one for each of 30 streams"


async def test_while_nobody_follows_nothing_is_read(
    application: FastAPI, live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    await first(live, url(job), 2)
    news = application.state.context.news
    async with asyncio.timeout(PATIENCE_S):
        while news._followers:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await report(make_session, job.id, 10)  # ends the wait of the reader
        while news._begun.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    reads = Reads(application)
    for percent in range(11, 20):
        await report(make_session, job.id, percent)
    await asyncio.sleep(0.5)
    assert reads.count == 0
    assert [event["progress"] for event in await first(live, url(job), 12)] == [0, 0, *range(10, 20)]


async def test_a_client_that_reads_slowly_is_held_in_bounded_memory_and_misses_nothing(
    application: FastAPI, job: Job, make_session: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_WAITING", 10)
    context = application.state.context
    with JobReader(context.engine, context.news, job.id, 0) as reader:
        assert len(await reader.next(PATIENCE_S)) == 2
        for percent in range(1, 60):
            await report(make_session, job.id, percent)
            assert len(reader._subscription._events) <= 10
        async with asyncio.timeout(PATIENCE_S):
            while not reader._subscription.overflowed:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert reader._subscription._events == []
        told = [each.event.data for each in await reader.next(PATIENCE_S)]
        assert len(told) == 59
        await report(make_session, job.id, 60)
        assert len(await reader.next(PATIENCE_S)) == 1


async def test_a_long_history_is_told_in_pages(
    application: FastAPI, live: httpx.AsyncClient, job: Job, make_session: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (events, following):
        monkeypatch.setattr(module, "PAGE", 3)
    for percent in range(1, 20):
        await report(make_session, job.id, percent)
    await end(make_session, job.id)
    assert await percents(live, job) == [0, 0, *range(1, 20), 100]
