"""The net under the workflows: what it ends, what it deletes, and what it leaves alone."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from structlog.testing import capture_logs

from orchestrator.accounts.models import User
from orchestrator.credits import ledger, spending
from orchestrator.credits.models import CreditEntry
from orchestrator.database import make_sync_engine
from orchestrator.jobs import durable, keys
from orchestrator.jobs.models import Job, LoneRun, LostRun, Worker
from orchestrator.jobs.sweeper import sweep, sweep_for_ever
from orchestrator.settings import Settings
from orchestrator.storage import Storage, StorageError
from orchestrator.sweeping import SweepError
from tests.orchestrator.jobs.conftest import MakeJob

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]

LONG_AGO = datetime.now(UTC) - timedelta(days=2)
_WORKFLOW = sa.text(
    "insert into dbos.workflow_status (workflow_uuid, status, name, queue_name, parent_workflow_id, created_at)"
    " values (:id, :status, 'job', :queue, :parent, 0)"
)


async def never(workflow_id: str) -> None:
    raise AssertionError(f"workflow {workflow_id} was cancelled")


async def workflow(engine: AsyncEngine, id_: str, status: str, parent: str | None = None) -> None:
    queue = "chunks" if status == "ENQUEUED" else None
    async with engine.begin() as connection:
        await connection.execute(_WORKFLOW, {"id": id_, "status": status, "queue": queue, "parent": parent})


async def statuses(engine: AsyncEngine) -> dict[str, str]:
    async with engine.connect() as connection:
        rows = await connection.execute(sa.text("select workflow_uuid, status from dbos.workflow_status"))
        return {row.workflow_uuid: row.status for row in rows}


async def files_of(storage: Storage, job_id: UUID) -> list[str]:
    """Give a job an intermediate file and an artifact; their keys."""
    stored = [keys.speech(str(job_id)), keys.artifact(str(job_id), "es.mp4")]
    for key in stored:
        await storage.put_bytes(key, b"1")
    return stored


async def kept(storage: Storage, stored: list[str]) -> list[bool]:
    return [await storage.exists(key) for key in stored]


async def state(make_session: Sessions, job: Job) -> Job:
    async with make_session() as session:
        return await session.get_one(Job, job.id)


@pytest.mark.parametrize(
    ("status", "left"),
    [("completed", [False, True]), ("failed", [False, False]), ("cancelled", [False, False])],
)
async def test_an_ended_jobs_files_are_deleted_but_the_artifacts_of_a_completed_one(
    engine: AsyncEngine, make_session: Sessions, make_job: MakeJob, storage: Storage, status: str, left: list[bool]
) -> None:
    job = await make_job(status=status, finished_at=LONG_AGO, started=False)
    stored = await files_of(storage, job.id)
    await workflow(engine, str(job.id), "SUCCESS")
    await workflow(engine, f"{job.id}-3", "SUCCESS", str(job.id))
    await sweep(engine, storage, never)
    assert await kept(storage, stored) == left
    assert (await state(make_session, job)).swept_at is not None


async def test_files_half_written_by_a_killed_worker_are_deleted_beside_the_artifacts(
    engine: AsyncEngine, make_job: MakeJob, storage: Storage, app_settings: Settings
) -> None:
    job = await make_job(status="completed", finished_at=LONG_AGO, started=False)
    stored = await files_of(storage, job.id)
    half = app_settings.data_dir / "storage" / f"{stored[1]}#1"
    half.write_bytes(b"half")
    await sweep(engine, storage, never)
    assert not half.exists()
    assert await kept(storage, stored) == [False, True]


async def test_a_swept_job_is_not_looked_at_again(engine: AsyncEngine, make_job: MakeJob, storage: Storage) -> None:
    job = await make_job(status="failed", finished_at=LONG_AGO, swept_at=LONG_AGO, started=False)
    stored = await files_of(storage, job.id)
    await sweep(engine, storage, never)
    assert await kept(storage, stored) == [True, True]


@pytest.mark.parametrize("active", ["ENQUEUED", "PENDING", "DELAYED"])
@pytest.mark.parametrize("child", [False, True])
async def test_files_of_a_job_of_which_something_still_runs_stay(
    engine: AsyncEngine, make_session: Sessions, make_job: MakeJob, storage: Storage, active: str, child: bool
) -> None:
    job = await make_job(status="failed", finished_at=LONG_AGO, started=False)
    stored = await files_of(storage, job.id)
    await workflow(engine, str(job.id), "ERROR" if child else active)
    if child:
        await workflow(engine, f"{job.id}-7", active, str(job.id))
    asked: list[str] = []

    async def note(workflow_id: str) -> None:
        asked.append(workflow_id)

    await sweep(engine, storage, note)
    assert asked == [str(job.id)]
    assert await kept(storage, stored) == [True, True]
    assert (await state(make_session, job)).swept_at is None


async def test_files_of_open_jobs_and_of_those_just_ended_stay(
    engine: AsyncEngine, make_job: MakeJob, storage: Storage
) -> None:
    just_ended = await make_job(status="failed", finished_at=datetime.now(UTC), started=False)
    stored = await files_of(storage, just_ended.id) + await files_of(storage, (await make_job()).id)
    await sweep(engine, storage, never)
    assert await kept(storage, stored) == [True] * 4


async def test_queued_children_of_an_ended_job_are_cancelled_and_then_its_files_go(
    engine: AsyncEngine, make_job: MakeJob, storage: Storage, database_url: str
) -> None:
    job, other = [await make_job(status="cancelled", finished_at=LONG_AGO, started=False) for _ in range(2)]
    running = await make_job()
    stored = await files_of(storage, job.id)
    await workflow(engine, str(job.id), "CANCELLED")
    await workflow(engine, f"{job.id}-1", "SUCCESS", str(job.id))
    await workflow(engine, f"{job.id}-2", "ENQUEUED", str(job.id))
    await workflow(engine, str(other.id), "CANCELLED")
    await workflow(engine, str(running.id), "PENDING")
    await workflow(engine, f"{running.id}-2", "ENQUEUED", str(running.id))
    system_engine = make_sync_engine(database_url)
    client = durable.api_client(system_engine)

    async def cancel(workflow_id: str) -> None:
        await client.cancel_workflow_async(workflow_id, cancel_children=True)

    await sweep(engine, storage, cancel)
    assert await statuses(engine) == {
        str(job.id): "CANCELLED",
        f"{job.id}-1": "SUCCESS",
        f"{job.id}-2": "CANCELLED",
        str(other.id): "CANCELLED",
        str(running.id): "PENDING",
        f"{running.id}-2": "ENQUEUED",
    }
    assert await kept(storage, stored) == [False, False]
    system_engine.dispose()


async def test_an_open_job_without_a_workflow_is_failed(
    engine: AsyncEngine, make_session: Sessions, make_job: MakeJob, storage: Storage
) -> None:
    lost, young = await make_job(queued_at=LONG_AGO), await make_job()
    await sweep(engine, storage, never)
    after = await state(make_session, lost)
    assert (after.status, (after.error or {})["code"]) == ("failed", "given_up")
    assert (await state(make_session, young)).status == "processing"


async def test_credits_whose_time_is_over_expire(
    engine: AsyncEngine, make_session: Sessions, user: User, storage: Storage
) -> None:
    async with make_session.begin() as session:
        for key, expires_at in (("over", LONG_AGO), ("lasting", datetime.now(UTC) + timedelta(hours=1))):
            await ledger.grant(
                session, user.id, 5, key=key, reference=key, expires_at=expires_at, now=LONG_AGO - timedelta(hours=1)
            )
    await sweep(engine, storage, never)
    async with make_session() as session:
        query = sa.select(CreditEntry.amount, CreditEntry.reference).where(CreditEntry.kind == "expiry")
        assert [tuple(row) for row in await session.execute(query)] == [(-5, "over")]


class _Jammed(Storage):
    """A storage that refuses to delete one job's files."""

    refused = ""

    async def delete_prefix(self, prefix: str) -> None:
        if self.refused in prefix:
            raise StorageError(prefix)
        await super().delete_prefix(prefix)


