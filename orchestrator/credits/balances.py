"""What an account has: read without a lock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from orchestrator.credits.lots import Term
from orchestrator.credits.models import CreditAccount, CreditEntry, CreditLot
from orchestrator.credits.posting import present


@dataclass(frozen=True, slots=True)
class Expiring:
    """Credits that can be spent until a moment."""

    at: datetime
    credits: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has. `available` is less than 0 where there is a debt; `expiring` is in the order of time."""

    available: int = 0
    held: int = 0
    expiring: tuple[Expiring, ...] = ()

    @property
    def debt(self) -> int:
        return max(0, -self.available)


async def balance(session: AsyncSession, user_id: UUID, *, now: datetime | None = None) -> Balance:
    """What can be spent, is held and will expire at `now`, whether or not the sweeper has been there. Locks nothing."""
    lots = CreditLot.remaining, CreditLot.expires_at
    query = sa.select(CreditAccount.available, CreditAccount.held, *lots).where(CreditAccount.user_id == user_id)
    left = (CreditLot.user_id == CreditAccount.user_id) & (CreditLot.remaining > 0)
    rows = (await session.execute(query.outerjoin(CreditLot, left).order_by(CreditLot.expires_at))).all()
    if not rows:
        return Balance()
    moment = now or present()
    over = sum(row.remaining for row in rows if Term(row.expires_at).is_over(moment))
    expiring: dict[datetime, int] = {}
    for row in rows:
        if row.expires_at is not None and row.expires_at > moment:
            expiring[row.expires_at] = expiring.get(row.expires_at, 0) + row.remaining
    soon = tuple(Expiring(at, credits) for at, credits in expiring.items())
    return Balance(rows[0].available - over, rows[0].held, soon)


async def open_hold(session: AsyncSession, reference: str) -> CreditEntry | None:
    """The newest hold of a reference that is not settled."""
    query = _open_holds(CreditEntry.reference == reference).order_by(CreditEntry.id.desc()).limit(1)
    return (await session.scalars(query)).first()


async def open_holds(session: AsyncSession, user_id: UUID, limit: int) -> Sequence[CreditEntry]:
    """The user's holds that are not settled, the newest first."""
    query = _open_holds(CreditEntry.user_id == user_id).order_by(CreditEntry.sequence.desc()).limit(limit)
    return (await session.scalars(query)).all()


def _open_holds(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    settlement = aliased(CreditEntry)
    settled = sa.exists().where(settlement.settles == CreditEntry.id)
    return sa.select(CreditEntry).where(CreditEntry.kind == "hold", *conditions, ~settled)
