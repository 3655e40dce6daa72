"""The ledger: what may happen to a user's credits.

Every function works in the caller's transaction and locks the account's row, so that what happens to one account
happens one after the other. Each is idempotent by its key: called again with it, it changes nothing and returns the
entry of the first time; with another account, kind, amount or reference it raises LedgerConflictError. Credits are
spent soonest expiring first, and what has expired by `now` (the present moment, where it is not given) is spent never.
"""

from dataclasses import replace
from datetime import datetime
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.credits.balances import Balance, Expiring, balance, open_hold, open_holds
from orchestrator.credits.errors import (
    ExcessRefundError,
    InsufficientCreditsError,
    InvalidCreditsError,
    LedgerConflictError,
    NoSuchGrantError,
    NoSuchHoldError,
)
from orchestrator.credits.lots import Lot, Term, draw, put_back
from orchestrator.credits.models import CreditEntry, CreditLot, CreditLotUse
from orchestrator.credits.posting import Draft, LockedAccount, begin, lock, positive, present, read_lots
from orchestrator.credits.refunds import give_back, take_back

__all__ = [
    "Balance",
    "ExcessRefundError",
    "Expiring",
    "InsufficientCreditsError",
    "InvalidCreditsError",
    "LedgerConflictError",
    "NoSuchGrantError",
    "NoSuchHoldError",
    "adjust",
    "balance",
    "capture",
    "expire_due",
    "give_back",
    "grant",
    "hold",
    "open_hold",
    "open_holds",
    "release",
    "take_back",
]

log = structlog.get_logger(__name__)

Make = async_sessionmaker[AsyncSession]


async def grant(
    session: AsyncSession,
    user_id: UUID,
    credits: int,
    *,
    key: str,
    reference: str,
    kind: Literal["purchase", "grant"] = "grant",
    expires_at: datetime | None = None,
    note: str | None = None,
    now: datetime | None = None,
) -> CreditEntry:
    """New credits: they pay the debt, and what is left can be spent until `expires_at` (None: for ever)."""
    if expires_at is not None and expires_at.tzinfo is None:
        raise InvalidCreditsError(f"The expiry {expires_at} of credits has no time zone.")
    draft = Draft(kind, positive(credits), key, reference, note=note)
    account, earlier = await begin(session, user_id, draft, now)
    return earlier or await account.add(draft, Term(expires_at))


async def hold(
    session: AsyncSession, user_id: UUID, credits: int, *, key: str, reference: str, now: datetime | None = None
) -> CreditEntry:
    """Reserve credits until they are captured or released. Raises InsufficientCreditsError."""
    draft = Draft("hold", -positive(credits), key, reference, held_amount=credits)
    account, earlier = await begin(session, user_id, draft, now)
    return earlier or await _spend(account, draft)


async def capture(
    session: AsyncSession, hold_id: UUID, credits: int | None = None, *, now: datetime | None = None
) -> CreditEntry | None:
    """Spend a hold, all of it or so many credits, of which the rest goes back to its lots. None: settled already.

    Raises NoSuchHoldError, and InvalidCreditsError for less than 1 or more than is held.
    """
    held = await _hold(session, hold_id)
    spent = held.held_amount if credits is None else credits
    if not 1 <= spent <= held.held_amount:
        raise InvalidCreditsError(f"Of a hold of {held.held_amount} credits, {spent} cannot be captured.")
    return await _settle(session, held, "capture", spent, now)


async def release(session: AsyncSession, hold_id: UUID, *, now: datetime | None = None) -> CreditEntry | None:
    """Give a hold's credits back to their lots. None: settled already. Raises NoSuchHoldError.

    They pay a debt first. To lots that have expired meanwhile they come back for the rest of `lots.GRACE`, once.
    """
    return await _settle(session, await _hold(session, hold_id), "release", 0, now)


async def adjust(
    session: AsyncSession,
    user_id: UUID,
    credits: int,
    *,
    key: str,
    reference: str,
    note: str,
    now: datetime | None = None,
) -> CreditEntry:
    """Correct an account by hand, up or down. Raises InsufficientCreditsError where it would go below zero."""
    draft = Draft("adjustment", (1 if credits > 0 else -1) * positive(abs(credits)), key, reference, note=note)
    account, earlier = await begin(session, user_id, draft, now)
    return earlier or (await account.add(draft) if credits > 0 else await _spend(account, draft))


async def expire_due(make: Make, now: datetime) -> int:
    """Expire every lot whose term is over, account by account; returns how many.

    An account that cannot be posted to is logged and keeps no other from its turn. Safe to repeat, and to run at once.
    """
    async with make() as session:
        due = sa.select(CreditLot.user_id).where(CreditLot.remaining > 0, CreditLot.expires_at <= now).distinct()
        users = (await session.scalars(due)).all()
    expired = 0
    for user_id in users:
        try:
            async with make.begin() as session:
                account = await lock(session, user_id)
                account.lots = await read_lots(session, CreditLot.user_id == user_id, CreditLot.remaining > 0)
                here = await account.expire(now)
        except sa.exc.IntegrityError:
            log.exception("an account's credits did not expire: see `octavia credits audit`", user_id=str(user_id))
            continue
        expired += here
    return expired


async def _spend(account: LockedAccount, draft: Draft) -> CreditEntry:
    if -draft.amount > account.available:
        raise InsufficientCreditsError(-draft.amount, account.available)
    return await account.post(draft, draw(account.lots, -draft.amount))


async def _hold(session: AsyncSession, hold_id: UUID) -> CreditEntry:
    entry = await session.get(CreditEntry, hold_id)
    if entry is None or entry.kind != "hold":
        raise NoSuchHoldError(hold_id)
    return entry


async def _settle(
    session: AsyncSession, held: CreditEntry, kind: Literal["capture", "release"], spent: int, now: datetime | None
) -> CreditEntry | None:
    account = await lock(session, held.user_id)
    settled = sa.select(CreditEntry.id).where(CreditEntry.settles == held.id)
    if await session.scalar(settled) is not None:
        return None
    await account.load_lots(now or present())
    draft = Draft(
        kind,
        held.held_amount - spent,
        f"{kind}:{held.id}",
        held.reference,
        held_amount=-held.held_amount,
        settles=held.id,
    )
    taken = await _taken(session, held) if spent < held.held_amount else []
    back = put_back(taken, spent + account.debt)
    entry = await account.post(draft, back)
    returned = {use.lot_id: -use.credits for use in back}
    lots = [replace(lot, remaining=lot.remaining + returned[lot.id]) for lot, _ in taken if lot.id in returned]
    await account.resume(lots, now or present())
    return entry


async def _taken(session: AsyncSession, held: CreditEntry) -> list[tuple[Lot, int]]:
    """The lots of a hold, as they are now, with the credits it took."""
    query = sa.select(CreditLotUse.lot_id, CreditLotUse.credits).where(CreditLotUse.entry_id == held.id)
    credits: dict[UUID, int] = {row.lot_id: row.credits for row in await session.execute(query)}
    return [(lot, credits[lot.id]) for lot in await read_lots(session, CreditLot.id.in_(credits))]
