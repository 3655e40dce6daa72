"""The inbox of Polar's deliveries: verified, kept once, acknowledged; what they mean is found out later.

What is guaranteed. A delivery that was acknowledged is handled until it ends: as handled, ignored (types that say
nothing to us), parked (nothing of ours, or for a human) or failed (with the reason; `octavia billing replay` handles
it again). However often it is delivered, it is handled once.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.billing import wire
from orchestrator.billing.events import HANDLERS
from orchestrator.billing.models import ForgottenEmail, PolarEvent
from orchestrator.billing.named import Named, email_hash, named
from orchestrator.billing.signatures import MalformedDeliveryError, Signatures
from orchestrator.billing.wire import Delivery
from orchestrator.context import EnqueuePolarEvents

log = structlog.get_logger(__name__)

BODY_KEPT = timedelta(days=90)
"""After an event was handled; as long as Polar keeps it."""
EMAIL_KNOWN = timedelta(days=400)
"""The hash of a purged account's address: a year's subscription ends within that, and disputes come weeks later."""

_TYPE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_LOST = sa.text(
    "update polar_event e set outcome = 'failed', handled_at = now(), reason = 'its workflow is gone'"
    " where e.outcome is null and e.received_at < now() - interval '1 minute'"
    " and not exists (select from dbos.workflow_status w where w.status in ('ENQUEUED', 'DELAYED', 'PENDING')"
    " and w.workflow_uuid = 'polar-' || e.webhook_id) returning e.webhook_id, e.type"
)


def read(signatures: Signatures, body: bytes, headers: Mapping[str, str]) -> Delivery:
    """A delivery that is Polar's. Raises MalformedDeliveryError, InvalidSignatureError."""
    webhook_id = signatures.verify(body, headers)
    try:
        event = wire.Event.model_validate_json(body)
        event.timestamp.astimezone(UTC)  # not every time in ISO 8601 is one in UTC: 0001-01-01T00:00+14:00
    except (ValidationError, OverflowError):
        raise MalformedDeliveryError("the body is no event of Polar's") from None
    if not _TYPE.fullmatch(event.type):
        raise MalformedDeliveryError("the type is none of Polar's")
    return Delivery(webhook_id, event, body.decode())


async def keep(session: AsyncSession, enqueue: EnqueuePolarEvents, deliveries: Sequence[Delivery]) -> list[bool]:
    """Keep deliveries and enqueue their handling, both in the caller's transaction; False: it had been kept before."""
    unlike = {each.webhook_id: each for each in deliveries}
    # In one sequence everywhere: else two processes with the same deliveries could wait for each other for ever.
    rows = [_row(unlike[webhook_id]) for webhook_id in sorted(unlike)]
    statement = insert(PolarEvent).on_conflict_do_nothing().returning(PolarEvent.webhook_id)
    new = set((await session.scalars(statement, rows)).all())
    ours = [row["webhook_id"] for row in rows if row["webhook_id"] in new and row["outcome"] is None]
    if ours:
        await session.run_sync(enqueue, ours)
    kept = []
    for each in deliveries:
        kept.append(each.webhook_id in new)
        new.discard(each.webhook_id)
    return kept


async def keep_group(
    make: async_sessionmaker[AsyncSession], enqueue: EnqueuePolarEvents, deliveries: Sequence[Delivery]
) -> list[bool]:
    """`keep` in a transaction of its own."""
    async with make.begin() as session:
        return await keep(session, enqueue, deliveries)


def _row(delivery: Delivery) -> dict[str, Any]:
    """Of what says nothing to us the type alone is kept: nobody will ever read the rest."""
    event, ours = delivery.event, delivery.event.type in HANDLERS
    whom = named(event.data) if ours else Named([], [])
    return {
        "webhook_id": delivery.webhook_id,
        "type": event.type,
        "timestamp": event.timestamp,
        "body": delivery.body if ours else "",
        "user_ids": whom.user_ids,
        "email_hashes": whom.email_hashes,
        "outcome": None if ours else "ignored",
        "handled_at": None if ours else datetime.now(UTC),
    }


async def give_up_lost(engine: AsyncEngine) -> None:
    """Note as failed every event that no workflow looks after any more."""
    async with engine.begin() as connection:
        lost = (await connection.execute(_LOST)).all()
    for event in lost:
        log.error(
            "an event of Polar's was given up: its workflow is gone", webhook_id=event.webhook_id, type=event.type
        )


async def forget_user(session: AsyncSession, user_id: UUID) -> None:
    """Forget whom the events name that name this user: their bodies, and from now on their addresses in later ones.

    To be called while the account still has its address. What is not handled yet is left to `empty_old`.
    """
    address = await session.scalar(sa.select(User.email).where(User.id == user_id))
    theirs = PolarEvent.user_ids.contains([user_id]) | PolarEvent.body.contains(str(user_id))
    found = await session.scalars(sa.select(sa.func.unnest(PolarEvent.email_hashes)).where(theirs).distinct())
    hashes = {*found, *([email_hash(address)] if address else [])}
    if hashes:
        statement = insert(ForgottenEmail).values([{"hash": each} for each in sorted(hashes)])
        again = {"forgotten_at": sa.func.now()}
        await session.execute(statement.on_conflict_do_update(index_elements=["hash"], set_=again))
    await _empty(session, theirs)


async def empty_old(session: AsyncSession) -> None:
    """Forget the bodies of events that were handled long ago, or name somebody whose account was purged.

    They hold names and addresses. Whose address alone is known is somebody else's where an account of ours is named
    too that was not purged: who signs up again has the same.
    """
    now = datetime.now(UTC)
    await session.execute(sa.delete(ForgottenEmail).where(ForgottenEmail.forgotten_at < now - EMAIL_KNOWN))
    named_users = User.id == sa.func.any(PolarEvent.user_ids)
    purged = sa.exists().where(named_users, User.purged_at.is_not(None))
    living = sa.exists().where(named_users, User.purged_at.is_(None))
    forgotten = sa.exists().where(ForgottenEmail.hash == sa.func.any(PolarEvent.email_hashes))
    await _empty(session, (PolarEvent.handled_at < now - BODY_KEPT) | purged | (forgotten & ~living))


async def _empty(session: AsyncSession, which: sa.ColumnElement[bool]) -> None:
    """What is still to be handled keeps its body until then."""
    handled = (PolarEvent.outcome.is_not(None), PolarEvent.body != "")
    nothing: dict[str, Any] = {"body": "", "email_hashes": []}
    statement = sa.update(PolarEvent).where(*handled, which).values(**nothing)
    await session.execute(statement.execution_options(synchronize_session=False))
