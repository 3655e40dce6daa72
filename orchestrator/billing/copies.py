"""Our copies of what Polar keeps: of two, the one that was changed later stays, then the one told of later."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.billing.models import PolarDispute, PolarRefund, PolarSubscription

Copied = type[PolarRefund] | type[PolarDispute] | type[PolarSubscription]


async def keep_newest(session: AsyncSession, table: Copied, id_: UUID, values: Mapping[str, Any]) -> None:
    """Keep these values, `changed_at` and `seen_at` among them, unless a newer copy is there."""
    statement = insert(table).values(id=id_, **values)
    newer = sa.tuple_(statement.excluded.changed_at, statement.excluded.seen_at) >= sa.tuple_(
        table.changed_at, table.seen_at
    )
    await session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=dict(values), where=newer))
