"""What users bought, what Polar says of it, and every event it sent."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from orchestrator.accounts.models import User
from orchestrator.database import Base, one_of

KINDS = ("package", "plan")
PURCHASE_STATUSES = ("pending", "paid", "partially_refunded", "refunded", "expired", "parked")
ORDER_STATES = ("pending", "granted", "nothing", "parked")
OUTCOMES = ("handled", "ignored", "parked", "failed")
REFUND_REQUEST_STATUSES = ("pending", "done", "refused")
LEFTOVERS = ("order", "refund", "dispute", "subscription")


def _time(*, now: bool = False) -> Mapped[datetime]:
    return mapped_column(DateTime(timezone=True), server_default=func.now() if now else None)


def _maybe() -> Mapped[datetime | None]:
    return mapped_column(DateTime(timezone=True))


class PolarEvent(Base):
    """A delivery of Polar's whose signature was right, once per `webhook-id`."""

    __tablename__ = "polar_event"
    __table_args__ = (
        CheckConstraint(one_of("outcome", OUTCOMES), name="outcome"),
        CheckConstraint("(outcome is null) = (handled_at is null)", name="handled"),
        Index("ix_polar_event_open", "received_at", postgresql_where=text("outcome is null")),
        Index("ix_polar_event_failed", "received_at", postgresql_where=text("outcome = 'failed'")),
    )

    webhook_id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    timestamp: Mapped[datetime] = _time()
    """When it happened, by Polar's clock."""
    body: Mapped[str]
    """As received; empty where nobody needs it, or no longer."""
    user_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), default=list, server_default=text("'{}'"))
    """Whom the body names, as ids that may be our users'."""
    email_hashes: Mapped[list[bytes]] = mapped_column(ARRAY(LargeBinary), default=list, server_default=text("'{}'"))
    """Of the addresses it names; empty with the body."""
    received_at: Mapped[datetime] = _time(now=True)
    handled_at: Mapped[datetime | None] = _maybe()
    outcome: Mapped[str | None]
    reason: Mapped[str | None]


class ForgottenEmail(Base):
    """An address of an account that was purged, by its hash: what Polar still says of it later is forgotten too."""

    __tablename__ = "forgotten_email"

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    forgotten_at: Mapped[datetime] = _time(now=True)


