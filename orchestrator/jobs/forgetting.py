"""How long the queue remembers: workflows that ended long ago are deleted at night, of whatever kind they were.

DBOS itself deletes none, and every mail, webhook, tick and passage of a job is one. A workflow stays while anything it
began has not ended as long ago, and while a row of ours still waits for it: that of an open job, or of one that was not
swept yet; of a mail, a delivery, an event or a request without an outcome.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from dbos import DBOS
from dbos._dbos import ScheduleInput
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.jobs import durable
from orchestrator.jobs.context import current
from orchestrator.jobs.heartbeat import running

log = structlog.get_logger(__name__)

AT_ONCE = 1000
"""Looked at by one statement and deleted in one transaction: a long video alone has thousands of workflows, and
PostgreSQL takes no more than 65,535 parameters."""

_ACTIVE = "('ENQUEUED', 'DELAYED', 'PENDING')"
_OLD = sa.text(
    "with w as materialized ("  # noqa: S608
    "  select workflow_uuid, parent_workflow_id, status, completed_at from dbos.workflow_status"
    "  where completed_at < :before and (completed_at, workflow_uuid) > (:after, :after_id)"
    "  order by completed_at, workflow_uuid limit :at_once)"
    f" select w.workflow_uuid, w.completed_at, w.status not in {_ACTIVE}"
    " and not exists (select from dbos.workflow_status p where p.workflow_uuid = w.parent_workflow_id)"
    " and not exists ("
    "  with recursive tree as ("
    "   select c.workflow_uuid, c.status, c.completed_at from dbos.workflow_status c"
    "   where c.parent_workflow_id = w.workflow_uuid"
    "   union all"
    "   select c.workflow_uuid, c.status, c.completed_at from dbos.workflow_status c"
    "   join tree on c.parent_workflow_id = tree.workflow_uuid)"
    f"  select from tree where status in {_ACTIVE} or completed_at >= :before)"
    f" and not exists (select from job j where left(w.workflow_uuid, {durable.UUID_LENGTH}) = j.id::text"
    "  and j.swept_at is null)"
    " and not exists (select from mail m where left(w.workflow_uuid, 41) = 'mail-' || m.id::text"
    "  and m.sent_at is null and m.failed_at is null)"
    " and not exists (select from webhook_delivery d where left(w.workflow_uuid, 44) = 'webhook-' || d.id::text"
    "  and d.status = 'pending')"
    " and not exists (select from polar_event e where w.workflow_uuid = 'polar-' || e.webhook_id"
    "  and e.outcome is null)"
    " and not exists (select from account_request r where w.workflow_uuid = 'account-' || r.id::text)"
    " as forgettable from w order by w.completed_at, w.workflow_uuid"
)
"""The next ones that ended before, and whether each can go: none other has begun it, or none that is still there."""
_TREES = sa.text(
    "with recursive tree as ("
    " select w.workflow_uuid, 0 as depth from dbos.workflow_status w where w.workflow_uuid = any(:roots)"
    " union all"
    " select c.workflow_uuid, tree.depth + 1 from dbos.workflow_status c"
    " join tree on c.parent_workflow_id = tree.workflow_uuid)"
    " select workflow_uuid from tree order by depth desc"
)
"""Children first: what is left by a deletion that was broken off is still found from its root."""
_FORGET_TRANSACTIONS = sa.text("delete from dbos.datasource_outputs where workflow_id = any(:ids)")
"""The notes of transactions of workflows that were cancelled or given up; the others delete theirs as they end."""


async def forget_ended(engine: AsyncEngine, before: datetime) -> int:
    """Delete the workflows that ended before, each with its descendants; returns how many. Safe to repeat."""
    forgotten = 0
    at: dict[str, Any] = {"before": _ms(before), "after": 0, "after_id": "", "at_once": AT_ONCE}
    while True:
        async with engine.connect() as connection:
            found = (await connection.execute(_OLD, at)).all()
            roots = [row.workflow_uuid for row in found if row.forgettable]
            ids = (await connection.scalars(_TREES, {"roots": roots})).all()
        for start in range(0, len(ids), AT_ONCE):
            await _delete(engine, list(ids[start : start + AT_ONCE]))
        forgotten += len(ids)
        if not found:
            return forgotten
        at |= {"after": found[-1].completed_at, "after_id": found[-1].workflow_uuid}


def _ms(time: datetime) -> int:
    """As DBOS keeps times."""
    return int(time.timestamp() * 1000)


async def _delete(engine: AsyncEngine, ids: list[str]) -> None:
    async with engine.begin() as connection:
        await connection.execute(_FORGET_TRANSACTIONS, {"ids": ids})
    await DBOS.delete_workflows_async(ids)


@DBOS.step(name="forget")
async def _forget() -> None:
    days = current().settings.workflow_days
    count = await forget_ended(current().engine, datetime.now(UTC) - timedelta(days=days))
    log.info("forgot workflows that ended long ago", workflows=count, days=days)


@DBOS.workflow(name=durable.FORGET_WORKFLOW, max_recovery_attempts=durable.MAX_RECOVERY_ATTEMPTS)
async def forget(_: datetime, __: None) -> None:
    """Deletes what is old; may be broken off, and begins again where it was."""
    with running():
        await _forget()


def schedules() -> list[ScheduleInput]:
    """Once a night, beside the long look at Polar's books."""
    return [{"schedule_name": "forget", "workflow_fn": forget, "schedule": "47 3 * * *", "context": None}]
