"""The one place where rows are scoped to their owner: what is somebody else's does not exist for the one who asks.

Nor does what its owner has deleted, where such rows are kept (`deleted_at`).
"""

from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.database import Base
from orchestrator.errors import NotFoundError

Row = TypeVar("Row", bound=Base)
"""A table with `id`, which grows with time, and `user_id`."""


def owned_by(user_id: UUID, table: type[Row]) -> sa.Select[Row]:
    """The user's rows of a table, without those he deleted."""
    query = sa.select(table).where(_columns(table).user_id == user_id)
    return query.where(_columns(table).deleted_at.is_(None)) if hasattr(table, "deleted_at") else query


async def get_own(
    session: AsyncSession, user_id: UUID, table: type[Row], id_: UUID, what: str, *conditions: sa.ColumnElement[bool]
) -> Row:
    """The user's row of that id that meets the conditions. Raises NotFoundError, for a stranger's too."""
    row = await session.scalar(owned_by(user_id, table).where(_columns(table).id == id_, *conditions))
    if row is None:
        raise NotFoundError(what, id_)
    return row


def newest_first(query: sa.Select[Row], table: type[Row], cursor: UUID | None, limit: int) -> sa.Select[Row]:
    """A page of a query: the newest first, from after the cursor."""
    if cursor is not None:
        query = query.where(_columns(table).id < cursor)
    return query.order_by(_columns(table).id.desc()).limit(limit)


def _columns(table: type[Row]) -> Any:
    return table
