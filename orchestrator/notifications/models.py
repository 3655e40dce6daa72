"""What a user is told: mails from their request to their end, and the notifications that the pages show."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from orchestrator.database import Base, one_of

KINDS = ("job_completed", "job_failed", "webhook_disabled")


class Mail(Base):
    """One mail to one recipient. It ends sent or failed, and then its content, which holds tokens, is gone."""

    __tablename__ = "mail"
    __table_args__ = (CheckConstraint("sent_at is null or failed_at is null", name="one_end"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user_account.id", ondelete="SET NULL"), index=True)
    kind: Mapped[str]
    recipient: Mapped[str]
    subject: Mapped[str]
    text: Mapped[str]
    html: Mapped[str]
    """Both empty once the mail has ended."""
    traceparent: Mapped[str | None]
    """Of what it tells of, where that is traced."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    attempts: Mapped[int] = mapped_column(default=0)
    """How often sending was begun. Also the number of the attempt that may note how it ended."""
    claimed_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Until then the latest attempt may be under way, and no other begins."""
    last_error: Mapped[str | None]
    sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    failed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


Index(
    "ix_mail_open",
    Mail.created_at,
    postgresql_where=text("sent_at is null and failed_at is null"),
)


class Notification(Base):
    """Something the pages show to a user, until he deletes it or its time is over."""

    __tablename__ = "notification"
    __table_args__ = (
        CheckConstraint(one_of("kind", KINDS), name="kind"),
        Index("ix_notification_user_id_id", "user_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    kind: Mapped[str]
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), index=True)
    title: Mapped[str]
    message: Mapped[str]
    page: Mapped[str]
    """Of the web frontend, where more is to be seen: a path."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    read_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


Index("ix_notification_unread", Notification.user_id, postgresql_where=text("read_at is null"))
