"""The net under the workflows: a job must not stay open when nothing will ever end it.

Looks for open jobs whose workflow is missing, failed, cancelled or given up, and fails them; and for ended ones whose
workflow still runs, and cancels it. Any number of workers may sweep at once: both are guarded and repeatable.
"""

import asyncio
from functools import partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from dbos import DBOS
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from orchestrator.database import patiently
from orchestrator.jobs import progress

log = structlog.get_logger(__name__)

EVERY_S = 60

_LOST = sa.text(
    "select j.id, w.status as workflow from job j left join dbos.workflow_status w on w.workflow_uuid = j.id::text"
    " where j.status in ('pending', 'processing') and j.created_at < now() - interval '1 minute'"
    " and (w.status is null or w.status not in ('ENQUEUED', 'DELAYED', 'PENDING'))"
)
_STILL_RUNNING = sa.text(
    "select j.id from job j join dbos.workflow_status w on w.workflow_uuid = j.id::text"
    " where j.status in ('cancelled', 'failed') and w.status in ('ENQUEUED', 'DELAYED', 'PENDING')"
    " and j.finished_at < now() - interval '1 minute'"
)


async def sweep_for_ever(engine: AsyncEngine) -> None:
    """Sweep every minute; a failing database only postpones."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await sweep(engine)
        except (sa.exc.SQLAlchemyError, OSError) as error:
            log.warning("sweep failed", error=type(error).__name__)


async def sweep(engine: AsyncEngine) -> None:
    """One look. Database errors reach the caller, who looks again later."""
    for lost in await _rows(engine, _LOST):
        await patiently(engine, partial(_give_up, job_id=lost.id))
        log.warning("failed a job whose workflow ended without outcome", job_id=str(lost.id), workflow=lost.workflow)
    for running in await _rows(engine, _STILL_RUNNING):
        await DBOS.cancel_workflow_async(str(running.id), cancel_children=True)


async def _rows(engine: AsyncEngine, query: sa.TextClause) -> list[sa.Row[Any]]:
    async with engine.connect() as connection:
        return list((await connection.execute(query)).all())


async def _give_up(session: AsyncSession, job_id: UUID) -> bool:
    return await progress.fail(
        session, job_id, "given_up", "The job could not be finished after many attempts. Start it again."
    )
