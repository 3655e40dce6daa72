"""An account on which every call of the ledger is a transaction of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.credits.audit import disagreements
from orchestrator.credits.ledger import Balance
from orchestrator.credits.models import CreditEntry, CreditLot

Sessions = async_sessionmaker[AsyncSession]

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class Book:
    """The account. `now` is what the ledger takes for the present; keys number themselves."""

    make: Sessions
    user_id: UUID
    now: datetime = NOW
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    async def call(self, function: Any, *arguments: Any, **options: Any) -> Any:
        async with self.make.begin() as session:
            return await function(session, *arguments, **{"now": self.now} | options)

    def key(self) -> str:
        return f"{self.user_id}:{next(self.numbers)}"

    async def grant(self, credits: int, **options: Any) -> CreditEntry:
        defaults = {"key": self.key(), "reference": "order:1"}
        entry: CreditEntry = await self.call(ledger.grant, self.user_id, credits, **defaults | options)
        return entry

    async def hold(self, credits: int, **options: Any) -> CreditEntry:
        defaults = {"key": self.key(), "reference": "job:1"}
        entry: CreditEntry = await self.call(ledger.hold, self.user_id, credits, **defaults | options)
        return entry

    async def capture(self, hold: CreditEntry, credits: int | None = None) -> CreditEntry | None:
        entry: CreditEntry | None = await self.call(ledger.capture, hold.id, credits)
        return entry

    async def release(self, hold: CreditEntry) -> CreditEntry | None:
        entry: CreditEntry | None = await self.call(ledger.release, hold.id)
        return entry

    async def spend(self, credits: int) -> None:
        assert await self.capture(await self.hold(credits))

    async def take_back(self, grant: CreditEntry, credits: int, **options: Any) -> CreditEntry:
        return await self._refund(ledger.take_back, grant, credits, options)

    async def give_back(self, grant: CreditEntry, credits: int, **options: Any) -> CreditEntry:
        return await self._refund(ledger.give_back, grant, credits, options)

    async def _refund(self, function: Any, grant: CreditEntry, credits: int, options: dict[str, Any]) -> CreditEntry:
        defaults = {"key": self.key(), "reference": grant.reference, "grant_key": grant.idempotency_key}
        entry: CreditEntry = await self.call(function, self.user_id, credits, **defaults | options)
        return entry

    async def adjust(self, credits: int, **options: Any) -> CreditEntry:
        defaults = {"key": self.key(), "reference": "support:1", "note": "a mistake of ours"}
        entry: CreditEntry = await self.call(ledger.adjust, self.user_id, credits, **defaults | options)
        return entry

    async def expire(self) -> int:
        return await ledger.expire_due(self.make, self.now)

    async def balance(self) -> Balance:
        found: Balance = await self.call(ledger.balance, self.user_id)
        return found

    async def has(self) -> tuple[int, int]:
        """What is available and what is held."""
        found = await self.balance()
        return found.available, found.held

    async def lots(self) -> list[int]:
        """What is left of each lot, in the order in which they came."""
        async with self.make() as session:
            query = sa.select(CreditLot.remaining).where(CreditLot.user_id == self.user_id).order_by(CreditLot.id)
            return list((await session.scalars(query)).all())

    async def entries(self) -> Sequence[CreditEntry]:
        async with self.make() as session:
            query = sa.select(CreditEntry).where(CreditEntry.user_id == self.user_id).order_by(CreditEntry.sequence)
            return (await session.scalars(query)).all()

    async def kinds(self) -> list[tuple[str, int]]:
        """Kind and amount of every entry."""
        return [(entry.kind, entry.amount) for entry in await self.entries()]

    async def audit(self) -> list[str]:
        async with self.make() as session:
            return [each async for each in disagreements(session)]


@pytest.fixture
def book(make_session: Sessions, user: User) -> Book:
    return Book(make_session, user.id)


@pytest.fixture
async def others_book(make_session: Sessions, make_user: Any) -> Book:
    return Book(make_session, (await make_user("willoughby@example.org")).id)
