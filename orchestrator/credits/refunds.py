"""Credits of a grant that are taken back when its payment was, and given back when that failed."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from orchestrator.credits.errors import ExcessRefundError, NoSuchGrantError
from orchestrator.credits.lots import draw
from orchestrator.credits.models import CreditEntry, CreditLot, CreditLotUse
from orchestrator.credits.posting import Draft, LockedAccount, begin, positive, present, read_lots


async def take_back(
    session: AsyncSession,
    user_id: UUID,
    credits: int,
    *,
    key: str,
    reference: str,
    grant_key: str,
    now: datetime | None = None,
) -> CreditEntry:
    """Take back credits of a grant that was refunded or lost in a dispute.

    They come from what is left of that grant, then from its credits that have expired, then from other lots, the
    soonest expiring first; what nobody has any more is debt. Raises NoSuchGrantError, ExcessRefundError.
    """
    granted = await _granted(session, user_id, grant_key)
    draft = Draft("refund", -positive(credits), key, reference, refunds=granted.id)
    account, earlier = await begin(session, user_id, draft, now)
    if earlier is not None:
        return earlier
    left = granted.amount - await _taken_back(session, granted)
    if credits > left:
        raise ExcessRefundError(grant_key, credits, left, "taken")
    await _undo_expiry(account, draft, granted)
    own = [lot for lot in account.lots if lot.grant_id == granted.id]
    others = [lot for lot in account.lots if lot.grant_id != granted.id]
    return await account.post(draft, draw([*own, *others], credits))


async def give_back(
    session: AsyncSession,
    user_id: UUID,
    credits: int,
    *,
    key: str,
    reference: str,
    grant_key: str,
    now: datetime | None = None,
) -> CreditEntry:
    """Undo a `take_back` whose refund failed, or of a dispute that was won after all: a lot with the grant's term.

    Where that is over, the credits live for the rest of `lots.GRACE`. Raises NoSuchGrantError, ExcessRefundError.
    """
    granted = await _granted(session, user_id, grant_key)
    draft = Draft("refund", positive(credits), key, reference, refunds=granted.id)
    account, earlier = await begin(session, user_id, draft, now)
    if earlier is not None:
        return earlier
    taken = await _taken_back(session, granted)
    if credits > taken:
        raise ExcessRefundError(grant_key, credits, taken, "given")
    (lot,) = await read_lots(session, CreditLot.entry_id == granted.id)
    entry = await account.add(draft, lot.term.resumed(now or present()))
    await account.expire(now or present())
    return entry


async def _granted(session: AsyncSession, user_id: UUID, key: str) -> CreditEntry:
    query = sa.select(CreditEntry).where(CreditEntry.idempotency_key == key, CreditEntry.user_id == user_id)
    entry = await session.scalar(query.where(CreditEntry.kind.in_(("purchase", "grant"))))
    if entry is None:
        raise NoSuchGrantError(key)
    return entry


async def _taken_back(session: AsyncSession, granted: CreditEntry) -> int:
    """How many of a grant's credits are taken back, those given back again left out."""
    refunds = sa.select(-sa.func.coalesce(sa.func.sum(CreditEntry.amount), 0))
    these = refunds.where(CreditEntry.refunds == granted.id, CreditEntry.kind == "refund")
    return int((await session.scalars(these)).one())


async def _undo_expiry(account: LockedAccount, refund: Draft, granted: CreditEntry) -> None:
    """What of a refunded grant has expired is not taken a second time: so much of the expiry is undone first."""
    missing = -refund.amount - sum(lot.remaining for lot in account.lots if lot.grant_id == granted.id)
    gone = min(missing, await _expired(account.session, granted)) if missing > 0 else 0
    if gone > 0:
        note = "expired credits of a refund"
        key = f"{refund.key}:expired"
        await account.add(Draft("expiry", gone, key, refund.reference, refunds=granted.id, note=note))


async def _expired(session: AsyncSession, granted: CreditEntry) -> int:
    """How many of a grant's credits have expired and were not taken back yet."""
    origin, entry = aliased(CreditEntry), aliased(CreditEntry)
    used = (
        sa.select(sa.func.coalesce(sa.func.sum(CreditLotUse.credits), 0))
        .join(CreditLot, CreditLot.id == CreditLotUse.lot_id)
        .join(origin, origin.id == CreditLot.entry_id)
        .join(entry, entry.id == CreditLotUse.entry_id)
        .where(sa.or_(origin.id == granted.id, origin.refunds == granted.id), entry.kind == "expiry", entry.amount < 0)
        .scalar_subquery()
    )
    undone = (
        sa.select(sa.func.coalesce(sa.func.sum(CreditEntry.amount), 0))
        .where(CreditEntry.refunds == granted.id, CreditEntry.kind == "expiry")
        .scalar_subquery()
    )
    return int((await session.execute(sa.select(used - undone))).scalar_one())
