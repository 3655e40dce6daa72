"""Uploads that are not media yet."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from orchestrator.database import Base, one_of

PROTOCOLS = ("tus", "form")
STATUSES = ("receiving", "checking", "completed", "refused", "ended")
OPEN = ("receiving", "checking")


class Upload(Base):
    """A file that is being sent. The media it becomes has the same id.

    `receiving` until all its bytes are stored, `checking` while its content is probed, then `completed` (there is a
    media) or `refused` (`problem` says why); `ended` by its owner or by time. What counts is the row: an object no
    row names was never received. A row of a `form` stands for a multipart request while that runs, and goes with it.
    """

    __tablename__ = "upload"
    __table_args__ = (
        CheckConstraint(one_of("protocol", PROTOCOLS), name="protocol"),
        CheckConstraint(one_of("status", STATUSES), name="status"),
        CheckConstraint("0 <= received and received <= length and length > 0", name="received"),
        CheckConstraint("(status = 'refused') = (problem is not null)", name="problem"),
        Index("ix_upload_user_id_id", "user_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id"))
    protocol: Mapped[str] = mapped_column(default="tus")
    filename: Mapped[str]
    """For display only; never a path."""
    upload_metadata: Mapped[str | None]
    """The header Upload-Metadata as it came."""
    length: Mapped[int] = mapped_column(BigInteger)
    """Bytes announced, which count towards the user's quota while the upload is open."""
    received: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Bytes stored, from the first: the offset to go on from."""
    status: Mapped[str] = mapped_column(default="receiving", server_default="receiving")
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """{"code", "message", "status", "detail"} of the refusal."""
    writer: Mapped[UUID | None]
    """The one request that may write now; whoever is not it changes nothing any more."""
    alive_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the writer is taken for dead, unless it shows life; by the database's clock."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    """When an open upload ends, and when the row of one that is not goes."""


class UploadPart(Base):
    """The bytes [start, start + size) of an upload, an object of their own until all are there."""

    __tablename__ = "upload_part"
    __table_args__ = (CheckConstraint("start >= 0 and size > 0", name="range"),)

    upload_id: Mapped[UUID] = mapped_column(ForeignKey("upload.id", ondelete="CASCADE"), primary_key=True)
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    storage_key: Mapped[str]
