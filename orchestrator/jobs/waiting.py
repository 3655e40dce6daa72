"""Where in the queue a job stands, as far as that can be said: users take turns, each with their oldest job first.

Jobs that cost credits and those that do not wait in lines of their own. A worker does not keep to the turns exactly: it
asks the users that wait in no fixed order, and takes as many of one as it has places for.
"""

import asyncio
import time
from collections.abc import Mapping
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

FRESH_S = 1.0
"""How old the line may be that a place is read from: reading it takes as long as it is."""

_LINE = sa.text(
    """
    select id, row_number() over (partition by is_paid order by round, id) as place from (
        select id, credits > 0 as is_paid, row_number() over (partition by user_id, credits > 0 order by id) as round
        from job where status = 'pending'
    ) waiting
    """
)


class WaitingLine:
    """The line as one process sees it, read for all who ask."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._places: Mapping[UUID, int] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def place(self, job_id: UUID) -> int | None:
        """A pending job's place in the line, the next one's is 1; None for a job that does not wait (any more)."""
        asked_at = time.monotonic()
        if self._is_old(job_id, asked_at):
            async with self._reading:
                if self._read_at < asked_at and self._is_old(job_id, asked_at):
                    await self._read()
        return self._places.get(job_id)

    def _is_old(self, job_id: UUID, asked_at: float) -> bool:
        return asked_at - self._read_at > FRESH_S or job_id not in self._places

    async def _read(self) -> None:
        began = time.monotonic()
        async with self._engine.connect() as connection:
            self._places = {row.id: row.place for row in await connection.execute(_LINE)}
        self._read_at = began
