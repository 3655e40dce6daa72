"""Who uses Octavia."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Index, func
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from orchestrator.database import Base


class User(Base):
    """An account. Its e-mail address is unique whatever the case it is written in."""

    __tablename__ = "user_account"
    __table_args__ = (CheckConstraint("status in ('active')", name="status"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str | None]
    """argon2id; None where no password opens the account."""
    status: Mapped[str] = mapped_column(default="active")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


Index("uq_user_account_email_lower", func.lower(User.email), unique=True)
