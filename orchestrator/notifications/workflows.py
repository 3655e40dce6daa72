"""The durable workflow of a mail: one look after the other until it is sent or has failed for good.

What is guaranteed. A mail that was asked for in a committed transaction is looked after until it ends: `sent_at` is
set once a mail server has accepted it, `failed_at` when a server refused it for good, when a day of attempts was in
vain, or (by the sweeper, with an error in the log) when no workflow is left that would try. A mail with `sent_at` is
never sent again, and of several workers that look at one mail at the same time one sends it.

What is not. No protocol lets us hear an acceptance and remember it in one act. Between the mail server's acceptance
and our note of it lies a window, usually of milliseconds. In it a crash of the worker, a connection that breaks before
the answer has arrived, an outage of the database that outlasts our patience, or a process frozen for longer than its
claim makes us send the mail again. The repeat has the same Message-ID, date and content, so that it can be recognised.

A look is a workflow of its own, and the next is enqueued with a delay: a mail that waits for hours holds no place in
the queue, delays no worker's stop and is not recovered again and again.
"""

from uuid import UUID

import structlog
from dbos import DBOS, SetEnqueueOptions, SetWorkflowID

from orchestrator.jobs import durable
from orchestrator.jobs.heartbeat import running
from orchestrator.notifications import sending

log = structlog.get_logger(__name__)

attempt = DBOS.step(name="attempt_mail")(sending.attempt)


@DBOS.workflow(name=durable.MAIL_WORKFLOW, max_recovery_attempts=durable.MAX_RECOVERY_ATTEMPTS)
async def send_mail(mail_id: str, look: int) -> None:
    """Look at the mail once, and have it looked at again later where that is not its end. `look` counts from 1."""
    with running():
        try:
            pause = await attempt(mail_id)
        except Exception as error:  # the workflow's outermost frame: a bug or an outage must not lose the mail
            log.exception("mail attempt failed unexpectedly", mail_id=mail_id, kind=type(error).__name__)
            pause = sending.pause_s(look)
        if pause is not None:
            await _look_again(mail_id, look + 1, pause)


async def _look_again(mail_id: str, look: int, pause: float) -> None:
    workflow_id = durable.mail_workflow_id(UUID(mail_id), look)
    with SetWorkflowID(workflow_id), SetEnqueueOptions(delay_seconds=pause):
        await DBOS.enqueue_workflow_async(durable.MAILS_QUEUE, send_mail, mail_id, look)
