"""Server-sent events: from the start, from where one was, live, to the end, through a restart of the database."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.database import EmbeddedPostgres
from orchestrator.jobs import progress
from orchestrator.jobs.models import Job
from orchestrator.settings import Settings

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]


async def report(make_session: Sessions, job_id: UUID, percent: int) -> None:
    async with make_session.begin() as session:
        await progress.record(session, job_id, progress=percent)


async def end(make_session: Sessions, job_id: UUID) -> None:
    async with make_session.begin() as session:
        await progress.complete(session, job_id, [])


async def read(
    client: httpx.AsyncClient, job: Job, headers: dict[str, str] | None = None
) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream, each with its id and type."""
    async with client.stream("GET", f"/v1/jobs/{job.id}/events", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-cache"
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            else:
                if "data" in fields:
                    yield {"id": int(fields["id"]), "type": fields["event"], **json.loads(fields["data"])}
                fields = {}


async def percents(client: httpx.AsyncClient, job: Job, headers: dict[str, str] | None = None) -> list[int]:
    return [event["progress"] async for event in read(client, job, headers)]


async def test_an_ended_job_is_told_from_the_start_and_then_it_ends(
    live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    for percent in (10, 50):
        await report(make_session, job.id, percent)
    await end(make_session, job.id)
    events = [event async for event in read(live, job)]
    assert [event["type"] for event in events] == ["progress"] * 4 + ["completed"]
    assert [event["progress"] for event in events] == [0, 0, 10, 50, 100]
    assert [event["id"] for event in events] == sorted({event["id"] for event in events})


async def test_one_who_comes_back_gets_what_was_missed(
    live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    for percent in (10, 50):
        await report(make_session, job.id, percent)
    await end(make_session, job.id)
    events = [event async for event in read(live, job)]
    for position, event in enumerate(events[:-1]):
        missed = [each async for each in read(live, job, {"Last-Event-ID": str(event["id"])})]
        assert missed == events[position + 1 :]


async def test_one_who_has_it_all_is_told_not_to_come_back(
    live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    await end(make_session, job.id)
    last = [event async for event in read(live, job)][-1]["id"]
    answer = await live.get(f"/v1/jobs/{job.id}/events", headers={"Last-Event-ID": str(last)})
    assert answer.status_code == 204


@pytest.mark.parametrize("bad", ["x", "-1", "99999999999999999999"])
async def test_a_position_that_is_none_is_refused(live: httpx.AsyncClient, job: Job, bad: str) -> None:
    assert (await live.get(f"/v1/jobs/{job.id}/events", headers={"Last-Event-ID": bad})).status_code == 422


async def test_events_come_as_they_happen(live: httpx.AsyncClient, job: Job, make_session: Sessions) -> None:
    stream = read(live, job)
    assert [(await anext(stream))["progress"] for _ in range(2)] == [0, 0]
    for percent in (20, 40, 60):
        await report(make_session, job.id, percent)
        async with asyncio.timeout(10):  # far less than the 15 s after which a stream looks by itself
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
    async with live.stream("GET", f"/v1/jobs/{job.id}/events") as response, asyncio.timeout(10):
        async for line in response.aiter_lines():
            if line.startswith(":"):
                break


async def test_streams_that_end_are_forgotten(
    application: FastAPI, live: httpx.AsyncClient, job: Job, make_session: Sessions
) -> None:
    news = application.state.context.news
    stream = read(live, job)
    await anext(stream)
    assert list(news._waiting) == [job.id]
    await end(make_session, job.id)
    assert [event["type"] async for event in stream][-1] == "completed"
    assert not news._waiting


async def test_a_stream_goes_on_after_a_restart_of_the_database(
    live: httpx.AsyncClient, postgres: EmbeddedPostgres, job: Job, make_session: Sessions
) -> None:
    stream = read(live, job)
    for _ in range(2):
        await anext(stream)
    await asyncio.to_thread(postgres.stop)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(postgres.start)
    await report(make_session, job.id, 30)
    async with asyncio.timeout(14):
        assert (await anext(stream))["progress"] == 30
    await end(make_session, job.id)
    assert [event["type"] async for event in stream] == ["completed"]
