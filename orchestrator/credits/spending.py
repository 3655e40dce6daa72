"""What jobs do with credits: held at the start, spent by completion, released by failure and cancellation.

Each function works in the transaction that decides the job, with the job's row locked before the account's.
"""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.credits import ledger


def reference(job_id: UUID, attempt: int = 1) -> str:
    """By which the ledger names an attempt at a job."""
    return f"job:{job_id}" if attempt == 1 else f"job:{job_id}:{attempt}"


async def hold(session: AsyncSession, user_id: UUID, job_id: UUID, credits: int, attempt: int = 1) -> None:
    """Reserves the price of an attempt. One that costs nothing holds nothing. Raises InsufficientCreditsError."""
    if credits:
        name = reference(job_id, attempt)
        await ledger.hold(session, user_id, credits, key=f"{name}:hold", reference=name)


async def spend(session: AsyncSession, job_id: UUID, attempt: int = 1) -> None:
    """Captures what the attempt holds, if it holds anything still."""
    held = await ledger.open_hold(session, reference(job_id, attempt))
    if held is not None:
        await ledger.capture(session, held.id)


async def release(session: AsyncSession, job_id: UUID, attempt: int = 1) -> None:
    """Gives back what the attempt holds, if it holds anything still."""
    held = await ledger.open_hold(session, reference(job_id, attempt))
    if held is not None:
        await ledger.release(session, held.id)


LOST_HOLDS = sa.text(
    "select h.id, case when j.attempt = h.attempt then j.status end as status"
    " from (select id, created_at, split_part(reference, ':', 2) as job_id,"
    " coalesce(nullif(split_part(reference, ':', 3), ''), '1')::int as attempt"
    " from credit_entry where kind = 'hold' and reference like 'job:%') h left join job j on j.id::text = h.job_id"
    " where h.created_at < now() - interval '1 minute'"
    " and not exists (select from credit_entry s where s.settles = h.id)"
    " and (j.id is null or j.attempt > h.attempt or (j.status in ('completed', 'failed', 'cancelled')"
    " and j.finished_at < now() - interval '1 minute')) limit 100"
)
"""Open holds of jobs that are gone, have ended or are at a later attempt, and how they ended: nothing else would ever
settle them."""


async def settle_lost(session: AsyncSession, hold_id: UUID, status: str | None) -> None:
    """Captures the hold of a completed job, releases that of any other."""
    if status == "completed":
        await ledger.capture(session, hold_id)
    else:
        await ledger.release(session, hold_id)
