"""The net under the workflows: a job must not stay open when nothing will ever end it, nor a mail.

Looks for open jobs whose workflow is missing, failed, cancelled or given up, or which no worker has begun within a day,
and fails them; for credits that are held for a job that is gone or has ended, and settles them; for ended ones of whose
workflows one is still queued or runs, and cancels them; and for ended ones of which nothing runs any more, and deletes
their files that nobody will ask for, which of a failed or cancelled one is when it can no longer be retried. Then it
lets credits expire that are due, and deletes the counts and addresses of rate limits that are out of date, and files
whose time is over. Webhooks that nothing delivers any more are given up. Any number of workers may sweep at once: all
of it is guarded and repeatable.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from dbos import DBOS
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.accounts import deletion
from orchestrator.accounts.retention import forget_stale
from orchestrator.billing import inbox
from orchestrator.credits import ledger, spending
from orchestrator.database import patiently, sessions
from orchestrator.errors import OctaviaError
from orchestrator.jobs import durable, keys, progress
from orchestrator.notifications.sending import give_up_lost
from orchestrator.rate_limits import known_addresses
from orchestrator.rate_limits import storage as rate_limits
from orchestrator.retention import service as retention
from orchestrator.storage import Storage
from orchestrator.sweeping import every_part, every_row, for_ever
from orchestrator.voices.service import forget_unused
from orchestrator.webhooks import sending as webhooks
from orchestrator.webhooks.service import forget_old as forget_old_deliveries

log = structlog.get_logger(__name__)

EVERY_S = 60

Cancel = Callable[[str], Awaitable[None]]
"""Cancels a workflow and all its descendants."""

_LOST = sa.text(
    "select j.id, j.attempt, w.status as workflow from job j"  # noqa: S608
    f" left join dbos.workflow_status w on w.workflow_uuid = {durable.JOB_WORKFLOW_SQL}"
    " where j.status in ('pending', 'processing') and j.queued_at < now() - interval '1 minute'"
    " and (w.status is null or w.status not in ('ENQUEUED', 'DELAYED', 'PENDING'))"
)
_NEVER_STARTED = sa.text(
    "select id, attempt from job where status = 'pending' and queued_at < now() - interval '24 hours' limit 100"
)
_ACTIVE = (
    "dbos.workflow_status w where w.status in ('ENQUEUED', 'DELAYED', 'PENDING')"
    f" and left(w.workflow_uuid, {durable.UUID_LENGTH}) = j.id::text"
)
"""The ids of a job's workflows begin with the job's, those of their children with theirs."""
_STILL_RUNNING = sa.text(
    f"select distinct {durable.ROOT_WORKFLOW_SQL} as workflow from job j, {_ACTIVE}"  # noqa: S608
    " and (j.status in ('cancelled', 'failed') and j.finished_at < now() - interval '1 minute'"
    f" or {durable.ROOT_WORKFLOW_SQL} <> {durable.JOB_WORKFLOW_SQL} and j.queued_at < now() - interval '1 minute')"
)
"""What is left of attempts that have ended."""
_DISCARD = sa.text(
    "update job j set discarded_at = now() where j.discarded_at is null"  # noqa: S608
    " and (j.status = 'completed' and j.finished_at < now() - interval '1 minute'"
    " or j.status in ('failed', 'cancelled') and j.finished_at < now() - make_interval(secs => greatest(:kept_s, 60)))"
    f" and not exists (select from {_ACTIVE})"
)
"""From here on nobody can retry it, and its files can go. Of two that decide at once the second sees the first."""
_LITTERED = sa.text(
    "select j.id, j.status from job j where j.discarded_at is not null and j.swept_at is null"
    " order by random() limit 100"
)
_SWEPT = sa.text("update job set swept_at = now() where id = :job_id and swept_at is null")
_STRANDED = sa.text(
    """
    select version, count(*) as workflows from (
        select coalesce(w.application_version, latest.version_name) as version
        from dbos.workflow_status w left join (
            select version_name from dbos.application_versions order by version_timestamp desc limit 1
        ) latest on true
        where w.status in ('ENQUEUED', 'PENDING')
    ) waiting
    where version is not null and not exists (
        select from worker where worker.version = waiting.version and state = 'up'
        and beat_at > now() - interval '5 minutes'
    ) group by version
    """
)
"""What no worker there is may run: begun under a version, or new while that is the latest, of which none is up."""
_FORGET_LOST_RUNS = sa.text(
    "with lone as (delete from lone_run where began_at < now() - interval '7 days')"
    " delete from lost_run where noted_at < now() - interval '7 days'"
)


async def sweep_for_ever(engine: AsyncEngine, storage: Storage, retry_hours: float) -> None:
    """Sweep every minute; what failed is tried again at the next. `retry_hours`: see the setting."""
    await for_ever(partial(sweep, engine, storage, retry_hours=retry_hours), EVERY_S)


async def _cancel_tree(workflow_id: str) -> None:
    await DBOS.cancel_workflow_async(workflow_id, cancel_children=True)


async def sweep(
    engine: AsyncEngine, storage: Storage, cancel: Cancel = _cancel_tree, *, retry_hours: float = 24
) -> None:
    """One look, whose parts do not depend on each other: one that fails keeps none after it from its turn.

    Raises SweepError once all have had theirs.
    """
    make = sessions(engine)
    parts: dict[str, Callable[[], Awaitable[object]]] = {
        "lost mails": partial(give_up_lost, engine),
        "lost events of Polar's": partial(inbox.give_up_lost, engine),
        "lost jobs": partial(_fail_lost, engine),
        "jobs nobody began": partial(_fail_late, engine),
        "lost holds": partial(_settle_holds, engine),
        "stranded work": partial(_tell_stranded, engine),
        "what outlived its job": partial(_cancel_leftovers, engine, cancel),
        "files of ended jobs": partial(_clear_ended, engine, storage, retry_hours),
        "credits that expire": lambda: ledger.expire_due(make, datetime.now(UTC)),
        "rate limits": partial(sweep_rate_limits, engine),
        "closed accounts": partial(deletion.purge, make, storage),
        "stale rows of accounts": partial(forget_stale, make),
        "voice previews": partial(forget_unused, make, storage),
        "bodies of Polar's events": partial(_empty_inbox, make),
        "files whose time is over": partial(retention.sweep, engine, storage),
        "lost webhooks": partial(webhooks.give_up_lost, engine),
        "old webhooks": partial(forget_old_deliveries, make),
    }
    await every_part(parts)


async def _fail_lost(engine: AsyncEngine) -> None:
    async def give_up(lost: sa.Row[Any]) -> None:
        await patiently(engine, partial(_give_up, job_id=lost.id, attempt=lost.attempt))
        log.warning("failed a job whose workflow ended without outcome", job_id=str(lost.id), workflow=lost.workflow)

    await every_row(await _rows(engine, _LOST), give_up)


async def _fail_late(engine: AsyncEngine) -> None:
    async def give_up(late: sa.Row[Any]) -> None:
        await patiently(engine, partial(_never_started, job_id=late.id, attempt=late.attempt))
        log.warning("failed a job that no worker has begun", job_id=str(late.id))

    await every_row(await _rows(engine, _NEVER_STARTED), give_up)


async def _settle_holds(engine: AsyncEngine) -> None:
    async def settle(held: sa.Row[Any]) -> None:
        await patiently(engine, partial(spending.settle_lost, hold_id=held.id, status=held.status))
        log.error("settled credits that a job without a future held", hold=str(held.id), status=held.status)

    await every_row(await _rows(engine, spending.LOST_HOLDS), settle)


async def _tell_stranded(engine: AsyncEngine) -> None:
    for stranded in await _rows(engine, _STRANDED):
        log.error("work waits for a version of which no worker runs: see docs/runbook.md", **stranded._mapping)


async def _cancel_leftovers(engine: AsyncEngine, cancel: Cancel) -> None:
    await every_row(await _rows(engine, _STILL_RUNNING), lambda running: cancel(running.workflow))


async def _clear_ended(engine: AsyncEngine, storage: Storage, retry_hours: float) -> None:
    """Of jobs of which nothing runs any more, the files and notes nobody will ask for."""
    async with engine.begin() as connection:
        await connection.execute(_DISCARD, {"kept_s": retry_hours * 3600})
        await connection.execute(_FORGET_LOST_RUNS)
    for ended in await _rows(engine, _LITTERED):
        try:
            await _delete_litter(storage, str(ended.id), ended.status)
        except (OctaviaError, OSError) as error:
            log.warning("an ended job's files were not deleted", job_id=str(ended.id), error=str(error))
            continue
        async with engine.begin() as connection:
            await connection.execute(_SWEPT, {"job_id": ended.id})


async def _empty_inbox(make: async_sessionmaker[AsyncSession]) -> None:
    async with make.begin() as session:
        await inbox.empty_old(session)


async def sweep_rate_limits(engine: AsyncEngine) -> None:
    """Delete the counts that no longer weigh and the client addresses accounts have not been logged in from of late."""
    await rate_limits.purge(engine)
    await known_addresses.purge(engine)


async def _delete_litter(storage: Storage, job_id: str, status: str) -> None:
    """Of a completed job the artifacts stay, of another nothing."""
    if status == "completed":
        await storage.delete_prefix(keys.work(job_id))
        await storage.delete_unfinished(keys.everything(job_id))
    else:
        await storage.delete_prefix(keys.everything(job_id))


async def _rows(engine: AsyncEngine, query: sa.TextClause) -> list[sa.Row[Any]]:
    async with engine.connect() as connection:
        return list((await connection.execute(query)).all())


async def _never_started(session: AsyncSession, job_id: UUID, attempt: int) -> bool:
    message = "No worker could begin this job within a day. Its credits are back; start it again."
    return await progress.fail(session, job_id, "not_started", message, attempt)


async def _give_up(session: AsyncSession, job_id: UUID, attempt: int) -> bool:
    message = "The job could not be finished after many attempts. Start it again."
    return await progress.fail(session, job_id, "given_up", message, attempt)
