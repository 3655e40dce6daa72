"""An account under its lock, and how entries are posted to it. What the kinds of entries mean is in `ledger`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from orchestrator.credits.errors import MOST, InvalidCreditsError, LedgerConflictError
from orchestrator.credits.lots import FOR_EVER, Lot, Term, Use, after, soonest_first
from orchestrator.credits.models import CreditAccount, CreditEntry, CreditLot, CreditLotUse, Kind
from orchestrator.observability.outcomes import posted


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry to be: all of it that does not depend on the account."""

    kind: Kind
    amount: int
    key: str
    reference: str
    held_amount: int = 0
    settles: UUID | None = None
    refunds: UUID | None = None
    note: str | None = None


@dataclass(slots=True)
class LockedAccount:
    """An account that nobody else can post to until the transaction ends; `lots` are those with credits left."""

    session: AsyncSession
    user_id: UUID
    sequence: int
    available: int
    held: int
    lots: list[Lot]

    @property
    def debt(self) -> int:
        return max(0, -self.available)

    async def known(self, draft: Draft) -> CreditEntry | None:
        """The entry that was posted under the draft's key. Raises LedgerConflictError where it is another one."""
        entry = await self.session.scalar(sa.select(CreditEntry).where(CreditEntry.idempotency_key == draft.key))
        if entry is None:
            return None
        there = (entry.user_id, entry.kind, entry.amount, entry.reference, entry.refunds)
        if there != (self.user_id, draft.kind, draft.amount, draft.reference, draft.refunds):
            raise LedgerConflictError(draft.key)
        return entry

    async def load_lots(self, now: datetime) -> None:
        """Read the lots; those that are over expire."""
        self.lots = await read_lots(self.session, CreditLot.user_id == self.user_id, CreditLot.remaining > 0)
        await self.expire(now)

    async def expire(self, now: datetime) -> int:
        """Post the expiry of every lot that is over; returns of how many."""
        over = [lot for lot in self.lots if lot.term.is_over(now)]
        for lot in over:
            key = f"expiry:{lot.id}:{self.sequence + 1}"
            await self.post(Draft("expiry", -lot.remaining, key, lot.reference), [Use(lot.id, lot.remaining)])
        return len(over)

    async def post(self, draft: Draft, uses: Sequence[Use] = ()) -> CreditEntry:
        """Post an entry that takes credits from lots. Raises LedgerConflictError where another account has the key."""
        values = {
            "id": uuid7(),
            "user_id": self.user_id,
            "sequence": self.sequence + 1,
            "kind": draft.kind,
            "amount": draft.amount,
            "held_amount": draft.held_amount,
            "available": self.available + draft.amount,
            "held": self.held + draft.held_amount,
            "idempotency_key": draft.key,
            "reference": draft.reference,
            "settles": draft.settles,
            "refunds": draft.refunds,
            "note": draft.note,
        }
        statement = insert(CreditEntry).values(**values).on_conflict_do_nothing(index_elements=["idempotency_key"])
        entry: CreditEntry | None = await self.session.scalar(statement.returning(CreditEntry))
        if entry is None:
            raise LedgerConflictError(draft.key)
        self.sequence, self.available, self.held = entry.sequence, entry.available, entry.held
        await self._use(entry, uses)
        posted(self.session, draft.kind, moved(draft.amount, draft.held_amount))
        return entry

    async def add(self, draft: Draft, term: Term = FOR_EVER) -> CreditEntry:
        """Post an entry that brings credits from outside: they pay the debt, and what is left is a lot."""
        owed = min(self.debt, draft.amount)
        entry = await self.post(draft)
        lot = Lot(uuid7(), draft.refunds or entry.id, draft.reference, draft.amount, term)
        values = {"id": lot.id, "user_id": self.user_id, "entry_id": entry.id, "granted": lot.remaining}
        values |= {"remaining": lot.remaining, "expires_at": term.expires_at, "extended": term.extended}
        await self.session.execute(sa.insert(CreditLot).values(**values))
        self.lots = soonest_first([*self.lots, lot])
        await self._use(entry, [Use(lot.id, owed)] if owed else [])
        return entry

    async def resume(self, lots: Sequence[Lot], now: datetime) -> None:
        """Take in lots to which credits came back: they get their grace, or expire."""
        for lot in lots:
            term = lot.term.resumed(now)
            if term != lot.term:
                change = sa.update(CreditLot).where(CreditLot.id == lot.id)
                await self.session.execute(change.values(expires_at=term.expires_at, extended=term.extended))
            kept = [other for other in self.lots if other.id != lot.id]
            self.lots = soonest_first([*kept, replace(lot, term=term)])
        await self.expire(now)

    async def _use(self, entry: CreditEntry, uses: Sequence[Use]) -> None:
        if uses:
            rows = [{"entry_id": entry.id, "lot_id": use.lot_id, "credits": use.credits} for use in uses]
            await self.session.execute(sa.insert(CreditLotUse).values(rows))
            self.lots = after(self.lots, uses)


def moved(amount: int, held_amount: int) -> int:
    """How many credits an entry moves; of a capture those that are spent."""
    return abs(amount + held_amount) or abs(amount)


async def lock(session: AsyncSession, user_id: UUID) -> LockedAccount:
    """The user's account, made where there is none; without its lots."""
    columns = CreditAccount.sequence, CreditAccount.available, CreditAccount.held
    query = sa.select(*columns).where(CreditAccount.user_id == user_id).with_for_update(key_share=True)
    found = (await session.execute(query)).one_or_none()
    if found is None:
        new = insert(CreditAccount).values(user_id=user_id, sequence=0, available=0, held=0)
        await session.execute(new.on_conflict_do_nothing())
        found = (await session.execute(query)).one()
    return LockedAccount(session, user_id, found.sequence, found.available, found.held, [])


async def read_lots(session: AsyncSession, *conditions: sa.ColumnElement[bool]) -> list[Lot]:
    """The lots that meet the conditions, the soonest expiring first."""
    columns = CreditLot.id, CreditLot.remaining, CreditLot.expires_at, CreditLot.extended
    grant_id = sa.func.coalesce(CreditEntry.refunds, CreditEntry.id).label("grant_id")
    query = sa.select(*columns, grant_id, CreditEntry.reference).join(CreditEntry, CreditEntry.id == CreditLot.entry_id)
    rows = await session.execute(query.where(*conditions))
    return soonest_first(
        Lot(row.id, row.grant_id, row.reference, row.remaining, Term(row.expires_at, row.extended)) for row in rows
    )


async def begin(
    session: AsyncSession, user_id: UUID, draft: Draft, now: datetime | None
) -> tuple[LockedAccount, CreditEntry | None]:
    """The account with the lots it can spend; or with the entry that was posted under this key before."""
    account = await lock(session, user_id)
    earlier = await account.known(draft)
    if earlier is None:
        await account.load_lots(now or present())
    return account, earlier


def positive(credits: int) -> int:
    if not 1 <= credits <= MOST:
        raise InvalidCreditsError(f"{credits} is no number of credits: it takes 1 to {MOST}.")
    return credits


def present() -> datetime:
    return datetime.now(UTC)
