"""Who uses Octavia, what they are logged in with, and what happened to their account."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, LargeBinary, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from orchestrator.database import Base, one_of

STATUSES = ("pending", "active", "disabled", "deleted")
ROLES = ("user", "admin")
LOCK = {"key_share": True}
"""How an account's row is locked: events and sessions that refer to it may be inserted meanwhile."""


def _owner() -> Mapped[UUID]:
    return mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)


class User(Base):
    """An account. Its e-mail address is unique among those not deleted, whatever the case it is written in."""

    __tablename__ = "user_account"
    __table_args__ = (
        CheckConstraint(one_of("status", STATUSES), name="status"),
        CheckConstraint(one_of("role", ROLES), name="role"),
        CheckConstraint("(status = 'deleted') = (deleted_at is not null)", name="deleted"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str | None]
    """argon2id; None where no password opens the account."""
    status: Mapped[str] = mapped_column(default="active", server_default="active")
    role: Mapped[str] = mapped_column(default="user", server_default="user")
    language: Mapped[str] = mapped_column(default="en", server_default="en")
    """BCP 47: of the pages and e-mails."""
    time_zone: Mapped[str] = mapped_column(default="UTC", server_default="UTC")
    """IANA name."""
    notifications: Mapped[dict[str, bool]] = mapped_column(JSONB, default=dict, server_default=text("'{}'::jsonb"))
    """What the user chose otherwise than the default of `settings.NOTIFICATIONS`."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    verified_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    purged_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When files and personal data of a deleted account were deleted."""


Index(
    "uq_user_account_email_lower",
    func.lower(User.email),
    unique=True,
    postgresql_where=text("status <> 'deleted'"),
)


class LoginSession(Base):
    """One login, on one device: the family of refresh tokens that follow one another."""

    __tablename__ = "login_session"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = _owner()
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    used_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    """Of the login or the last refresh."""
    idle_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    """Without a refresh the session ends here; each refresh moves it."""
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    """Whatever happens, the session ends here."""
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    end_reason: Mapped[str | None]
    address: Mapped[str | None]
    user_agent: Mapped[str | None]


class RefreshToken(Base):
    """A refresh token by its hash. One that comes again after its use was stolen, from here or from there."""

    __tablename__ = "refresh_token"

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("login_session.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class EmailToken(Base):
    """A token sent by e-mail, by its hash: single use, for one purpose, for a while."""

    __tablename__ = "email_token"
    __table_args__ = (CheckConstraint("purpose in ('verify', 'reset')", name="purpose"),)

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID] = _owner()
    purpose: Mapped[str]
    name: Mapped[str | None]
    password_hash: Mapped[str | None]
    """Of a verification: what was given at that sign-up. Who follows a link gets the password that came with it."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ApiToken(Base):
    """A token for programs, by its hash; `hint` is its beginning, by which its owner knows it again."""

    __tablename__ = "api_token"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = _owner()
    name: Mapped[str]
    hint: Mapped[str]
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """To the minute."""
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class AccountRequest(Base):
    """What somebody asked about an address, before it is known whether it has an account.

    The route does the same for every address; a worker does the rest, and deletes the row.
    """

    __tablename__ = "account_request"
    __table_args__ = (CheckConstraint("kind in ('sign_up', 'resend', 'reset')", name="kind"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    kind: Mapped[str]
    email: Mapped[str]
    name: Mapped[str | None]
    password_hash: Mapped[str | None]
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class SecurityEvent(Base):
    """One line of the audit trail. `user_id` is None where no account has the address that was tried."""

    __tablename__ = "security_event"
    __table_args__ = (Index("ix_security_event_user_id_id", "user_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    kind: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'::jsonb"))
