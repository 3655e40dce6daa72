"""A failed or cancelled job tried again: what is refused, what is held, and who follows it from then on."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.accounts.models import User
from orchestrator.credits import ledger, spending
from orchestrator.credits.models import CreditEntry
from orchestrator.jobs import durable, keys, progress
from orchestrator.jobs.following import events_after
from orchestrator.jobs.models import Job, JobAttempt
from orchestrator.jobs.sweeper import sweep
from orchestrator.media.models import Media
from orchestrator.storage import Storage
from tests.fixtures_control_plane import QueueStandIn
from tests.orchestrator.jobs.conftest import MakeJob, Sessions

pytestmark = pytest.mark.anyio

Ended = Callable[..., Awaitable[Job]]
PRICE = 10


@pytest.fixture
async def source(media: Media, storage: Storage) -> Media:
    """The media's file."""
    await storage.put_bytes(media.storage_key, b"1")
    return media


@pytest.fixture
def ended(make_job: MakeJob, make_session: Sessions, user: User, source: Media) -> Ended:
    """A job that held its price and has ended, which gave it back or spent it."""

    async def make(status: str = "failed", credits: int = 0) -> Job:
        job = await make_job(credits=credits, warnings=[{"code": "w", "message": "w"}])
        async with make_session.begin() as session:
            if credits:
                await ledger.grant(session, user.id, credits, key=f"test:{job.id}", reference="test")
                await spending.hold(session, user.id, job.id, credits)
            await progress.record(session, job.id, stage="transcribing", progress=40, counts={"transcribing": [1, 2]})
            if status == "failed":
                await progress.fail(session, job.id, "models_unavailable", "away")
            elif status == "cancelled":
                await progress.cancel(session, job.id)
            elif status == "completed":
                await progress.complete(session, job.id, [])
        return await state(make_session, job.id)

    return make


async def state(make_session: Sessions, job_id: UUID) -> Job:
    async with make_session() as session:
        return await session.get_one(Job, job_id)


async def entries(make_session: Sessions) -> list[tuple[str, str]]:
    async with make_session() as session:
        query = sa.select(CreditEntry.kind, CreditEntry.reference).order_by(CreditEntry.sequence)
        return [(row.kind, row.reference) for row in await session.execute(query) if row.kind != "grant"]


async def retry(client: httpx.AsyncClient, job: Job, key: str | None = None) -> httpx.Response:
    return await client.post(f"/v1/jobs/{job.id}/retry", headers={"Idempotency-Key": key} if key else {})


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_job_without_a_result_begins_again_as_the_next_attempt(
    status: str, ended: Ended, client: httpx.AsyncClient, queue: QueueStandIn, user: User, make_session: Sessions
) -> None:
    job = await ended(status)
    answer = await retry(client, job)
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert (shown["status"], shown["progress"], shown["counts"], shown["error"]) == ("pending", 0, {}, None)
    assert (shown["attempt"], shown["started_at"], shown["finished_at"]) == (2, None, None)
    assert [each["code"] for each in shown["warnings"]] == ["w"], "what it warned of holds for what it keeps"
    assert queue.enqueued == [(job.id, user.id)]
    assert queue.orders == [(2, False)]
    assert queue.cancelled == [job.id], "what is left of the attempt before is stopped"
    after = await state(make_session, job.id)
    assert after.queued_at > job.queued_at
    assert after.created_at == job.created_at


@pytest.mark.parametrize("status", ["pending", "processing", "completed"])
async def test_a_job_that_is_open_or_completed_is_refused_with_what_it_is(
    status: str, ended: Ended, make_job: MakeJob, source: Media, client: httpx.AsyncClient, queue: QueueStandIn
) -> None:
    job = await ended(status) if status == "completed" else await make_job(started=status == "processing")
    answer = await retry(client, job)
    assert (answer.status_code, answer.json()["code"]) == (409, "job_not_retryable")
    assert status in answer.json()["detail"]
    assert queue.enqueued == []


async def test_a_job_that_is_not_there_and_a_strangers_are_not_found(
    ended: Ended, stranger: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    job = await ended()
    assert (await retry(stranger, job)).status_code == 404
    assert (await client.post(f"/v1/jobs/{uuid4()}/retry")).status_code == 404


async def test_the_price_is_held_again_by_the_attempt_and_settled_with_it(
    ended: Ended, client: httpx.AsyncClient, queue: QueueStandIn, make_session: Sessions
) -> None:
    job = await ended(credits=PRICE)
    first, second = spending.reference(job.id), spending.reference(job.id, 2)
    assert (await retry(client, job)).status_code == 201
    assert queue.orders == [(2, True)]
    assert await entries(make_session) == [("hold", first), ("release", first), ("hold", second)]
    async with make_session.begin() as session:
        await progress.start(session, job.id)
        await progress.complete(session, job.id, [], attempt=2)
    assert (await entries(make_session))[3:] == [("capture", second)]


async def test_without_the_credits_nothing_begins(
    ended: Ended, client: httpx.AsyncClient, queue: QueueStandIn, make_session: Sessions, user: User
) -> None:
    job = await ended(credits=PRICE)
    async with make_session.begin() as session:
        await ledger.adjust(session, user.id, -1, key="less", reference="test", note="less")
    answer = await retry(client, job)
    assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_credits")
    after = await state(make_session, job.id)
    assert (after.status, after.attempt) == ("failed", 1)
    assert queue.enqueued == []
    async with make_session() as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(JobAttempt)) == 0


