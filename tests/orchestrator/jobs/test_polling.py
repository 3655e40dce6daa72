"""Cheap polling: 304 while nothing has changed, 200 as soon as anything that is shown has."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.jobs import polling, progress, waiting
from orchestrator.jobs.models import Artifact, Job
from tests.orchestrator.jobs.conftest import Ask, MakeJob
from tests.orchestrator.jobs.test_job_progress import ARTIFACT

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]
Change = Callable[[AsyncSession, UUID], Awaitable[object]]


async def changed(make_session: Sessions, job_id: UUID, change: Change) -> None:
    async with make_session.begin() as session:
        await change(session, job_id)


async def set_(session: AsyncSession, job_id: UUID, **values: Any) -> None:
    await session.execute(sa.update(Job).where(Job.id == job_id).values(**values))


URLS = ("/v1/jobs/{id}", "/v1/jobs", "/v1/jobs?status=processing&limit=1")


@pytest.mark.parametrize("url", URLS)
async def test_while_nothing_changes_nothing_is_sent(client: httpx.AsyncClient, job: Job, url: str) -> None:
    url = url.format(id=job.id)
    first = await client.get(url)
    assert first.status_code == 200
    assert first.headers["ETag"].startswith('W/"')
    again = await client.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    for answer in (first, again):
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert "Authorization" in answer.headers["Vary"]
    assert again.headers["ETag"] == first.headers["ETag"]
    assert "Content-Type" not in again.headers


CHANGES: dict[str, Change] = {
    "progress": lambda session, id_: progress.record(session, id_, progress=10),
    "a warning": lambda session, id_: progress.warn(session, id_, "toy", "A toy."),
    "the language": lambda session, id_: set_(session, id_, detected_language="en"),
    "cancelled": progress.cancel,
    "failed": lambda session, id_: progress.fail(session, id_, "x", "y"),
    "completed": lambda session, id_: progress.complete(session, id_, [ARTIFACT]),
}


@pytest.mark.parametrize("change", list(CHANGES))
@pytest.mark.parametrize("url", ["/v1/jobs/{id}", "/v1/jobs"])
async def test_whatever_changes_is_sent(
    client: httpx.AsyncClient, make_session: Sessions, job: Job, url: str, change: str
) -> None:
    url = url.format(id=job.id)
    before = await client.get(url)
    await changed(make_session, job.id, CHANGES[change])
    after = await client.get(url, headers={"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200
    assert after.json() != before.json()
    assert after.headers["ETag"] != before.headers["ETag"]
    assert (await client.get(url, headers={"If-None-Match": after.headers["ETag"]})).status_code == 304


async def test_files_that_come_or_go_are_news_of_their_job(
    client: httpx.AsyncClient, make_session: Sessions, job: Job
) -> None:
    await changed(make_session, job.id, lambda session, id_: progress.complete(session, id_, [ARTIFACT]))
    url = f"/v1/jobs/{job.id}"
    full = await client.get(url)
    statement = sa.update(Artifact).where(Artifact.job_id == job.id).values(size=11)
    await changed(make_session, job.id, lambda session, _: session.execute(statement))
    larger = await client.get(url, headers={"If-None-Match": full.headers["ETag"]})
    assert larger.json()["artifacts"][0]["size"] == 11
    gone = sa.delete(Artifact).where(Artifact.job_id == job.id)
    await changed(make_session, job.id, lambda session, _: session.execute(gone))
    empty = await client.get(url, headers={"If-None-Match": larger.headers["ETag"]})
    assert (empty.status_code, empty.json()["artifacts"]) == (200, [])


async def test_of_changes_that_are_undone_the_tag_stays_different(
    client: httpx.AsyncClient, make_session: Sessions, job: Job
) -> None:
    tags = []
    for language in ("en", "es", "en"):
        await changed(make_session, job.id, lambda session, id_, to=language: set_(session, id_, detected_language=to))  # type: ignore[misc]
        tags.append((await client.get(f"/v1/jobs/{job.id}")).headers["ETag"])
    assert len(set(tags)) == 3


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("{tag}", 304),
        ("{strong}", 304),
        ('"other", {tag}', 304),
        ("*", 304),
        ('W/"other"', 200),
        ('"{tag}"', 200),
        ("", 200),
        ("nonsense", 200),
    ],
)
async def test_tags_are_compared_weakly(client: httpx.AsyncClient, job: Job, given: str, status: int) -> None:
    tag = (await client.get(f"/v1/jobs/{job.id}")).headers["ETag"]
    header = given.format(tag=tag, strong=tag.removeprefix("W/"))
    for url in ("/v1/jobs", f"/v1/jobs/{job.id}"):
        if url == "/v1/jobs":
            own = (await client.get(url)).headers["ETag"]
            header_of = given.format(tag=own, strong=own.removeprefix("W/"))
        else:
            header_of = header
        assert (await client.get(url, headers={"If-None-Match": header_of})).status_code == status


async def test_a_tag_opens_nothing(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, anonymous_url: str, job: Job
) -> None:
    tag = (await client.get(anonymous_url)).headers["ETag"]
    for given in (tag, "*"):
        assert (await stranger.get(anonymous_url, headers={"If-None-Match": given})).status_code == 404
        assert (await client.get(f"/v1/jobs/{uuid4()}", headers={"If-None-Match": given})).status_code == 404
    mine = (await client.get("/v1/jobs")).headers["ETag"]
    theirs = await stranger.get("/v1/jobs", headers={"If-None-Match": mine})
    assert (theirs.status_code, theirs.json()["items"]) == (200, [])


@pytest.fixture
def anonymous_url(job: Job) -> str:
    return f"/v1/jobs/{job.id}"


async def test_a_page_is_new_when_a_job_is_added_and_when_there_is_a_next_one(
    client: httpx.AsyncClient, make_job: MakeJob
) -> None:
    await make_job()
    one = await client.get("/v1/jobs?limit=1")
    assert one.json()["next_cursor"] is None
    await make_job()
    two = await client.get("/v1/jobs?limit=1", headers={"If-None-Match": one.headers["ETag"]})
    assert two.status_code == 200
    assert two.json()["next_cursor"] is not None
    older = await client.get(f"/v1/jobs?limit=1&cursor={two.json()['next_cursor']}")
    assert older.json()["items"] == one.json()["items"]


async def test_304_asks_for_no_artifacts_and_no_whole_row(
    application: FastAPI, client: httpx.AsyncClient, job: Job
) -> None:
    said: list[str] = []
    url = f"/v1/jobs/{job.id}"
    tag = (await client.get(url)).headers["ETag"]
    engine = application.state.context.engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", lambda *given: said.append(given[2]))
    assert (await client.get(url, headers={"If-None-Match": tag})).status_code == 304
    of_jobs = [statement for statement in said if "FROM job" in statement or "artifact" in statement]
    assert len(of_jobs) == 1
    assert "counts" not in of_jobs[0]


async def test_an_estimate_is_told_while_it_holds(client: httpx.AsyncClient, make_session: Sessions, job: Job) -> None:
    url = f"/v1/jobs/{job.id}"
    assert (await client.get(url)).json()["eta_seconds"] is None
    soon = datetime.now(UTC) + timedelta(seconds=8)
    await changed(make_session, job.id, lambda session, id_: set_(session, id_, estimated_finish_at=soon))
    told = await client.get(url)
    assert told.json()["eta_seconds"] in range(1, 9)
    assert datetime.fromisoformat(told.json()["estimated_finish_at"]) == soon
    await asyncio.sleep(8.1)
    late = await client.get(url, headers={"If-None-Match": told.headers["ETag"]})
    assert late.status_code == 200, "no row has changed, but what is shown of it has"
    assert (late.json()["eta_seconds"], late.json()["estimated_finish_at"]) == (None, None)
    assert (await client.get(url, headers={"If-None-Match": late.headers["ETag"]})).status_code == 304
    (listed,) = (await client.get("/v1/jobs")).json()["items"]
    assert listed["eta_seconds"] is None


async def test_an_ended_job_has_no_estimate(client: httpx.AsyncClient, make_session: Sessions, job: Job) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    await changed(make_session, job.id, lambda session, id_: set_(session, id_, estimated_finish_at=later))
    await changed(make_session, job.id, progress.cancel)
    shown = (await client.get(f"/v1/jobs/{job.id}")).json()
    assert (shown["eta_seconds"], shown["message"]) == (None, "Cancelled")


async def test_a_waiting_job_says_where_it_stands_and_moves_up(
    client: httpx.AsyncClient, ask: Ask, make_session: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "FRESH_S", 0.0)
    jobs = [(await ask()).json() for _ in range(3)]
    assert [job["queue_position"] for job in jobs] == [1, 2, 3]
    assert jobs[0]["message"] == "Waiting for a free place"
    last = f"/v1/jobs/{jobs[2]['id']}"
    before = await client.get(last)
    assert before.json()["queue_position"] == 3
    assert (await client.get(last, headers={"If-None-Match": before.headers["ETag"]})).status_code == 304
    await changed(make_session, UUID(jobs[0]["id"]), progress.start)
    after = await client.get(last, headers={"If-None-Match": before.headers["ETag"]})
    assert (after.status_code, after.json()["queue_position"]) == (200, 2)
    listed = (await client.get("/v1/jobs")).json()["items"]
    assert [(each["status"], each["queue_position"]) for each in listed] == [
        ("pending", 2),
        ("pending", 1),
        ("processing", None),
    ]


def test_the_tag_depends_on_the_shape_of_the_answer() -> None:
    assert polling.SHAPE in polling.tag(uuid4(), [])