async def test_files_that_cannot_be_deleted_do_not_keep_the_others_and_are_tried_again(
    engine: AsyncEngine, make_session: Sessions, make_job: MakeJob, tmp_path: Path
) -> None:
    storage = _Jammed.in_folder(tmp_path / "storage")
    first, second = [await make_job(status="failed", finished_at=LONG_AGO, started=False) for _ in range(2)]
    stored = await files_of(storage, first.id) + await files_of(storage, second.id)
    storage.refused = str(first.id)
    await sweep(engine, storage, never)
    assert await kept(storage, stored) == [True, True, False, False]
    storage.refused = "none"
    await sweep(engine, storage, never)
    assert await kept(storage, stored) == [False] * 4
    assert (await state(make_session, first)).swept_at is not None


async def test_workers_that_sweep_at_once_do_not_disturb_each_other(
    engine: AsyncEngine, make_session: Sessions, make_job: MakeJob, storage: Storage
) -> None:
    jobs = [await make_job(status="failed", finished_at=LONG_AGO, started=False) for _ in range(3)]
    stored = [key for job in jobs for key in await files_of(storage, job.id)]
    for job in jobs:
        for segment in range(50):
            await storage.put_bytes(keys.rendition(str(job.id), "es", segment), b"1")
    await asyncio.gather(*(sweep(engine, storage, never) for _ in range(4)))
    await sweep(engine, storage, never)
    assert await kept(storage, stored) == [False] * len(stored)
    assert None not in [(await state(make_session, job)).swept_at for job in jobs]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_what_a_job_without_a_result_has_done_is_kept_for_a_retry_and_then_deleted(
    engine: AsyncEngine, make_session: Sessions, make_job: MakeJob, storage: Storage, status: str
) -> None:
    job = await make_job(status=status, finished_at=datetime.now(UTC) - timedelta(hours=2), started=False)
    stored = await files_of(storage, job.id)
    await sweep(engine, storage, never, retry_hours=3)
    assert await kept(storage, stored) == [True, True]
    assert (await state(make_session, job)).discarded_at is None
    await sweep(engine, storage, never, retry_hours=1)
    assert await kept(storage, stored) == [False, False]
    after = await state(make_session, job)
    assert after.discarded_at is not None
    assert after.swept_at is not None


