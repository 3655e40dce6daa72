"""The durable workflows of billing: one per event that Polar sent, and the scheduled reconciliation.

An event that was acknowledged reaches its end whatever dies meanwhile: its effect on the books and the note that it
was handled are one transaction, which is done once. One that cannot be handled ends as failed with its reason.
"""

from datetime import datetime
from typing import Any

import structlog
from dbos import DBOS
from dbos._dbos import ScheduleInput

from orchestrator.billing import events, reconciliation
from orchestrator.billing.events import BodyGoneError, UnreadableEventError
from orchestrator.billing.look_back import LONG_DAYS, QUICK_DAYS
from orchestrator.errors import NotFoundError
from orchestrator.jobs import durable
from orchestrator.jobs.context import current
from orchestrator.jobs.heartbeat import running
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)

PAUSES_S = (1.0, 10.0, 60.0)
"""Between attempts at what failed though the database was there."""
HOPELESS = (UnreadableEventError, BodyGoneError, NotFoundError)


@DBOS.workflow(name=durable.POLAR_EVENT_WORKFLOW, max_recovery_attempts=durable.MAX_RECOVERY_ATTEMPTS)
async def handle_event(webhook_id: str) -> None:
    """Handles an event: its effect and its outcome in one transaction."""
    with running():
        reason = "not handled"
        for pause in (*PAUSES_S, None):
            try:
                await _in_transaction("handle", events.handle, current().settings, webhook_id)
            except Exception as error:  # the workflow's outermost frame: a bug or a conflict must not lose an event
                log.exception("an event of Polar's was not handled", webhook_id=webhook_id, kind=type(error).__name__)
                reason = events.said(error)
                if isinstance(error, HOPELESS):
                    break
                if pause is not None:
                    await DBOS.sleep_async(pause)
            else:
                return
        await _in_transaction("give_up", events.note_failure, webhook_id, reason)
        log.error("an event of Polar's was given up; see `octavia billing replay`", webhook_id=webhook_id)


async def _in_transaction(name: str, work: Any, *arguments: Any) -> None:
    datasource = current().datasource

    async def transaction() -> None:
        await work(datasource.sql_session(), *arguments)

    await datasource.run_tx_step_async({"name": name, "isolation_level": "READ COMMITTED"}, transaction)


@DBOS.step(name="reconcile")
async def _reconcile(days: int) -> None:
    context = current()
    await reconciliation.run(context.engine, context.settings, days=days)


@DBOS.workflow(name=durable.RECONCILE_WORKFLOW, max_recovery_attempts=durable.MAX_RECOVERY_ATTEMPTS)
async def reconcile(_: datetime, days: int) -> None:
    """Compares Polar's books with ours; each order in a transaction of its own, so that it may be broken off."""
    with running():
        if current().settings.billing:
            await _reconcile(days)


def schedules(settings: Settings) -> list[ScheduleInput]:
    """The quick look back, and the long one at night."""
    return [
        _schedule("reconcile", f"*/{settings.reconcile_minutes} * * * *", QUICK_DAYS),
        _schedule("reconcile-long", "17 3 * * *", LONG_DAYS),
    ]


def _schedule(name: str, cron: str, days: int) -> ScheduleInput:
    return {"schedule_name": name, "workflow_fn": reconcile, "schedule": cron, "context": days}
