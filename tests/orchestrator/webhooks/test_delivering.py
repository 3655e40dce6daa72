"""Webhooks through the durable queue to a real receiver: each arrives, signed, whatever fails on the way."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.jobs import progress
from orchestrator.jobs.models import Job
from orchestrator.notifications.models import Notification
from orchestrator.settings import Settings
from orchestrator.webhooks import schedule, sending
from tests.fixtures_worker import worker_process
from tests.orchestrator.jobs.conftest import MakeJob
from tests.orchestrator.webhooks.conftest import Register, until
from tests.standins.hook import Call, HookReceiver, Reply
from tests.standins.smtp import SmtpServer

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two attempts more, each after a moment."""
    monkeypatch.setattr(schedule, "PAUSES_S", (0.2, 0.2))


@pytest.fixture
def allowing() -> dict[str, str]:
    """What a worker of its own is told, so that it may send to the receiver."""
    return {"OCTAVIA_WEBHOOKS_LOCAL": "true", "OCTAVIA_WEBHOOK_TIMEOUT_S": "5"}


async def complete(make_session: Sessions, job: Job) -> None:
    async with make_session.begin() as session:
        assert await progress.complete(session, job.id, [])


async def logged(client: httpx.AsyncClient, endpoint: dict[str, Any], status: str) -> Any:
    """The endpoint's deliveries, once there are some and all of them have that status."""

    async def look() -> Any:
        items = (await client.get(f"/v1/webhooks/{endpoint['id']}/deliveries")).json()["items"]
        return items if items and {each["status"] for each in items} == {status} else None

    return await until(look)


async def change(engine: AsyncEngine, statement: str, **values: object) -> None:
    async with engine.begin() as connection:
        await connection.execute(sa.text(statement), values)


@pytest.mark.usefixtures("worker")
async def test_a_completed_job_is_told_to_whoever_asked_and_verifies(
    client: httpx.AsyncClient, register: Register, receiver: HookReceiver, make_session: Sessions, make_job: MakeJob
) -> None:
    endpoint = await register()
    deaf = await register(events=["job.failed"])
    job = await make_job()
    await complete(make_session, job)
    [delivery] = await logged(client, endpoint, "delivered")
    [call] = receiver.calls
    said = call.verified(endpoint["secret"])
    assert not call.is_from(deaf["secret"])
    assert said == {
        "type": "job.completed",
        "timestamp": said["timestamp"],
        "data": {
            "id": str(job.id),
            "kind": "video_translation",
            "status": "completed",
            "media_id": str(job.media_id),
            "links": {"job": f"/v1/jobs/{job.id}", "artifacts": f"/v1/jobs/{job.id}/artifacts"},
        },
    }
    assert datetime.fromisoformat(said["timestamp"]).tzinfo is not None
    assert "Sensibility" not in call.body.decode()
    assert (call.id, call.headers["content-type"]) == (delivery["id"], "application/json")
    assert delivery["job_id"] == str(job.id)
    [attempt] = delivery["attempts"]
    assert (attempt["number"], attempt["status_code"], attempt["error"]) == (1, 204, None)
    detail = (await client.get(f"/v1/webhooks/{endpoint['id']}/deliveries/{delivery['id']}")).json()
    assert detail["body"].encode() == call.body
    assert (await client.get(f"/v1/webhooks/{deaf['id']}/deliveries")).json()["items"] == []


@pytest.mark.usefixtures("worker")
async def test_a_whole_life_is_told_in_events(
    client: httpx.AsyncClient, register: Register, receiver: HookReceiver, make_session: Sessions, make_job: MakeJob
) -> None:
    endpoint = await register(events=["job.started", "job.failed", "job.cancelled"])
    failing, cancelled = await make_job(), await make_job()
    async with make_session.begin() as session:
        await progress.fail(session, failing.id, "no_speech", "Nobody said “a secret sentence”.")
    assert (await client.post(f"/v1/jobs/{cancelled.id}/cancel")).status_code == 200

    async def four() -> bool:
        return len(receiver.calls) == 4

    await until(four)
    said = [call.verified(endpoint["secret"]) for call in receiver.calls]
    assert sorted((each["type"], each["data"]["status"]) for each in said) == [
        ("job.cancelled", "cancelled"),
        ("job.failed", "failed"),
        ("job.started", "processing"),
        ("job.started", "processing"),
    ]
    [failed] = [each for each in said if each["type"] == "job.failed"]
    assert failed["data"]["error"] == {"code": "no_speech"}
    assert not any(b"secret sentence" in call.body for call in receiver.calls)