class Purchase(Base):
    """What a user chose to buy, on the terms of that moment, and what became of it."""

    __tablename__ = "purchase"
    __table_args__ = (
        CheckConstraint(one_of("kind", KINDS), name="kind"),
        CheckConstraint(one_of("status", PURCHASE_STATUSES), name="status"),
        UniqueConstraint("user_id", "idempotency_key"),
        Index("ix_purchase_user_id_id", "user_id", "id"),
        Index("ix_purchase_pending", "created_at", postgresql_where=text("status = 'pending'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id))
    offer: Mapped[str]
    kind: Mapped[str]
    product_id: Mapped[UUID]
    credits: Mapped[int]
    valid_days: Mapped[int | None]
    price_cents: Mapped[int]
    currency: Mapped[str]
    """The price that was shown; what is charged is Polar's, by the buyer's country."""
    status: Mapped[str] = mapped_column(default="pending", server_default="pending")
    checkout_id: Mapped[UUID | None] = mapped_column(unique=True)
    """None until Polar has answered, or its checkout was found again."""
    checkout_amount: Mapped[int | None] = mapped_column(BigInteger)
    """The product's price in the checkout, before discount and tax, in `checkout_currency`."""
    checkout_currency: Mapped[str | None]
    expires_at: Mapped[datetime | None] = _maybe()
    """Until then the checkout can be paid."""
    idempotency_key: Mapped[str | None]
    last_checked_at: Mapped[datetime | None] = _maybe()
    """When Polar was last asked about it."""
    created_at: Mapped[datetime] = _time(now=True)
    paid_at: Mapped[datetime | None] = _maybe()


class PolarOrder(Base):
    """An order at Polar in its newest copy, and the credits it brought and lost."""

    __tablename__ = "polar_order"
    __table_args__ = (
        CheckConstraint(one_of("state", ORDER_STATES), name="state"),
        CheckConstraint("granted >= 0 and taken_back between 0 and granted", name="credits"),
        CheckConstraint("state = 'granted' or granted = 0", name="granted"),
        CheckConstraint("state <> 'granted' or user_id is not null", name="owner"),
        Index("ix_polar_order_user_id_id", "user_id", "id"),
        Index(
            "uq_polar_order_purchase_id_first",
            "purchase_id",
            unique=True,
            postgresql_where=text("state = 'granted' and billing_reason in ('purchase', 'subscription_create')"),
        ),
        Index("ix_polar_order_open", "created_at", postgresql_where=text("state in ('pending', 'parked')")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """Polar's."""
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey(User.id))
    purchase_id: Mapped[UUID | None] = mapped_column(ForeignKey("purchase.id"), index=True)
    state: Mapped[str] = mapped_column(default="pending", server_default="pending")
    reason: Mapped[str | None]
    """Why it is parked, or brings nothing."""
    paid_seen: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    paid_at: Mapped[datetime | None] = _maybe()
    granted: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    taken_back: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    corrections: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """How often credits were taken or given back."""
    status: Mapped[str]
    billing_reason: Mapped[str]
    subtotal_amount: Mapped[int] = mapped_column(BigInteger)
    discount_amount: Mapped[int] = mapped_column(BigInteger)
    net_amount: Mapped[int] = mapped_column(BigInteger)
    applied_balance_amount: Mapped[int] = mapped_column(BigInteger)
    refunded_amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    product_id: Mapped[UUID | None]
    subscription_id: Mapped[UUID | None]
    checkout_id: Mapped[UUID | None]
    invoice_number: Mapped[str | None]
    created_at: Mapped[datetime] = _time()
    changed_at: Mapped[datetime] = _time()
    seen_at: Mapped[datetime] = _time()
    """Of the newest copy: when the order was changed, and when Polar told us so. Both by Polar's clock."""


class PolarRefund(Base):
    """A refund at Polar in its newest copy."""

    __tablename__ = "polar_refund"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(index=True)
    status: Mapped[str]
    reason: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    created_at: Mapped[datetime] = _time()
    changed_at: Mapped[datetime] = _time()
    seen_at: Mapped[datetime] = _time()


class PolarDispute(Base):
    """A dispute (chargeback) at Polar in its newest copy."""

    __tablename__ = "polar_dispute"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(index=True)
    status: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    created_at: Mapped[datetime] = _time()
    changed_at: Mapped[datetime] = _time()
    seen_at: Mapped[datetime] = _time()


class PolarSubscription(Base):
    """A subscription at Polar in its newest copy."""

    __tablename__ = "polar_subscription"
    __table_args__ = (Index("ix_polar_subscription_user_id_id", "user_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey(User.id))
    purchase_id: Mapped[UUID | None] = mapped_column(ForeignKey("purchase.id"))
    customer_id: Mapped[UUID]
    product_id: Mapped[UUID]
    status: Mapped[str]
    current_period_start: Mapped[datetime | None] = _maybe()
    current_period_end: Mapped[datetime | None] = _maybe()
    cancel_at_period_end: Mapped[bool]
    ends_at: Mapped[datetime | None] = _maybe()
    ended_at: Mapped[datetime | None] = _maybe()
    created_at: Mapped[datetime] = _time()
    changed_at: Mapped[datetime] = _time()
    seen_at: Mapped[datetime] = _time()


class RefundRequest(Base):
    """A refund we ask Polar for: written down before it is asked, so that asking again cannot refund twice."""

    __tablename__ = "refund_request"
    __table_args__ = (
        CheckConstraint(one_of("status", REFUND_REQUEST_STATUSES), name="status"),
        CheckConstraint("amount > 0", name="amount"),
        Index(
            "uq_refund_request_order_id_pending", "order_id", unique=True, postgresql_where=text("status = 'pending'")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    order_id: Mapped[UUID] = mapped_column(ForeignKey(PolarOrder.id))
    amount: Mapped[int] = mapped_column(BigInteger)
    """Without tax, in the order's currency."""
    status: Mapped[str] = mapped_column(default="pending", server_default="pending")
    refund_id: Mapped[UUID | None]
    """Polar's, once we have heard of it."""
    asked_at: Mapped[datetime | None] = _maybe()
    """When Polar was last asked for it, where that may have been carried out."""
    created_at: Mapped[datetime] = _time(now=True)


class ReconciliationRun(Base):
    """One comparison of Polar's books with ours."""

    __tablename__ = "reconciliation_run"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    started_at: Mapped[datetime] = _time(now=True)
    finished_at: Mapped[datetime | None] = _maybe()
    since: Mapped[datetime] = _time()
    """How far back it looked for orders."""
    orders: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    refunds: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    disputes: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    subscriptions: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    repaired: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Orders whose credits changed, and subscriptions of which we had not heard the newest."""
    ended: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Purchases nobody paid."""
    failed: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Single ones that could not be read or taken over."""
    error: Mapped[str | None]
    """Which parts were not done, and why."""


class ReconciliationPart(Base):
    """How far a part of the reconciliation has come, over all runs."""

    __tablename__ = "reconciliation_part"

    name: Mapped[str] = mapped_column(primary_key=True)
    done_at: Mapped[datetime | None] = _maybe()
    """When the last run began in which it was done: its watermark, which the next one looks back to."""
    tried_at: Mapped[datetime] = _time()
    """When the last run began in which it had its turn."""
    error: Mapped[str | None]
    """Why it was not done then."""


class PolarLeftover(Base):
    """Something at Polar that could not be read or taken over: every run asks for it again, until it can."""

    __tablename__ = "polar_leftover"
    __table_args__ = (CheckConstraint(one_of("kind", LEFTOVERS), name="kind"),)

    kind: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    """Polar's."""
    reason: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    first_at: Mapped[datetime] = _time(now=True)
    last_at: Mapped[datetime] = _time(now=True)
