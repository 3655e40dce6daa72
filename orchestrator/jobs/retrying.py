"""Another attempt at a job that failed or was cancelled: what it has done stays done, and its price is held again."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.context import AppContext
from orchestrator.errors import NotFoundError, OctaviaError
from orchestrator.jobs import progress, service
from orchestrator.jobs.models import Job, JobAttempt
from orchestrator.media.models import Media


class NotRetryableError(OctaviaError):
    def __init__(self, job: Job) -> None:
        message = f"Job {job.id} is {job.status}; only a failed or cancelled job can be tried again."
        if job.regenerates is not None:
            message = f"Job {job.id} is a regeneration; regenerate job {job.regenerates} again instead."
        super().__init__("job_not_retryable", message, 409)


class WorkDiscardedError(OctaviaError):
    def __init__(self, job: Job) -> None:
        message = f"What job {job.id} had done, or its file, was deleted meanwhile. Start a new job."
        super().__init__("work_discarded", message, 409)


@dataclass(frozen=True, slots=True)
class Retried:
    """A job, and whether this request began its attempt or an earlier one with the same key."""

    job: Job
    new: bool


async def retry(context: AppContext, user_id: UUID, job_id: UUID, key: str | None) -> Retried:
    """Begin a job's next attempt: in one transaction it is pending again, its price held, its workflow enqueued.

    Raises NotFoundError, NotRetryableError, WorkDiscardedError, InsufficientCreditsError.
    """
    async with context.sessions() as session:
        job = await service.get(session, user_id, job_id)
        media = await session.get_one(Media, job.media_id)
    source_is_there = await context.storage.exists(media.storage_key)
    async with context.sessions.begin() as session:
        await service.insist_on_active(session, user_id)
        locked = await progress.lock(session, job_id)
        if locked is None or locked.deleted_at is not None:
            raise NotFoundError("job", job_id)
        if await _is_answered(session, job_id, key):
            return Retried(locked, new=False)
        if locked.status not in progress.RETRYABLE or locked.regenerates is not None:
            raise NotRetryableError(locked)
        kept = sa.select(Media).where(Media.id == locked.media_id).with_for_update(read=True)
        source = await session.scalar(kept.execution_options(populate_existing=True))
        gone = source is None or not source.available or not source_is_there
        if gone or locked.discarded_at is not None or locked.withdrawn_at is not None:
            raise WorkDiscardedError(locked)
        before = locked.attempt
        await progress.begin_again(session, locked, key)
        enqueue = partial(context.backends.enqueue, attempt=locked.attempt, paid=locked.credits > 0)
        await session.run_sync(enqueue, job_id, user_id)
        await session.refresh(locked)
    await service.stop(context, job_id, before)  # its windows still in the queue, a passage still being spoken
    return Retried(locked, new=True)


async def _is_answered(session: AsyncSession, job_id: UUID, key: str | None) -> bool:
    """Whether a request with this key has begun an attempt already."""
    query = sa.select(JobAttempt.number).where(JobAttempt.job_id == job_id, JobAttempt.idempotency_key == key)
    return key is not None and await session.scalar(query) is not None
