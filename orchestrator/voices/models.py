"""The previews that were spoken."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base


class VoicePreview(Base):
    """A text spoken by a voice, once for everybody who asks for the same. The text itself is not kept."""

    __tablename__ = "voice_preview"

    key: Mapped[str] = mapped_column(primary_key=True)
    """sha256 of voice, language and text, in hexadecimal."""
    voice: Mapped[str]
    language: Mapped[str]
    storage_key: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    seconds: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    used_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    """When it was last asked for; one that nobody asks for is deleted."""


class PreviewRequestKey(Base):
    """An Idempotency-Key that a user sent with a preview, so that it is not taken for another one."""

    __tablename__ = "preview_request_key"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    preview: Mapped[str]
    """The preview's own key."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
