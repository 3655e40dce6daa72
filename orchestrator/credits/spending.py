"""What jobs do with credits: held at the start, spent by completion, released by failure and cancellation.

Each function works in the transaction that decides the job, with the job's row locked before the account's.
"""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.credits import ledger


def reference(job_id: UUID) -> str:
    """By which the ledger names a job."""
    return f"job:{job_id}"


async def hold(session: AsyncSession, user_id: UUID, job_id: UUID, credits: int) -> None:
    """Reserves the price of a job. One that costs nothing holds nothing. Raises InsufficientCreditsError."""
    if credits:
        name = reference(job_id)
        await ledger.hold(session, user_id, credits, key=f"{name}:hold", reference=name)


async def spend(session: AsyncSession, job_id: UUID) -> None:
    """Captures what the job holds, if it holds anything still."""
    held = await ledger.open_hold(session, reference(job_id))
    if held is not None:
        await ledger.capture(session, held.id)


async def release(session: AsyncSession, job_id: UUID) -> None:
    """Gives back what the job holds, if it holds anything still."""
    held = await ledger.open_hold(session, reference(job_id))
    if held is not None:
        await ledger.release(session, held.id)


LOST_HOLDS = sa.text(
    "select h.id, j.status from credit_entry h left join job j on h.reference = 'job:' || j.id::text"
    " where h.kind = 'hold' and h.reference like 'job:%' and h.created_at < now() - interval '1 minute'"
    " and not exists (select from credit_entry s where s.settles = h.id)"
    " and (j.id is null or (j.status in ('completed', 'failed', 'cancelled')"
    " and j.finished_at < now() - interval '1 minute')) limit 100"
)
"""Open holds of jobs that are gone or have ended, and how: nothing else would ever settle them."""


async def settle_lost(session: AsyncSession, hold_id: UUID, status: str | None) -> None:
    """Captures the hold of a completed job, releases that of any other."""
    if status == "completed":
        await ledger.capture(session, hold_id)
    else:
        await ledger.release(session, hold_id)