async def test_a_later_attempt_is_looked_after_by_its_own_workflow(
    engine: AsyncEngine, make_session: Sessions, make_job: MakeJob, storage: Storage
) -> None:
    fine, lost, waiting = [await make_job(attempt=2, queued_at=LONG_AGO) for _ in range(3)]
    await workflow(engine, str(fine.id), "SUCCESS")
    await workflow(engine, f"{fine.id}.2", "PENDING")
    await workflow(engine, f"{lost.id}.2", "ERROR")
    await workflow(engine, str(waiting.id), "SUCCESS")
    await workflow(engine, f"{waiting.id}.2", "ENQUEUED")
    await workflow(engine, f"{waiting.id}.2-4", "PENDING", f"{waiting.id}.2")
    await sweep(engine, storage, never)
    assert [(await state(make_session, job)).status for job in (fine, lost, waiting)] == [
        "processing",
        "failed",
        "processing",
    ]


async def test_what_is_left_of_an_earlier_attempt_is_cancelled_while_the_later_one_goes_on(
    engine: AsyncEngine, make_job: MakeJob, storage: Storage
) -> None:
    job = await make_job(attempt=2, queued_at=LONG_AGO)
    just_begun = await make_job(attempt=2)
    for each in (job, just_begun):
        await workflow(engine, str(each.id), "SUCCESS")
        await workflow(engine, f"{each.id}-7", "ENQUEUED", str(each.id))
        await workflow(engine, f"{each.id}.2", "PENDING")
        await workflow(engine, f"{each.id}.2-7", "PENDING", f"{each.id}.2")
    asked: list[str] = []

    async def note(workflow_id: str) -> None:
        asked.append(workflow_id)

    await sweep(engine, storage, note)
    assert asked == [str(job.id)]


async def test_a_job_waits_a_day_from_its_last_attempt_on(
    engine: AsyncEngine, make_session: Sessions, make_job: MakeJob, storage: Storage
) -> None:
    old, retried = [
        await make_job(started=False, created_at=LONG_AGO, queued_at=at) for at in (LONG_AGO, datetime.now(UTC))
    ]
    for job in (old, retried):
        await workflow(engine, str(job.id), "ENQUEUED")
    await sweep(engine, storage, never)
    after = await state(make_session, old)
    assert (after.status, (after.error or {})["code"]) == ("failed", "not_started")
    assert (await state(make_session, retried)).status == "pending"


async def test_a_hold_of_an_earlier_attempt_is_given_back_and_that_of_the_present_one_stays(
    engine: AsyncEngine, make_session: Sessions, make_job: MakeJob, user: User, storage: Storage
) -> None:
    job = await make_job(attempt=2, credits=5)
    async with make_session.begin() as session:
        await ledger.grant(session, user.id, 10, key="test", reference="test")
        for attempt in (1, 2):
            await spending.hold(session, user.id, job.id, 5, attempt)
    async with engine.begin() as connection:
        await connection.execute(sa.text("set local session_replication_role = replica"))
        await connection.execute(sa.text("update credit_entry set created_at = now() - interval '2 minutes'"))
    await sweep(engine, storage, never)
    async with make_session() as session:
        there = await ledger.balance(session, user.id)
    assert (there.available, there.held) == (5, 5)


