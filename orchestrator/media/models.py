"""What people upload."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from orchestrator.database import Base, one_of

KINDS = ("video", "audio", "subtitles")


class Media(Base):
    """An uploaded file as probing found it. Its row appears when the object is stored whole."""

    __tablename__ = "media"
    __table_args__ = (
        CheckConstraint(one_of("kind", KINDS), name="kind"),
        CheckConstraint("size > 0", name="size"),
        Index("ix_media_user_id_id", "user_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user_account.id"))
    filename: Mapped[str]
    """For display only; never a path."""
    kind: Mapped[str]
    """"video" where there is a moving picture, "subtitles" where there are cues, else "audio"."""
    content_type: Mapped[str]
    """By the content, not by what the client said."""
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    duration: Mapped[float]
    """Seconds; of subtitles, until the last cue ends."""
    video: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """{"codec", "width", "height", "fps", "pix_fmt"} of the first real picture."""
    audio: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    """[{"codec", "channels", "sample_rate", "language"}], one per audio stream."""
    subtitles: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """{"format", "encoding", "cues", "language", "remarks": [{"code", "message"}]} of a subtitle file."""
    storage_key: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("(now() + interval '24 hours')")
    )
    """Until then it is kept in any case, longer while a job needs it."""
    withdrawn_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """From then on no job can begin with it, and its file may be deleted."""
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When its owner deleted it; it is not shown any more."""
    purged_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When its file was deleted."""

    @property
    def available(self) -> bool:
        return self.withdrawn_at is None

    @property
    def has_audio(self) -> bool:
        return bool(self.audio)


Index("ix_media_due", Media.expires_at, postgresql_where=text("withdrawn_at is null"))
Index("ix_media_unpurged", Media.withdrawn_at, postgresql_where=text("withdrawn_at is not null and purged_at is null"))
