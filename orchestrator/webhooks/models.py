"""Where a user's events are sent, each sending, and every attempt at it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from orchestrator.database import Base, one_of

REASONS = ("owner", "gone", "failing")
STATUSES = ("pending", "delivered", "failed")


class WebhookEndpoint(Base):
    """A URL of a user's that is sent events, signed with `secret`; for a while after a change also with the one before.

    Secrets are kept as they are: signing needs them.
    """

    __tablename__ = "webhook_endpoint"
    __table_args__ = (
        CheckConstraint(one_of("disabled_why", REASONS), name="disabled_why"),
        CheckConstraint("(disabled_at is null) = (disabled_why is null)", name="disabled"),
        CheckConstraint("(previous_secret is null) = (previous_until is null)", name="previous"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    url: Mapped[str]
    description: Mapped[str] = mapped_column(default="", server_default="")
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    secret: Mapped[str]
    previous_secret: Mapped[str | None]
    previous_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    failing_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The first failed attempt after the last that succeeded."""
    disabled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    disabled_why: Mapped[str | None]
    """"owner", "gone" (it answered 410) or "failing" (for too long nothing has reached it)."""


class WebhookDelivery(Base):
    """One event on its way to one endpoint. Its id is the message's, the same at every attempt."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        CheckConstraint(one_of("status", STATUSES), name="status"),
        CheckConstraint("(status = 'pending') = (ended_at is null)", name="ended"),
        Index("ix_webhook_delivery_endpoint_id_id", "endpoint_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_endpoint.id", ondelete="CASCADE"))
    event: Mapped[str]
    job_id: Mapped[UUID | None]
    body: Mapped[str]
    """The bytes that are signed and sent, as text."""
    status: Mapped[str] = mapped_column(default="pending", server_default="pending")
    series: Mapped[int] = mapped_column(default=1, server_default="1")
    """1, and one more each time its owner has it delivered again."""
    tries: Mapped[int] = mapped_column(default=0, server_default="0")
    """Attempts of this series."""
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    """Attempts in all. Also the number of the one that may note how it ended."""
    claimed_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Until then the latest attempt may be under way, and no other begins."""
    next_attempt_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    error: Mapped[str | None]
    """Why it failed."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


Index("ix_webhook_delivery_open", WebhookDelivery.created_at, postgresql_where=text("status = 'pending'"))
Index("ix_webhook_delivery_ended_at", WebhookDelivery.ended_at, postgresql_where=text("status <> 'pending'"))


class WebhookAttempt(Base):
    """One request to an endpoint, and what came of it; nothing, where the worker died in the middle."""

    __tablename__ = "webhook_attempt"

    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_delivery.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    seconds: Mapped[float | None]
    status_code: Mapped[int | None]
    error: Mapped[str | None]
    excerpt: Mapped[str | None]
    """The beginning of the answer."""
