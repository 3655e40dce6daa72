"""What is told of a job and of credits once the transaction that decided it has been committed, and only then."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from orchestrator.observability import metrics
from orchestrator.observability.tracing import job_context, job_span_id, parent_of, send_span

_KEY = "octavia.after_commit"


class Decided(Protocol):
    """The columns of a job's row that are told."""

    id: UUID
    attempt: int
    kind: str
    credits: int
    status: str
    error: dict[str, Any] | None
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    traceparent: str | None


def after_commit(session: AsyncSession, tell: Callable[[], None]) -> None:
    """Call `tell` when the session's transaction has been committed; never where it is rolled back."""
    session.info.setdefault(_KEY, []).append(tell)


@sa.event.listens_for(Session, "after_commit")
def _committed(session: Session) -> None:
    if not session.in_nested_transaction():
        for tell in session.info.pop(_KEY, ()):
            tell()


@sa.event.listens_for(Session, "after_rollback")
def _rolled_back(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info.pop(_KEY, None)


def begun(session: AsyncSession, row: Decided) -> None:
    """A worker has begun an attempt at a job."""
    after_commit(session, lambda: _begun(row))


def ended(session: AsyncSession, row: Decided) -> None:
    """An attempt at a job was decided."""
    after_commit(session, lambda: _ended(row))


def posted(session: AsyncSession, kind: str, credits: int) -> None:
    """An entry of so many credits was posted to the ledger."""
    after_commit(session, lambda: metrics.CREDITS.labels(kind).inc(credits))


def _begun(row: Decided) -> None:
    if row.started_at is None:
        return
    waited = (row.started_at - row.queued_at).total_seconds()
    metrics.JOB_WAIT_SECONDS.labels("true" if row.credits else "false").observe(max(0.0, waited))
    context = job_context(row.traceparent, row.id, row.attempt)
    if context is not None:
        send_span("wait in the queue", row.queued_at, row.started_at, {"octavia.job_id": str(row.id)}, parent=context)


def _ended(row: Decided) -> None:
    metrics.JOBS_ENDED.labels(row.kind, row.status).inc()
    code = row.error["code"] if row.error else None
    if code is not None and row.status == "failed":
        metrics.JOB_ERRORS.labels(code).inc()
    if row.status == "completed" and row.started_at is not None and row.finished_at is not None:
        metrics.JOB_SECONDS.labels(row.kind).observe((row.finished_at - row.started_at).total_seconds())
    parent = parent_of(row.traceparent)
    if parent is None or row.finished_at is None:
        return
    told = {
        "octavia.job_id": str(row.id),
        "octavia.attempt": row.attempt,
        "octavia.kind": row.kind,
        "octavia.outcome": row.status,
    }
    send_span(
        "job",
        row.queued_at,
        row.finished_at,
        told,
        parent=parent,
        span_id=job_span_id(row.id, row.attempt),
        failed=code if row.status == "failed" else None,
    )
