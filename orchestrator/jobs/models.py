"""Tables of a job's life: the request, its attempts, what was heard, what is said, what came out, and its events."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, column_property, mapped_column
from uuid_utils.compat import uuid7

from orchestrator.accounts.models import User
from orchestrator.database import Base, one_of
from orchestrator.media.models import Media

KINDS = ("video_translation", "audio_translation", "subtitles", "subtitle_translation", "subtitle_to_audio")
STATUSES = ("pending", "processing", "completed", "failed", "cancelled")
STAGES = ("extracting", "transcribing", "translating", "synthesizing", "merging")


class Job(Base):
    """One request on a media. Its id names the durable workflow of each of its attempts (see `durable`)."""

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint(one_of("kind", KINDS), name="kind"),
        CheckConstraint(one_of("status", STATUSES), name="status"),
        CheckConstraint(one_of("stage", STAGES), name="stage"),
        CheckConstraint("progress between 0 and 100", name="progress"),
        CheckConstraint("attempt >= 1", name="attempt"),
        UniqueConstraint("user_id", "idempotency_key"),
        Index("ix_job_user_id_id", "user_id", "id"),
        Index("ix_job_pending", "id", postgresql_where=text("status = 'pending'")),
        Index("ix_job_unswept", "id", postgresql_where=text("swept_at is null")),
        Index("ix_job_regenerates", "regenerates"),
        Index(
            "uq_job_regenerating",
            "regenerates",
            unique=True,
            postgresql_where=text("status in ('pending', 'processing')"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id))
    media_id: Mapped[UUID] = mapped_column(ForeignKey(Media.id), index=True)
    kind: Mapped[str]
    source_language: Mapped[str | None]
    """As asked for; None lets Whisper detect it."""
    detected_language: Mapped[str | None]
    target_languages: Mapped[list[str]] = mapped_column(ARRAY(Text))
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    glossary: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list, server_default=text("'[]'::jsonb"))
    """The user's terms as they were when it was asked for (see `terms`)."""
    regenerates: Mapped[UUID | None] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    """The job whose files this one makes anew after its transcript was edited (see `orchestrator.editing`). Such a job
    has no files of its own: at its completion they become the other's."""
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    """The revision of the transcript that its files are of; that of a regeneration's are to be of."""
    voices: Mapped[dict[str, str]] = mapped_column(JSONB, default=dict)
    """The voice chosen for each target language when the work began."""
    voice_speeds: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'::jsonb"))
    """The real speeds each of those voices had then, by its name, as `VoiceSpeeds` keeps them."""
    status: Mapped[str] = mapped_column(default="pending")
    stage: Mapped[str | None]
    progress: Mapped[int] = mapped_column(default=0)
    counts: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    """Done and expected per stage: {"transcribing": [3, 12], "synthesizing": [1, 9], "merging": [40, 100]}."""
    message: Mapped[str | None]
    """What it is doing, for people (see `messages`)."""
    pace: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'::jsonb"))
    """How fast it has been, as `eta.Pace` keeps it."""
    estimated_finish_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """As of the last report; None until its own speed is known."""
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """{"code", "message"} of a failed job."""
    warnings: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    """[{"code", "message"}]: what the user should know about a result that came out all the same."""
    credits: Mapped[int] = mapped_column(default=0, server_default="0")
    """What it costs: held from its start, spent by its completion."""
    attempt: Mapped[int] = mapped_column(default=1, server_default="1")
    """1, and one more with each retry."""
    last_event_before: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Id of the last event before this attempt: whoever follows the job is told what came after it."""
    rendered: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'::jsonb"))
    """By language, of a dub that is finished, its files ("files"), which a later attempt takes as they are, and the
    gains it was mixed with ("gain_db", "voice_db", "bed_db"; not there where the original's sound was kept)."""
    quality: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'::jsonb"))
    """By language, the summary of its dub's quality report."""
    traceparent: Mapped[str | None]
    """Of the request that asked for it, where that was traced: its steps and the e-mail about it join the trace."""
    idempotency_key: Mapped[str | None]
    request_hash: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    queued_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    """Since when this attempt waits or runs."""
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    discarded_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When its intermediate files were given up: from then on they may be deleted and the job cannot be retried."""
    swept_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the ended job's intermediate files, and all files of one that gave no result, were deleted."""
    kept_for: Mapped[timedelta] = mapped_column(server_default=text("interval '720 hours'"))
    """How long its results are kept from its completion on: what was announced when it was asked for."""
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the results of a completed job are withdrawn."""
    withdrawn_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """From then on nothing of it can be downloaded or read, and its files and texts may be deleted."""
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When its owner deleted it; it is not shown any more."""
    purged_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When its files and texts were deleted."""

    version: Mapped[int] = mapped_column(BigInteger, server_default="1")
    """One more with each change of the row or of its artifacts, by triggers: whoever has seen a version needs nothing
    else of it. Read it from the database, not from an object that was changed."""

    @property
    def available(self) -> bool:
        return self.withdrawn_at is None


Index("ix_job_processing", Job.id, postgresql_where=text("status = 'processing'"))
Index("ix_job_due", Job.expires_at, postgresql_where=text("withdrawn_at is null"))
Index("ix_job_unpurged", Job.withdrawn_at, postgresql_where=text("withdrawn_at is not null and purged_at is null"))


class JobAttempt(Base):
    """A retry of a job, and the request that asked for it. The first attempt has no row: the job itself is it."""

    __tablename__ = "job_attempt"
    __table_args__ = (UniqueConstraint("job_id", "idempotency_key"),)

    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    idempotency_key: Mapped[str | None]
    credits: Mapped[int]
    """What it held."""
    asked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class JobEvent(Base):
    """What happened to a job, in order: the source of its server-sent events."""

    __tablename__ = "job_event"
    __table_args__ = (
        Index("ix_job_event_job_id_id", "job_id", "id"),
        Index("ix_job_event_user_id_id", "user_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    user_id: Mapped[UUID]
    """The job's owner, by whom all events of theirs are found."""
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
    type: Mapped[str]
    """"progress", "warning" or a status ("completed", "failed", "cancelled")."""
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)


