"""The ledger's tables.

Entries and uses are append-only. Accounts and lots change by them alone: triggers do it, and refuse what does not add
up (orchestrator/migrations/versions/0005_credits.py).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from orchestrator.accounts.models import User
from orchestrator.database import Base, one_of

Kind = Literal["purchase", "grant", "hold", "capture", "release", "refund", "expiry", "adjustment"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SHAPES: Mapping[Kind, str] = {
    "purchase": "amount > 0 and held_amount = 0",
    "grant": "amount > 0 and held_amount = 0",
    "hold": "amount < 0 and held_amount = -amount",
    "capture": "amount >= 0 and held_amount < -amount",  # what is not spent goes back
    "release": "amount > 0 and held_amount = -amount",
    "refund": "amount <> 0 and held_amount = 0",  # taken back, or given back after all
    "expiry": "amount <> 0 and held_amount = 0",  # more than 0: what had expired of a purchase that is refunded
    "adjustment": "amount <> 0 and held_amount = 0",
}
"""What the amounts of an entry of each kind are."""

SHAPE = f"case kind {' '.join(f'when {kind!r} then {shape}' for kind, shape in SHAPES.items())} else false end"
NOT_OVERSPENT = "available >= 0 or amount >= 0 or kind = 'refund'"
"""Only a refund of credits that are spent already leaves a debt."""
SETTLES = "(kind in ('capture', 'release')) = (settles is not null)"
REFUNDS = "(kind = 'refund' or kind = 'expiry' and amount > 0) = (refunds is not null)"


class CreditAccount(Base):
    """What a user's entries add up to. Whoever posts an entry holds the lock of this row."""

    __tablename__ = "credit_account"
    __table_args__ = (CheckConstraint("sequence >= 0", name="sequence"), CheckConstraint("held >= 0", name="held"))

    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, default=0)
    """Number of the newest entry, which is how many there are."""
    available: Mapped[int] = mapped_column(BigInteger, default=0)
    """Less than 0: a debt, which the next credits pay."""
    held: Mapped[int] = mapped_column(BigInteger, default=0)


Index("ix_credit_account_held", CreditAccount.held, postgresql_where=text("held > 0"))


class CreditEntry(Base):
    """One change of an account. It holds no personal data: it stays when the account's are deleted."""

    __tablename__ = "credit_entry"
    __table_args__ = (
        CheckConstraint(one_of("kind", KINDS), name="kind"),
        CheckConstraint(SHAPE, name="shape"),
        CheckConstraint("sequence >= 1", name="sequence"),
        CheckConstraint("held >= 0", name="held"),
        CheckConstraint(NOT_OVERSPENT, name="available"),
        CheckConstraint(SETTLES, name="settles"),
        CheckConstraint(REFUNDS, name="refunds"),
        CheckConstraint("idempotency_key <> '' and reference <> ''", name="named"),
        UniqueConstraint("user_id", "sequence"),
        UniqueConstraint("idempotency_key"),
        UniqueConstraint("settles"),
        Index("ix_credit_entry_reference", "reference", postgresql_where=text("kind = 'hold'")),
        Index("ix_credit_entry_refunds", "refunds", postgresql_where=text("refunds is not null")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(CreditAccount.user_id))
    sequence: Mapped[int] = mapped_column(BigInteger)
    """1, 2, 3 … of the account."""
    kind: Mapped[Kind] = mapped_column()
    amount: Mapped[int] = mapped_column(BigInteger)
    """By how much the available credits change."""
    held_amount: Mapped[int] = mapped_column(BigInteger, default=0)
    """By how much the held credits change."""
    available: Mapped[int] = mapped_column(BigInteger)
    """After this entry, as `held`."""
    held: Mapped[int] = mapped_column(BigInteger)
    idempotency_key: Mapped[str]
    reference: Mapped[str]
    """What it is about: job:…, order:…"""
    settles: Mapped[UUID | None] = mapped_column(ForeignKey("credit_entry.id"))
    """The hold that a capture or release ends; a hold ends once."""
    refunds: Mapped[UUID | None] = mapped_column(ForeignKey("credit_entry.id"))
    """The purchase or grant whose credits a refund takes back or gives back."""
    note: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())


class CreditLot(Base):
    """Credits that came in at once and expire together: every entry that brings credits from outside has one."""

    __tablename__ = "credit_lot"
    __table_args__ = (
        CheckConstraint("0 <= remaining and remaining <= granted and granted > 0", name="remaining"),
        UniqueConstraint("entry_id"),
        Index("ix_credit_lot_user_id", "user_id", postgresql_where=text("remaining > 0")),
        Index("ix_credit_lot_expires_at", "expires_at", postgresql_where=text("remaining > 0")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(CreditAccount.user_id))
    entry_id: Mapped[UUID] = mapped_column(ForeignKey(CreditEntry.id))
    granted: Mapped[int] = mapped_column(BigInteger)
    remaining: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """None: never."""
    extended: Mapped[bool] = mapped_column(default=False)
    """Whether `expires_at` was put off for credits that came back (see `lots.Term`)."""


class CreditLotUse(Base):
    """How many credits an entry takes from a lot; less than 0: puts back."""

    __tablename__ = "credit_lot_use"
    __table_args__ = (
        CheckConstraint("credits <> 0", name="credits"),
        Index("ix_credit_lot_use_lot_id", "lot_id"),
    )

    entry_id: Mapped[UUID] = mapped_column(ForeignKey(CreditEntry.id), primary_key=True)
    lot_id: Mapped[UUID] = mapped_column(ForeignKey(CreditLot.id), primary_key=True)
    credits: Mapped[int] = mapped_column(BigInteger)