async def test_notes_of_lost_runs_are_forgotten_after_a_week(
    engine: AsyncEngine, make_session: Sessions, storage: Storage
) -> None:
    async with make_session.begin() as session:
        for name, days in (("old", 8), ("young", 6)):
            at = datetime.now(UTC) - timedelta(days=days)
            session.add(LostRun(workflow_id=name, run="r", steps=0, alone=False, executor_id="x", noted_at=at))
            session.add(LoneRun(workflow_id=name, executor_id="x", began_at=at))
    await sweep(engine, storage, never)
    async with make_session() as session:
        assert (await session.scalars(sa.select(LostRun.workflow_id))).all() == ["young"]
        assert (await session.scalars(sa.select(LoneRun.workflow_id))).all() == ["young"]


async def test_work_for_a_version_that_no_worker_has_is_told(
    engine: AsyncEngine, make_session: Sessions, storage: Storage
) -> None:
    async with make_session.begin() as session:
        session.add(Worker(executor_id="new", version="2"))
        session.add(Worker(executor_id="old", version="1", beat_at=LONG_AGO))
    insert = sa.text(
        "insert into dbos.workflow_status (workflow_uuid, status, name, application_version, created_at)"
        " values (:id, 'ENQUEUED', 'job', :version, 0)"
    )
    latest = sa.text(
        "insert into dbos.application_versions (version_id, version_name, version_timestamp) values (:name, :name, :at)"
    )
    async with engine.begin() as connection:
        for name, at in (("2", 1), ("3", 2)):
            await connection.execute(latest, {"name": name, "at": at})
        for id_, version in (("a", "1"), ("b", "2"), ("c", None), ("d", None)):
            await connection.execute(insert, {"id": id_, "version": version})
    with capture_logs() as logs:
        await sweep(engine, storage, never)
    told = {line["version"]: line["workflows"] for line in logs if "no worker runs" in line["event"]}
    assert told == {"1": 1, "3": 2}


PARTS = (
    *("give_up_lost", "inbox.give_up_lost", "_fail_lost", "_fail_late", "_settle_holds", "_tell_stranded"),
    "_cancel_leftovers",
    *("_clear_ended", "ledger.expire_due", "sweep_rate_limits", "deletion.purge", "forget_stale", "forget_unused"),
    *("_empty_inbox", "retention.sweep", "webhooks.give_up_lost", "forget_old_deliveries"),
)


@pytest.mark.parametrize("error", [StorageError("voices/x.mp3"), sa.exc.TimeoutError("no connection"), KeyError("x")])
async def test_a_part_that_fails_keeps_no_other_from_its_turn(
    engine: AsyncEngine, storage: Storage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    had: list[str] = []

    def turn(name: str) -> Callable[..., Awaitable[None]]:
        async def take(*_: object, **__: object) -> None:
            had.append(name)
            raise error

        return take

    for part in PARTS:
        monkeypatch.setattr(f"orchestrator.jobs.sweeper.{part}", turn(part))
    with capture_logs() as logs, pytest.raises(SweepError):
        await sweep(engine, storage, never)
    assert had == list(PARTS)
    assert len({line["part"] for line in logs}) == len(PARTS)


async def test_the_sweeper_tells_what_failed_and_sweeps_on(
    engine: AsyncEngine, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = asyncio.Event()
    errors: list[Exception] = [StorageError("voices/x.mp3"), sa.exc.TimeoutError("no connection")]

    async def fail(*_: object, **__: object) -> None:
        if not errors:
            swept.set()
            return
        raise errors.pop(0)

    monkeypatch.setattr("orchestrator.jobs.sweeper.EVERY_S", 0)
    monkeypatch.setattr("orchestrator.jobs.sweeper.forget_unused", fail)
    with capture_logs() as logs:
        sweeping = asyncio.create_task(sweep_for_ever(engine, storage, 24))
        await asyncio.wait({sweeping, asyncio.create_task(swept.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert not sweeping.done()
        sweeping.cancel()
    told = [line["log_level"] for line in logs if line["event"] == "a part of the sweep failed"]
    assert told == ["error", "warning"]
