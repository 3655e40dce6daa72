"""Credits as their owners see them: balance, holds, history, and test credits."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from orchestrator.credits import ledger, statement
from orchestrator.credits.ledger import Balance, Make
from orchestrator.credits.models import CreditEntry, Kind
from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings

MOST_HOLDS = 100
MOST_EXPIRIES = 12
AT_ONCE = 1000
"""Entries that a statement reads at once."""


class NoTestCreditsError(OctaviaError):
    def __init__(self) -> None:
        super().__init__(
            "no_test_credits",
            "There are no test credits here. Buy credits; or, in development, set OCTAVIA_TEST_CREDITS=true.",
            403,
        )


@dataclass(frozen=True, slots=True)
class Overview:
    """What an account has, its next expiries and its newest open holds."""

    balance: Balance
    holds: tuple[CreditEntry, ...]


async def overview(session: AsyncSession, user_id: UUID) -> Overview:
    return Overview(
        await ledger.balance(session, user_id), tuple(await ledger.open_holds(session, user_id, MOST_HOLDS))
    )


async def page(
    session: AsyncSession, user_id: UUID, *, cursor: int | None, limit: int, kind: Kind | None
) -> list[CreditEntry]:
    """The user's entries, newest first, from before the entry of number `cursor`."""
    query = sa.select(CreditEntry).where(CreditEntry.user_id == user_id)
    if cursor is not None:
        query = query.where(CreditEntry.sequence < cursor)
    if kind is not None:
        query = query.where(CreditEntry.kind == kind)
    return list((await session.scalars(query.order_by(CreditEntry.sequence.desc()).limit(limit))).all())


async def csv(make: Make, user_id: UUID) -> AsyncIterator[str]:
    """All entries of the user as lines of CSV, oldest first. No connection is held while a slow reader reads."""
    yield statement.header()
    last = 0
    while True:
        query = sa.select(CreditEntry).where(CreditEntry.user_id == user_id, CreditEntry.sequence > last)
        async with make() as session:
            entries = (await session.scalars(query.order_by(CreditEntry.sequence).limit(AT_ONCE))).all()
        if not entries:
            return
        yield statement.lines(entries)
        last = entries[-1].sequence


async def grant_test_credits(
    session: AsyncSession, settings: Settings, user_id: UUID, credits: int, key: str | None
) -> CreditEntry:
    """Credits for nothing; with a key, once however often it is asked. Raises NoTestCreditsError."""
    if not settings.test_credits or settings.mode == "production":
        raise NoTestCreditsError
    key = f"test:{user_id}:{key or uuid7()}"
    return await ledger.grant(session, user_id, credits, key=key, reference="test", note="test credits")