class HeardWindow(Base):
    """A stretch of audio cut at silences, and the words Whisper heard in it (absolute seconds)."""

    __tablename__ = "heard_window"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    start: Mapped[float]
    end: Mapped[float]
    speech: Mapped[float]
    """Seconds of speech inside, by voice activity."""
    stretches: Mapped[list[list[float]]] = mapped_column(JSONB)
    """[[start, end]] of that speech, to which the words' times are held."""
    language: Mapped[str | None]
    language_probability: Mapped[float | None]
    words: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    """[{"text", "start", "end", "probability"}]; None until heard, [] where nothing is said."""
    turns: Mapped[list[list[Any]] | None] = mapped_column(JSONB(none_as_null=True))
    """[[start, end, speaker]] of whom the job's speakers are told apart; None where nobody does that."""


class DiarizedPiece(Base):
    """A stretch of audio in which speakers are told apart, and their turns in absolute seconds, named as its own."""

    __tablename__ = "diarized_piece"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    start: Mapped[float]
    end: Mapped[float]
    turns: Mapped[list[list[Any]] | None] = mapped_column(JSONB(none_as_null=True))
    """[[start, end, speaker]]; None until heard."""


class JobSpeaker(Base):
    """Somebody who speaks in a job's media; "" where speakers are not told apart."""

    __tablename__ = "job_speaker"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    seconds: Mapped[float]
    voices: Mapped[dict[str, str]] = mapped_column(JSONB, default=dict)
    """By target language, the voice that speaks for them."""
    reference: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """{"key", "rate", "spans"} of the clip their voice is cloned from; None where it is not."""


class SegmentRow(Base):
    """One sentence or clause of the original, the unit that is translated and spoken."""

    __tablename__ = "segment"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    passage: Mapped[int]
    start: Mapped[float]
    end: Mapped[float]
    next_start: Mapped[float]
    """Where the slot must end at the latest: the next segment's onset, or the end of the media."""
    language: Mapped[str]
    speaker: Mapped[str | None]
    text: Mapped[str]
    words: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    number: Mapped[int | None]
    """Its id in the transcript's revisions; None: its index, for nothing was edited before."""
    voices: Mapped[dict[str, str]] = mapped_column(JSONB, default=dict, server_default=sa.text("'{}'::jsonb"))
    """The voice chosen for it alone, by target language."""


class Rendition(Base):
    """A segment in one target language: its translation and the speech placed in its slot."""

    __tablename__ = "rendition"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    segment: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    score: Mapped[float | None]
    """Log-probability per token of the chosen translation; None where the text was taken over untranslated."""
    voice: Mapped[str | None]
    seed: Mapped[int | None]
    speed: Mapped[float | None]
    onset: Mapped[float | None]
    seconds: Mapped[float | None]
    """Length of the speech as it is placed; None until spoken."""
    overflow: Mapped[float | None]
    """Seconds by which the speech runs past its slot."""
    audio_key: Mapped[str | None]
    candidates: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list)
    """The n-best translations the fit chooses from: [{"text", "score"}]."""
    missing_terms: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default=sa.text("'{}'"))
    """Terms of the glossary that stand in the original and could not be put into the translation."""


class Artifact(Base):
    """A finished file of a job. The row appears in the transaction that completes the job."""

    __tablename__ = "artifact"
    __table_args__ = (UniqueConstraint("job_id", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    kind: Mapped[str]
    """"video", "audio", "subtitles", "transcript" or "quality_report"."""
    language: Mapped[str | None]
    name: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    storage_key: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime | None] = column_property(
        select(Job.expires_at).where(Job.id == job_id).correlate_except(Job).scalar_subquery()
    )
    """Its job's."""


class Worker(Base):
    """A worker process's heartbeat, by which the others know whose work to take over."""

    __tablename__ = "worker"

    executor_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]
    beat_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    state: Mapped[str] = mapped_column(default="up")
    """"up"; "gone" when it has handed over its work; "lost" when its supervisor saw it die."""


class LostRun(Base):
    """A run of a workflow that ended with its worker: the worker died, or was silent until others took over."""

    __tablename__ = "lost_run"

    workflow_id: Mapped[str] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(primary_key=True)
    """The queue's token of that run."""
    steps: Mapped[int]
    """How many steps were done by then: the one after them is where it ended."""
    alone: Mapped[bool]
    """Whether it was at work on its own, so that nothing else of its kind can have ended the worker."""
    executor_id: Mapped[str]
    noted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class LoneRun(Base):
    """A step that is at work on its own, for its worker has died in it before. Gone when it has ended in good order."""

    __tablename__ = "lone_run"

    workflow_id: Mapped[str] = mapped_column(primary_key=True)
    executor_id: Mapped[str]
    began_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
