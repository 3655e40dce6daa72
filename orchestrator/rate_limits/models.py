"""What is counted, and where accounts have logged in from."""

from datetime import datetime

from sqlalchemy import DateTime, func
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base


class RateLimitCount(Base):
    """What one caller used up of one limit in one window of time.

    Unlogged: a hit does not wait for the disk, and a crash of the database begins every count anew.
    """

    __tablename__ = "rate_limit"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    key: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class KnownAddress(Base):
    """A client address from which an account was logged in to, both as SHA-256."""

    __tablename__ = "known_address"

    account_hash: Mapped[str] = mapped_column(primary_key=True)
    address_hash: Mapped[str] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
