"""What a reconciliation had to leave: kept by its id, so that it is asked for again though no list has it any more."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.billing.models import PolarLeftover

Kind = Literal["order", "refund", "dispute", "subscription"]


async def leave(session: AsyncSession, kind: Kind, id_: UUID, reason: str) -> None:
    """Keep it, or note another attempt."""
    table = PolarLeftover
    change = {"reason": reason, "attempts": table.attempts + 1, "last_at": sa.func.now()}
    statement = insert(table).values(kind=kind, id=id_, reason=reason)
    await session.execute(statement.on_conflict_do_update(index_elements=["kind", "id"], set_=change))


async def forget(session: AsyncSession, kind: Kind, id_: UUID) -> None:
    """It was taken over, or is gone."""
    await session.execute(sa.delete(PolarLeftover).where(PolarLeftover.kind == kind, PolarLeftover.id == id_))


async def waiting(session: AsyncSession, kind: Kind, most: int) -> Sequence[UUID]:
    """Those to ask for again, the ones that wait longest for that first."""
    query = sa.select(PolarLeftover.id).where(PolarLeftover.kind == kind).order_by(PolarLeftover.last_at)
    return (await session.scalars(query.limit(most))).all()


async def listed(session: AsyncSession) -> Sequence[PolarLeftover]:
    """All of them, oldest first."""
    return (await session.scalars(sa.select(PolarLeftover).order_by(PolarLeftover.first_at))).all()
