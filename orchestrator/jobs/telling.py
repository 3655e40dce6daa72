"""What users are told of a job beyond its events, second half: the workflow that posts the mail and the webhooks.

Their rows, their workflows and the note that this was done are one transaction, which is done once.
"""

from functools import partial

import structlog
from dbos import DBOS
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.context import EnqueueMail
from orchestrator.errors import OctaviaError
from orchestrator.jobs import durable
from orchestrator.jobs.context import current
from orchestrator.jobs.heartbeat import running
from orchestrator.jobs.models import JobEvent
from orchestrator.jobs.outcomes import HOOKS, Told, about, listening
from orchestrator.notifications import messages
from orchestrator.notifications.in_app import page_of_job
from orchestrator.notifications.messages import Message
from orchestrator.notifications.service import post
from orchestrator.observability.tracing import job_context, span
from orchestrator.webhooks import events
from orchestrator.webhooks.service import send

log = structlog.get_logger(__name__)

PAUSES_S = (1.0, 10.0, 60.0)
"""Between attempts at what failed though the database was there."""


class UntoldError(OctaviaError):
    def __init__(self, event_id: int) -> None:
        super().__init__("untold", f"The job event {event_id} could not be told of.", 500)


async def spread(session: AsyncSession, event_id: int, web_url: str, enqueue_mail: EnqueueMail) -> None:
    """Post the mail and the webhooks of an event, in the caller's transaction."""
    event = await session.get(JobEvent, event_id)
    told = await about(session, event.job_id) if event is not None else None
    if event is None or told is None:
        return
    job = told.job
    with span("tell", {"octavia.event": event.type}, parent=job_context(job.traceparent, job.id, job.attempt)):
        await _spread(session, event, told, web_url, enqueue_mail)


async def _spread(session: AsyncSession, event: JobEvent, told: Told, web_url: str, enqueue_mail: EnqueueMail) -> None:
    if told.is_mailed(event):
        await post(session, enqueue_mail, _mail(event, told, web_url), told.user.id)
    name, job = HOOKS[event.type], told.job
    status = "processing" if name == "job.started" else event.type
    data = events.of_job(job.id, job.kind, status, job.media_id, event.data.get("error", {}).get("code"))
    body = events.body(name, event.at, data)
    # Locked by their keys: one that is being deleted is waited for, and then is none any more.
    there = listening(told.user.id, event).with_for_update(read=True, key_share=True)
    for endpoint_id in (await session.scalars(there)).all():
        await send(session, endpoint_id, told.user.id, name, body, job.id)


def _mail(event: JobEvent, told: Told, web_url: str) -> Message:
    user, job = told.user, told.job
    link = web_url.rstrip("/") + page_of_job(job.kind, job.id)
    if event.type == "completed":
        return messages.job_completed(user.email, user.name, told.filename, link, job.expires_at)
    return messages.job_failed(user.email, user.name, told.filename, link, event.data["error"]["message"])


@DBOS.workflow(name=durable.TELL_WORKFLOW, max_recovery_attempts=durable.MAX_RECOVERY_ATTEMPTS)
async def tell(event_id: int) -> None:
    """Tells of an event, once."""
    with running():
        datasource, settings = current().datasource, current().settings
        enqueue_mail = partial(durable.enqueue_mail, current().queue)

        async def transaction() -> None:
            await spread(datasource.sql_session(), event_id, settings.web_url, enqueue_mail)

        for pause in PAUSES_S:
            try:
                await datasource.run_tx_step_async({"name": "tell", "isolation_level": "READ COMMITTED"}, transaction)
            except Exception as error:  # the workflow's outermost frame: a bug or a conflict must not lose the news
                log.exception("a job's outcome was not told", event_id=event_id, kind=type(error).__name__)
                await DBOS.sleep_async(pause)
            else:
                return
        raise UntoldError(event_id)
