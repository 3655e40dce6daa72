"""Tables of edited transcripts: their revisions, the segments of these, and files that were replaced."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base


class TranscriptRevision(Base):
    """A state of a job's transcript. The first is what the job made; a job that was never edited has no row."""

    __tablename__ = "transcript_revision"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    what: Mapped[str]
    """"original", "edit", "restore", or "regenerate": that has put in what was translated anew."""
    operations: Mapped[int] = mapped_column(default=0, server_default="0")
    restored: Mapped[int | None]
    """The revision that was restored."""
    next_id: Mapped[int]
    """A number that no segment of this job has or ever had."""
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class TranscriptSegment(Base):
    """A segment as it is from revision `since` on, until before revision `until`; None: it is so now."""

    __tablename__ = "transcript_segment"
    __table_args__ = (
        CheckConstraint("until > since", name="until"),
        Index("ix_transcript_segment_current", "job_id", postgresql_where=text("until is null")),
    )

    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    since: Mapped[int] = mapped_column(primary_key=True)
    until: Mapped[int | None]
    start: Mapped[float]
    end: Mapped[float]
    language: Mapped[str]
    speaker: Mapped[str | None]
    text: Mapped[str]
    words: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    lines: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """By target language {"text", "voice"}; a text that is null is to be translated."""


class SupersededFile(Base):
    """A finished file that a newer one has taken the place of. It is deleted once downloads of it have ended."""

    __tablename__ = "superseded_file"

    storage_key: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
