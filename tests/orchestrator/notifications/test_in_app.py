"""What the pages show of jobs that ended, by the user's settings."""

from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.schemas import wants_mail
from orchestrator.jobs import progress
from tests.orchestrator.jobs.conftest import MakeJob, job, make_job, make_media, media

__all__ = ["job", "make_job", "make_media", "media"]

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]


async def fail(make_session: Sessions, job_id: UUID) -> None:
    async with make_session.begin() as session:
        await progress.fail(session, job_id, "no_speech", "There is no speech in it.")


async def test_each_outcome_is_listed_counted_and_read(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, make_session: Sessions, make_job: MakeJob
) -> None:
    done, failed, cancelled = await make_job(), await make_job(), await make_job()
    async with make_session.begin() as session:
        await progress.complete(session, done.id, [])
    await fail(make_session, failed.id)
    await fail(make_session, failed.id)
    await client.post(f"/v1/jobs/{cancelled.id}/cancel")
    listed = (await client.get("/v1/notifications")).json()
    assert [(each["kind"], each["job_id"]) for each in listed["items"]] == [
        ("job_failed", str(failed.id)),
        ("job_completed", str(done.id)),
    ]
    assert "There is no speech in it." in listed["items"][0]["message"]
    assert listed["unread"] == 2
    newest, oldest = (each["id"] for each in listed["items"])
    assert (await stranger.post(f"/v1/notifications/{newest}/read")).status_code == 404
    read = (await client.post(f"/v1/notifications/{newest}/read")).json()["read_at"]
    assert (await client.post(f"/v1/notifications/{newest}/read")).json()["read_at"] == read
    assert (await client.get("/v1/notifications/unread")).json() == {"unread": 1}
    unread = (await client.get("/v1/notifications", params={"unread": True})).json()["items"]
    assert [each["id"] for each in unread] == [oldest]
    page = (await client.get("/v1/notifications", params={"limit": 1})).json()
    rest = (await client.get("/v1/notifications", params={"limit": 1, "cursor": page["next_cursor"]})).json()
    assert [each["items"][0]["id"] for each in (page, rest)] == [newest, oldest]
    assert (await client.post("/v1/notifications/read")).json() == {"unread": 0}
    assert (await client.delete(f"/v1/notifications/{oldest}")).status_code == 204
    assert (await client.delete(f"/v1/notifications/{oldest}")).status_code == 404


async def test_what_came_after_the_newest_seen_stays_unread(
    client: httpx.AsyncClient, make_session: Sessions, make_job: MakeJob
) -> None:
    await fail(make_session, (await make_job()).id)
    seen = (await client.get("/v1/notifications")).json()["items"][0]["id"]
    await fail(make_session, (await make_job()).id)
    assert (await client.post("/v1/notifications/read", params={"newest": seen})).json() == {"unread": 1}


@pytest.mark.parametrize("off", ["in_app", "job_failed"])
async def test_whoever_wants_none_gets_none(
    client: httpx.AsyncClient, make_session: Sessions, make_job: MakeJob, off: str
) -> None:
    changed = await client.patch("/v1/me/settings", json={"notifications": {off: False}})
    assert changed.json()["notifications"][off] is False
    await fail(make_session, (await make_job()).id)
    assert (await client.get("/v1/notifications")).json()["items"] == []


@pytest.mark.parametrize(
    ("chosen", "mailed"),
    [({}, True), ({"email": False}, False), ({"job_completed": False}, False), ({"in_app": False}, True)],
)
def test_mails_come_by_kind_and_way(chosen: dict[str, bool], mailed: bool) -> None:
    assert wants_mail(chosen, "job_completed") is mailed