@pytest.mark.usefixtures("worker", "soon")
async def test_it_is_tried_again_under_the_same_id_until_it_is_taken(
    client: httpx.AsyncClient, register: Register, receiver: HookReceiver, make_session: Sessions, job: Job
) -> None:
    endpoint = await register()
    receiver.replies.extend([Reply(503, body=b"not now"), Reply(0)])
    await complete(make_session, job)
    [delivery] = await logged(client, endpoint, "delivered")
    assert len({call.id for call in receiver.calls}) == 1
    assert all(call.is_from(endpoint["secret"]) for call in receiver.calls)
    first, second, third = delivery["attempts"]
    assert (first["status_code"], first["error"], first["excerpt"]) == (503, "the endpoint answered 503", "not now")
    assert (second["status_code"], second["error"].startswith("no connection")) == (None, True)
    assert (third["status_code"], third["error"]) == (204, None)
    assert (await client.get(f"/v1/webhooks/{endpoint['id']}")).json()["failing_since"] is None


@pytest.mark.usefixtures("worker", "soon")
async def test_what_was_given_up_is_sent_again_when_its_owner_asks(
    client: httpx.AsyncClient, register: Register, receiver: HookReceiver, make_session: Sessions, job: Job
) -> None:
    endpoint = await register()
    receiver.then = Reply(302, {"Location": receiver.url + "/elsewhere"})
    await complete(make_session, job)
    [failed] = await logged(client, endpoint, "failed")
    assert (len(failed["attempts"]), failed["error"]) == (3, "the endpoint answered 302")
    assert {call.path for call in receiver.calls} == {"/hook"}
    receiver.then = Reply()
    again = await client.post(f"/v1/webhooks/{endpoint['id']}/deliveries/{failed['id']}/redeliver")
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    [delivered] = await logged(client, endpoint, "delivered")
    assert (delivered["id"], len(delivered["attempts"]), delivered["error"]) == (failed["id"], 4, None)
    assert {call.id for call in receiver.calls} == {failed["id"]}
    twice = await client.post(f"/v1/webhooks/{endpoint['id']}/deliveries/{failed['id']}/redeliver")
    assert twice.status_code == 202  # also what has arrived, for a receiver that has lost it


@pytest.mark.usefixtures("worker")
async def test_while_secrets_change_both_sign(
    client: httpx.AsyncClient, register: Register, receiver: HookReceiver, engine: AsyncEngine
) -> None:
    endpoint = await register()
    at = f"/v1/webhooks/{endpoint['id']}"
    new = (await client.post(f"{at}/rotate-secret")).json()["secret"]
    assert (await client.post(f"{at}/ping")).status_code == 202
    await logged(client, endpoint, "delivered")
    assert [receiver.calls[0].is_from(each) for each in (endpoint["secret"], new)] == [True, True]
    await change(engine, "update webhook_endpoint set previous_until = now() - interval '1 second'")
    await client.post(f"{at}/ping")

    async def second() -> bool:
        return len(receiver.calls) == 2

    await until(second)
    assert [receiver.calls[1].is_from(each) for each in (endpoint["secret"], new)] == [False, True]


@pytest.mark.usefixtures("worker", "soon")
@pytest.mark.parametrize(
    ("answer", "why", "attempts"), [(Reply(410), "gone", 1), (Reply(500), "failing", 1)], ids=["gone", "failing"]
)
async def test_an_endpoint_that_is_gone_or_failed_for_days_is_switched_off_and_its_owner_told(
    client: httpx.AsyncClient,
    register: Register,
    receiver: HookReceiver,
    make_session: Sessions,
    engine: AsyncEngine,
    make_job: MakeJob,
    smtp: SmtpServer,
    answer: Reply,
    why: str,
    attempts: int,
) -> None:
    endpoint = await register()
    receiver.then = answer
    if why == "failing":
        await change(engine, "update webhook_endpoint set failing_since = now() - interval '73 hours'")
    await complete(make_session, await make_job())
    [delivery] = await logged(client, endpoint, "failed")
    assert len(delivery["attempts"]) == attempts
    assert (await client.get(f"/v1/webhooks/{endpoint['id']}")).json()["disabled_why"] == why
    told = (await client.get("/v1/notifications")).json()["items"]
    assert [each["kind"] for each in told] == ["webhook_disabled", "job_completed"]
    assert f"127.0.0.1:{receiver.port}" in told[0]["message"]

    async def mailed() -> bool:
        return len(smtp.received) == 2

    await until(mailed)
    assert any("webhook" in str(each.message["Subject"]).lower() for each in smtp.received)
    await complete(make_session, await make_job())
    await asyncio.sleep(2)
    assert len(receiver.calls) == attempts


