"""The inbox of Polar's deliveries: verified, kept once, acknowledged; what they mean is found out later.

What is guaranteed. A delivery that was acknowledged is handled until it ends: as handled, ignored (types that say
nothing to us), parked (nothing of ours, or for a human) or failed (with the reason; `octavia billing replay` handles
it again). However often it is delivered, it is handled once.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog
from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from orchestrator.billing import wire
from orchestrator.billing.events import HANDLERS
from orchestrator.billing.models import PolarEvent
from orchestrator.billing.signatures import MalformedDeliveryError, Signatures
from orchestrator.context import EnqueuePolarEvent

log = structlog.get_logger(__name__)

BODY_KEPT = timedelta(days=90)
"""After an event was handled; as long as Polar keeps it."""

_TYPE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_LOST = sa.text(
    "update polar_event e set outcome = 'failed', handled_at = now(), reason = 'its workflow is gone'"
    " where e.outcome is null and e.received_at < now() - interval '1 minute'"
    " and not exists (select from dbos.workflow_status w where w.status in ('ENQUEUED', 'DELAYED', 'PENDING')"
    " and w.workflow_uuid = 'polar-' || e.webhook_id) returning e.webhook_id, e.type"
)


def read(signatures: Signatures, body: bytes, headers: Mapping[str, str]) -> tuple[str, wire.Event]:
    """The id and the envelope of a delivery. Raises MalformedDeliveryError, InvalidSignatureError."""
    webhook_id = signatures.verify(body, headers)
    try:
        event = wire.Event.model_validate_json(body)
        event.timestamp.astimezone(UTC)  # not every time in ISO 8601 is one in UTC: 0001-01-01T00:00+14:00
    except (ValidationError, OverflowError):
        raise MalformedDeliveryError("the body is no event of Polar's") from None
    if not _TYPE.fullmatch(event.type):
        raise MalformedDeliveryError("the type is none of Polar's")
    return webhook_id, event


async def keep(
    session: AsyncSession, enqueue: EnqueuePolarEvent, webhook_id: str, event: wire.Event, body: bytes
) -> bool:
    """Keep a delivery and enqueue its handling, both in the caller's transaction; False: it had been kept before."""
    ours = event.type in HANDLERS
    statement = insert(PolarEvent).values(
        webhook_id=webhook_id,
        type=event.type,
        timestamp=event.timestamp,
        body=body.decode(),
        outcome=None if ours else "ignored",
        handled_at=None if ours else sa.func.now(),
    )
    new = await session.scalar(statement.on_conflict_do_nothing().returning(PolarEvent.webhook_id))
    if new is not None and ours:
        await session.run_sync(enqueue, webhook_id)
    return new is not None


async def give_up_lost(engine: AsyncEngine) -> None:
    """Note as failed every event that no workflow looks after any more."""
    async with engine.begin() as connection:
        lost = (await connection.execute(_LOST)).all()
    for event in lost:
        log.error(
            "an event of Polar's was given up: its workflow is gone", webhook_id=event.webhook_id, type=event.type
        )


async def forget_user(session: AsyncSession, user_id: UUID) -> None:
    """Forget the bodies of every event that names this user."""
    theirs = PolarEvent.body.contains(str(user_id))
    await session.execute(sa.update(PolarEvent).where(theirs, PolarEvent.outcome.is_not(None)).values(body=""))


async def empty_old(session: AsyncSession) -> None:
    """Forget the bodies of events that were handled long ago: they hold names and addresses."""
    old = (PolarEvent.handled_at < datetime.now(UTC) - BODY_KEPT, PolarEvent.body != "")
    await session.execute(sa.update(PolarEvent).where(*old).values(body=""))