async def test_a_queue_that_refuses_leaves_everything_as_it_was(
    ended: Ended, client: httpx.AsyncClient, queue: QueueStandIn, make_session: Sessions
) -> None:
    job = await ended(credits=PRICE)
    queue.refusal = RuntimeError("queue broken")
    assert (await retry(client, job)).status_code == 500
    after = await state(make_session, job.id)
    assert (after.status, after.attempt) == ("failed", 1)
    assert [kind for kind, _ in await entries(make_session)] == ["hold", "release"]


async def test_the_same_key_begins_one_attempt_however_often_it_is_sent(
    ended: Ended, client: httpx.AsyncClient, queue: QueueStandIn, make_session: Sessions
) -> None:
    job = await ended(credits=PRICE)
    answers = await asyncio.gather(*(retry(client, job, "again") for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert {answer.json()["attempt"] for answer in answers} == {2}
    assert len(queue.enqueued) == 1
    async with make_session.begin() as session:
        await progress.fail(session, job.id, "internal", "no", attempt=2)
    late = await retry(client, job, "again")
    assert (late.status_code, late.json()["status"]) == (200, "failed"), "a late repetition begins nothing"
    assert (await retry(client, job, "another")).json()["attempt"] == 3
    assert (await retry(client, job, "again")).status_code == 200


async def test_of_many_without_a_key_at_once_one_wins(
    ended: Ended, client: httpx.AsyncClient, queue: QueueStandIn, make_session: Sessions
) -> None:
    job = await ended(credits=PRICE)
    answers = await asyncio.gather(*(retry(client, job) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert [kind for kind, _ in await entries(make_session)] == ["hold", "release", "hold"]


async def test_an_earlier_attempt_decides_nothing_any_more(
    ended: Ended, client: httpx.AsyncClient, make_session: Sessions
) -> None:
    job = await ended(credits=PRICE)
    await retry(client, job)
    async with make_session.begin() as session:
        await progress.start(session, job.id)
        assert not await progress.fail(session, job.id, "internal", "late", attempt=1)
        assert not await progress.complete(session, job.id, [], attempt=1)
    after = await state(make_session, job.id)
    assert (after.status, after.error) == ("processing", None)
    assert [kind for kind, _ in await entries(make_session)] == ["hold", "release", "hold"]


async def test_what_was_discarded_cannot_be_taken_up_again(
    ended: Ended, client: httpx.AsyncClient, make_session: Sessions
) -> None:
    job = await ended()
    async with make_session.begin() as session:
        await session.execute(sa.update(Job).values(discarded_at=sa.func.now()))
    answer = await retry(client, job)
    assert (answer.status_code, answer.json()["code"]) == (409, "work_discarded")


async def test_a_media_that_is_gone_cannot_be_worked_on(
    ended: Ended, source: Media, storage: Storage, client: httpx.AsyncClient
) -> None:
    job = await ended()
    await storage.delete(source.storage_key)
    assert (await retry(client, job)).json()["code"] == "work_discarded"


async def test_sweeping_and_retrying_at_once_leave_a_job_with_its_files_or_none(
    ended: Ended, client: httpx.AsyncClient, make_session: Sessions, engine: AsyncEngine, storage: Storage
) -> None:
    async def never(_: str) -> None: ...

    seen = set()
    for _ in range(6):
        job = await ended()
        async with make_session.begin() as session:
            await session.execute(sa.update(Job).values(finished_at=datetime.now(UTC) - timedelta(hours=2)))
        await storage.put_bytes(keys.speech(str(job.id)), b"1")
        _, answer = await asyncio.gather(sweep(engine, storage, never, retry_hours=1), retry(client, job))
        there = await storage.exists(keys.speech(str(job.id)))
        seen.add(answer.status_code)
        assert there == (answer.status_code == 201), answer.text
    assert seen <= {201, 409}


async def test_who_follows_it_hears_of_the_new_attempt_alone(
    ended: Ended, client: httpx.AsyncClient, make_session: Sessions
) -> None:
    job = await ended()
    async with make_session() as session:
        before = (await session.execute(events_after(job.id, 0))).all()
    assert before[-1].type == "failed"
    await retry(client, job)
    async with make_session.begin() as session:
        await progress.start(session, job.id)
        await progress.complete(session, job.id, [], attempt=2)
    for last in (0, before[0].id, before[-1].id):
        answer = await client.get(f"/v1/jobs/{job.id}/events", headers={"Last-Event-ID": str(last)})
        kinds = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
        assert kinds == ["progress", "progress", "completed"], last


async def test_ids_of_attempts_and_their_children_never_meet() -> None:
    job_id = uuid4()
    roots = [durable.job_workflow_id(job_id, attempt) for attempt in range(1, 15)]
    assert roots[0] == str(job_id)
    children = [f"{root}-{number}" for root in roots for number in range(1, 20)]
    assert len({*roots, *children}) == len(roots) + len(children)
    assert [durable.attempt_of(root) for root in roots] == list(range(1, 15))
    assert {durable.attempt_of(f"{roots[11]}-7-3")} == {12}
