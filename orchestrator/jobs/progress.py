"""Writing a job's life: each change of the row comes with its event and a notification, in the caller's transaction.

An outcome is decided once: of completion, failure and cancellation, whoever commits first wins and the others find the
job no longer open. What a late step reports after that changes nothing. What the job's credits come to is decided with
it: completion spends what it held, failure and cancellation give it back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.credits import spending
from orchestrator.editing.adopting import adopt
from orchestrator.jobs import messages, outcomes
from orchestrator.jobs.models import Artifact, Job, JobAttempt, JobEvent
from orchestrator.observability import outcomes as observed

CHANNEL = "job"
"""PostgreSQL's notification channel; the payload is a job's id."""

_DECIDED = (
    Job.id,
    Job.attempt,
    Job.kind,
    Job.credits,
    Job.status,
    Job.error,
    Job.queued_at,
    Job.started_at,
    Job.finished_at,
    Job.traceparent,
)
OPEN = ("pending", "processing")
RETRYABLE = ("failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Forecast:
    """How fast a job has been (`eta.Pace` as JSON), and how long it still takes from `at` on; None: not known yet."""

    at: datetime
    pace: Mapping[str, Any]
    seconds_left: float | None

    def finish_at(self) -> datetime | None:
        return None if self.seconds_left is None else self.at + timedelta(seconds=self.seconds_left)


async def start(session: AsyncSession, job_id: UUID) -> bool:
    """pending → processing. True when this call did it."""
    changed = await _change(session, job_id, ("pending",), None, status="processing", started_at=sa.func.now())
    if changed:
        observed.begun(session, changed)
        event = await announce(session, job_id, "progress", {"status": "processing", "progress": 0})
        await _tell(session, event)
    return changed is not None


async def begin_again(session: AsyncSession, job: Job, key: str | None) -> None:
    """A failed or cancelled job, whose row the caller has locked, → pending, for its next attempt. Its price is held.

    The events before are told to nobody who follows it from now on. Raises InsufficientCreditsError.
    """
    job.attempt += 1
    await spending.hold(session, job.user_id, job.id, job.credits, job.attempt)
    job.status, job.stage, job.progress, job.counts, job.error = "pending", None, 0, {}, None
    job.message, job.pace, job.estimated_finish_at, job.quality = None, {}, None, {}
    job.queued_at, job.started_at, job.finished_at = sa.func.now(), None, None
    last = sa.select(sa.func.max(JobEvent.id)).where(JobEvent.job_id == job.id)
    job.last_event_before = await session.scalar(last) or 0
    session.add(JobAttempt(job_id=job.id, number=job.attempt, idempotency_key=key, credits=job.credits))
    await announce(session, job.id, "progress", {"status": "pending", "progress": 0})


async def lock(session: AsyncSession, job_id: UUID) -> Job | None:
    """The job's row, locked until the transaction ends, for whoever reads before it writes.

    Not its key: inserting a job's segments and renditions locks that, and two that did so would deadlock here.
    """
    return await session.get(Job, job_id, with_for_update={"key_share": True}, populate_existing=True)


async def record(
    session: AsyncSession,
    job_id: UUID,
    *,
    stage: str | None = None,
    progress: int | None = None,
    counts: Mapping[str, Sequence[int]] | None = None,
    message: str | None = None,
    forecast: Forecast | None = None,
) -> bool:
    """Report how far a processing job is. Neither the percentage nor any count ({"transcribing": [3, 12]}) goes back.

    `message`: what it is doing, in words; made of stage and count when left out. Returns whether the job was still
    processing; an unchanged row makes no event.
    """
    job = await lock(session, job_id)
    if job is None or job.status != "processing":
        return False
    merged = {**job.counts, **{name: _further(job.counts.get(name), pair) for name, pair in (counts or {}).items()}}
    after = (stage or job.stage, max(job.progress, progress or 0), merged)
    if after == (job.stage, job.progress, job.counts):
        return True
    job.stage, job.progress, job.counts = after
    data: dict[str, Any] = {
        "status": "processing",
        "stage": job.stage,
        "progress": job.progress,
        "counts": job.counts,
    }
    data["message"] = job.message = message or messages.of_event("progress", data)
    if forecast is not None:
        job.pace, job.estimated_finish_at = dict(forecast.pace), forecast.finish_at()
        data |= _told(forecast)
    await announce(session, job_id, "progress", data)
    return True


def _told(forecast: Forecast) -> dict[str, Any]:
    finish = forecast.finish_at()
    if forecast.seconds_left is None or finish is None:
        return {"eta_seconds": None, "estimated_finish_at": None}
    return {"eta_seconds": round(forecast.seconds_left), "estimated_finish_at": finish.isoformat()}


async def warn(session: AsyncSession, job_id: UUID, code: str, message: str) -> bool:
    """Tell the user something about a result that comes out all the same. The same code and message count once."""
    warning = {"code": code, "message": message}
    added = await session.execute(
        sa.update(Job)
        .where(Job.id == job_id, Job.status.in_(OPEN), sa.not_(Job.warnings.contains([warning])))
        .values(warnings=Job.warnings.concat([warning]))
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    if added.first() is None:
        return False
    await announce(session, job_id, "warning", warning)
    return True


async def complete(
    session: AsyncSession, job_id: UUID, artifacts: Sequence[Mapping[str, Any]], attempt: int | None = None
) -> bool:
    """processing → completed, publishing the artifacts (columns of `Artifact` without id and job_id): of a regeneration
    as those of the job it regenerates.

    True when this call decided the job; of an earlier `attempt` than the job's it decides nothing.
    """
    now = sa.func.clock_timestamp()
    values = {"status": "completed", "progress": 100, "finished_at": now, "expires_at": now + Job.kept_for}
    decided = await _change(session, job_id, ("processing",), attempt, **values)
    if decided:
        job = await session.get_one(Job, job_id, populate_existing=True)
        if job.regenerates is not None:
            await adopt(session, job, artifacts)
        else:
            session.add_all(Artifact(job_id=job_id, **artifact) for artifact in artifacts)
        observed.ended(session, decided)
        await spending.spend(session, job_id, decided.attempt)
        event = await announce(session, job_id, "completed", {"status": "completed", "progress": 100})
        await _tell(session, event)
    return decided is not None


async def fail(session: AsyncSession, job_id: UUID, code: str, message: str, attempt: int | None = None) -> bool:
    """An open job → failed, with the reason for its owner. True when this call decided the job (see `complete`)."""
    error = {"code": code, "message": message}
    values = {"status": "failed", "error": error, "finished_at": sa.func.clock_timestamp()}
    decided = await _change(session, job_id, OPEN, attempt, **values)
    if decided:
        observed.ended(session, decided)
        await spending.release(session, job_id, decided.attempt)
        event = await announce(session, job_id, "failed", {"status": "failed", "error": error})
        await _tell(session, event)
    return decided is not None


async def cancel(session: AsyncSession, job_id: UUID) -> bool:
    """An open job → cancelled. True when this call decided the job."""
    values = {"status": "cancelled", "finished_at": sa.func.clock_timestamp()}
    decided = await _change(session, job_id, OPEN, None, **values)
    if decided:
        observed.ended(session, decided)
        await spending.release(session, job_id, decided.attempt)
        event = await announce(session, job_id, "cancelled", {"status": "cancelled"})
        await _tell(session, event)
    return decided is not None


async def announce(session: AsyncSession, job_id: UUID, type_: str, data: Mapping[str, Any]) -> int:
    """Insert an event, with its sentence for people; its id. Those who follow the job hear of it at the commit.

    The caller holds the job's row, so that a job's events become visible in the order of their ids, and has changed
    something before, so that the transaction has a number when the event takes its own (see `horizon`).
    """
    await session.flush()
    told = {**data, "message": messages.of_event(type_, data)}
    values = {"job_id": job_id, "type": type_, "data": told, "channel": CHANNEL}
    return int((await session.execute(_ANNOUNCE, values)).scalar_one())


_ANNOUNCE = sa.text(
    """
    with told as (
        insert into job_event (job_id, user_id, type, data)
        select j.id, j.user_id, :type, :data from job j where j.id = :job_id
        returning id, job_id
    )
    select id, pg_notify(:channel, job_id::text) from told
    """
).bindparams(sa.bindparam("data", type_=JSONB))


async def _tell(session: AsyncSession, event_id: int) -> None:
    await outcomes.tell(session, await session.get_one(JobEvent, event_id))


async def _change(
    session: AsyncSession, job_id: UUID, from_: Sequence[str], attempt: int | None, **values: Any
) -> Any | None:
    """Change the job where it has one of these statuses and is at this attempt, or any; its columns _DECIDED then."""
    this = [Job.attempt == attempt] if attempt is not None else []
    changed = await session.execute(
        sa.update(Job)
        .where(Job.id == job_id, Job.status.in_(from_), *this)
        .values(**values)
        .returning(*_DECIDED)
        .execution_options(synchronize_session=False)
    )
    return changed.one_or_none()


def _further(before: Sequence[int] | None, now: Sequence[int]) -> list[int]:
    """Of two counts [done, expected], the larger of each: steps that end at once may report out of order."""
    return list(now) if before is None else [max(pair) for pair in zip(before, now, strict=True)]
