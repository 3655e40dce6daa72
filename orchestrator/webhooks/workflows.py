"""The durable workflow of a delivery: one look after the other until it is taken or given up.

A delivery that was asked for in a committed transaction is looked after until it ends. As with mails, a look is a
workflow of its own and the next is enqueued with a delay, so that waiting for days holds no place. An endpoint may be
sent a message twice: between its answer and our note of it lies a window. Both times it has the same `webhook-id`.
"""

from uuid import UUID

import structlog
from dbos import DBOS, SetEnqueueOptions, SetWorkflowID

from orchestrator.jobs import durable
from orchestrator.jobs.heartbeat import running
from orchestrator.webhooks import schedule, sending

log = structlog.get_logger(__name__)

attempt = DBOS.step(name="attempt_webhook")(sending.attempt)


@DBOS.workflow(name=durable.WEBHOOK_WORKFLOW, max_recovery_attempts=durable.MAX_RECOVERY_ATTEMPTS)
async def deliver(delivery_id: str, user_id: str, series: int, look: int) -> None:
    """Attempt the delivery once, and have it looked at again later where that is not its end. `look` counts from 1."""
    with running():
        try:
            pause = await attempt(delivery_id, series)
        except Exception as error:  # the workflow's outermost frame: a bug or an outage must not lose the delivery
            log.exception("webhook attempt failed unexpectedly", delivery=delivery_id, kind=type(error).__name__)
            pause = schedule.pause_s(look)
        if pause is not None:
            await _look_again(delivery_id, user_id, series, look + 1, pause)


async def _look_again(delivery_id: str, user_id: str, series: int, look: int, pause: float) -> None:
    workflow_id = durable.webhook_workflow_id(UUID(delivery_id), series, look)
    with SetWorkflowID(workflow_id), SetEnqueueOptions(delay_seconds=pause, queue_partition_key=user_id):
        await DBOS.enqueue_workflow_async(durable.WEBHOOKS_QUEUE, deliver, delivery_id, user_id, series, look)