@pytest.mark.usefixtures("worker")
async def test_a_ping_is_tried_once(client: httpx.AsyncClient, register: Register, receiver: HookReceiver) -> None:
    endpoint = await register()
    receiver.then = Reply(500)
    ping = await client.post(f"/v1/webhooks/{endpoint['id']}/ping")
    [delivery] = await logged(client, endpoint, "failed")
    assert (delivery["id"], delivery["event"], len(delivery["attempts"])) == (ping.json()["id"], "webhook.ping", 1)
    assert receiver.calls[0].verified(endpoint["secret"])["data"] == {"endpoint_id": endpoint["id"]}


@pytest.mark.usefixtures("worker", "soon")
async def test_an_endpoint_that_leads_inside_by_the_time_of_sending_is_not_called(
    client: httpx.AsyncClient, register: Register, receiver: HookReceiver, engine: AsyncEngine
) -> None:
    endpoint = await register()
    inside = f"http://10.0.0.1:{receiver.port}/"  # as if the settings had been laxer when it was made
    await change(engine, "update webhook_endpoint set url = :url", url=inside)
    await client.post(f"/v1/webhooks/{endpoint['id']}/ping")
    [delivery] = await logged(client, endpoint, "failed")
    assert "not a public address" in delivery["error"]
    assert receiver.calls == []


async def test_a_delivery_that_nothing_looks_after_is_given_up(
    client: httpx.AsyncClient, register: Register, engine: AsyncEngine
) -> None:
    endpoint = await register()
    await client.post(f"/v1/webhooks/{endpoint['id']}/ping")
    await change(engine, "update webhook_delivery set created_at = now() - interval '2 minutes'")
    await sending.give_up_lost(engine)
    listed = (await client.get(f"/v1/webhooks/{endpoint['id']}/deliveries")).json()["items"]
    assert [each["status"] for each in listed] == ["pending"]  # its workflow waits in the queue
    await change(engine, "update dbos.workflow_status set status = 'CANCELLED'")
    await sending.give_up_lost(engine)
    listed = (await client.get(f"/v1/webhooks/{endpoint['id']}/deliveries")).json()["items"]
    assert [(each["status"], each["error"]) for each in listed] == [("failed", "given up: its workflow is gone")]


async def test_a_worker_killed_between_the_outcome_and_the_notices_leaves_each_once(
    client: httpx.AsyncClient,
    register: Register,
    receiver: HookReceiver,
    make_session: Sessions,
    engine: AsyncEngine,
    job: Job,
    user: User,
    smtp: SmtpServer,
    app_settings: Settings,
    tmp_path: Path,
    allowing: dict[str, str],
) -> None:
    endpoint = await register()
    held = sa.text("select 1 from webhook_endpoint for update")
    async with engine.connect() as holding:
        await holding.execute(held)
        with worker_process(app_settings, tmp_path, "first", **allowing) as first:
            await complete(make_session, job)

            async def in_the_middle() -> bool:
                async with engine.connect() as connection:
                    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
                    return bool(await connection.scalar(sa.text(waiting)))

            await until(in_the_middle)  # the mail's row is written and not committed
            first.kill()
            first.wait()
        await holding.rollback()
    with worker_process(app_settings, tmp_path, "second", **allowing):
        [delivery] = await logged(client, endpoint, "delivered")

        async def mailed() -> bool:
            return bool(smtp.received)

        await until(mailed)
    assert [call.id for call in receiver.calls] == [delivery["id"]]
    assert len(smtp.received) == 1
    async with make_session() as session:
        there = (await session.scalars(sa.select(Notification).where(Notification.user_id == user.id))).all()
    assert [(each.kind, each.job_id) for each in there] == [("job_completed", job.id)]


async def test_a_worker_killed_while_the_endpoint_answers_sends_it_again_under_the_same_id(
    client: httpx.AsyncClient,
    register: Register,
    receiver: HookReceiver,
    make_session: Sessions,
    job: Job,
    app_settings: Settings,
    tmp_path: Path,
    allowing: dict[str, str],
) -> None:
    endpoint = await register()
    with worker_process(app_settings, tmp_path, "first", **allowing) as first:

        def kill(_: Call) -> None:
            first.kill()
            first.wait()

        receiver.on_call = kill
        await complete(make_session, job)
        await until(lambda: asyncio.to_thread(lambda: first.poll() is not None))
    receiver.on_call = lambda _: None
    with worker_process(app_settings, tmp_path, "second", **allowing):
        [delivery] = await logged(client, endpoint, "delivered")
    assert [call.id for call in receiver.calls] == [delivery["id"]] * 2
    assert json.loads(receiver.calls[0].body) == receiver.calls[1].verified(endpoint["secret"])
    assert [(each["number"], each["status_code"]) for each in delivery["attempts"]] == [(1, None), (2, 204)]
    listed = (await client.get("/v1/notifications")).json()
    assert [each["job_id"] for each in listed["items"]] == [str(job.id)]
    assert datetime.fromisoformat(delivery["created_at"]) < datetime.now(UTC)
