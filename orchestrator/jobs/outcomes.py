"""What users are told of a job beyond its events, first half: in the transaction that decides the job.

There a notification for the pages is left, and a workflow is enqueued if there is more to tell (see `telling`): so what
is decided is told, and what is not is not. Composing mails is left to the workflow, so that nothing that goes wrong
with it keeps a job from its outcome.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts.models import User
from orchestrator.accounts.schemas import Notification as Wish
from orchestrator.accounts.schemas import wants_mail
from orchestrator.jobs import durable
from orchestrator.jobs.models import Job, JobEvent
from orchestrator.media.models import Media
from orchestrator.notifications import in_app
from orchestrator.webhooks.events import Event
from orchestrator.webhooks.models import WebhookEndpoint

MAILS: Mapping[str, Wish] = {"completed": "job_completed", "failed": "job_failed"}
"""The outcomes that are mailed, and by which of the user's switches. Who cancels a job knows it."""
HOOKS: Mapping[str, Event] = {
    "progress": "job.started",  # of a job's events of this type the one of its start
    "completed": "job.completed",
    "failed": "job.failed",
    "cancelled": "job.cancelled",
}


@dataclass(frozen=True, slots=True)
class Told:
    """A job with what is needed to tell of it."""

    job: Job
    filename: str
    user: User

    def is_mailed(self, event: JobEvent) -> bool:
        return event.type in MAILS and wants_mail(self.user.notifications, MAILS[event.type])


async def tell(session: AsyncSession, event: JobEvent) -> None:
    """Called where a job is begun or decided, in that transaction, with its event."""
    told = await about(session, event.job_id)
    if told is None or told.job.regenerates is not None:  # who regenerates follows it
        return
    job = told.job
    if event.type == "completed":
        in_app.add(session, told.user, in_app.job_completed(job.id, job.kind, told.filename))
    elif event.type == "failed":
        reason = event.data["error"]["message"]
        in_app.add(session, told.user, in_app.job_failed(job.id, job.kind, told.filename, reason))
    if told.is_mailed(event) or await session.scalar(listening(told.user.id, event).limit(1)) is not None:
        await session.run_sync(durable.enqueue_telling, event.id)


async def about(session: AsyncSession, job_id: UUID) -> Told | None:
    """None where nobody is told: the account is closed or disabled."""
    query = (
        sa.select(Job, Media.filename, User)
        .join(Media, Media.id == Job.media_id)
        .join(User, User.id == Job.user_id)
        .where(Job.id == job_id, User.status == "active")
    )
    row = (await session.execute(query)).one_or_none()
    return None if row is None else Told(*row)


def listening(user_id: UUID, event: JobEvent) -> sa.Select[UUID]:
    """Ids of the user's endpoints that are to hear of an event."""
    endpoint = WebhookEndpoint
    return (
        sa.select(endpoint.id)
        .where(
            endpoint.user_id == user_id,
            endpoint.disabled_at.is_(None),
            endpoint.events.contains([HOOKS[event.type]]),
        )
        .order_by(endpoint.id)
    )
