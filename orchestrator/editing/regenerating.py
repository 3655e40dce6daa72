"""Making a job's files anew from what was changed in its transcript: what it costs, and its beginning.

A regeneration is a job like any other, which works on the rows of the new revision, with the speech there is where its
plan stayed. It has no files of its own: when it is completed its files and rows become those of the job, in the same
transaction (`adopting`). Until then, and where it fails or is cancelled, the job is as it was.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from orchestrator.context import AppContext
from orchestrator.credits import spending
from orchestrator.credits.ledger import balance
from orchestrator.credits.prices import regeneration
from orchestrator.dubbing.transcript import Changes
from orchestrator.editing import service as editing
from orchestrator.editing import store
from orchestrator.editing.schemas import RegenerateQuote
from orchestrator.glossaries.service import frozen
from orchestrator.jobs import progress, service
from orchestrator.jobs.kinds import speaks
from orchestrator.jobs.models import Job
from orchestrator.media.models import Media
from orchestrator.observability.tracing import traceparent
from orchestrator.retention.errors import UploadExpiredError

COPIED = ("user_id", "media_id", "kind", "source_language", "detected_language", "target_languages", "options")

TOLD_ANEW = ("hard_to_read",)
"""Codes of warnings that come with the files; all others go on being true of them."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The job, its current revision, what is regenerated (None: nothing had changed), whether by this request."""

    job: Job
    revision: int
    regeneration: Job | None
    new: bool


def price(job: Job, changes: Changes) -> int:
    """What it costs to regenerate: see `credits.prices.regeneration`. Only speech costs."""
    source = job.source_language or job.detected_language
    spoken = [language for language in job.target_languages if speaks(job.kind, source, language)]
    seconds = sum(changes.seconds[language] for language in spoken)
    return regeneration(job.credits, seconds, changes.total * len(job.target_languages))


async def quoted(context: AppContext, user_id: UUID, job_id: UUID) -> RegenerateQuote:
    """What regenerating the current revision would cost; nothing is held.

    Raises NotFoundError, NotEditableError, ResultsExpiredError.
    """
    async with context.sessions.begin() as session:
        job = await editing.editable(session, user_id, job_id)
        number = await store.current(session, job.id)
        changes = await editing.changes(session, job, number)
        there = (await balance(session, user_id)).available
    credits = price(job, changes)
    return RegenerateQuote(
        revision=number,
        output_revision=job.revision,
        changed=changes.any,
        credits=credits,
        seconds={language: round(seconds, 3) for language, seconds in changes.seconds.items()},
        segments=sorted(changes.ids),
        available=there,
        enough=credits == 0 or there >= credits,
    )


async def begin(context: AppContext, user_id: UUID, job_id: UUID, base: int, key: str | None) -> Begun:
    """Begin to regenerate the current revision, which must be `base`: in one transaction the regeneration is inserted,
    its credits held, its workflow enqueued. Where nothing has changed nothing is done.

    Raises NotFoundError, NotEditableError, ResultsExpiredError, UploadExpiredError, RevisionConflictError,
    RegeneratingError, KeyReusedError, InsufficientCreditsError.
    """
    same = hashlib.sha256(f"regenerate {job_id} {base}".encode()).hexdigest()
    async with context.sessions.begin() as session:
        await service.insist_on_active(session, user_id)
        job = await editing.editable(session, user_id, job_id, lock=True)
        if (earlier := await service.by_key(session, user_id, key, same)) is not None:
            return Begun(job, await store.current(session, job.id), earlier, new=False)
        number = await editing.at_base(session, job, base)
        changes = await editing.changes(session, job, number)
        if not changes.any:
            return Begun(job, number, None, new=False)
        await _insist_on_file(session, job)
        made = Job(
            traceparent=traceparent(),
            id=uuid7(),
            regenerates=job.id,
            revision=number,
            voices=job.voices,
            voice_speeds=job.voice_speeds,
            glossary=await frozen(session, user_id, job.target_languages),
            credits=price(job, changes),
            kept_for=job.kept_for,
            warnings=[each for each in job.warnings if each["code"] not in TOLD_ANEW],
            idempotency_key=key,
            request_hash=same,
            **{name: getattr(job, name) for name in COPIED},
        )
        session.add(made)
        await session.flush()
        await spending.hold(session, user_id, made.id, made.credits)
        await progress.announce(session, made.id, "progress", {"status": "pending", "progress": 0})
        await session.run_sync(partial(context.backends.enqueue, paid=made.credits > 0), made.id, user_id)
        await session.refresh(made)
        return Begun(job, number, made, new=True)


async def listed(session: AsyncSession, job: Job) -> Sequence[Job]:
    """The regenerations of a job, newest first."""
    return (await session.scalars(sa.select(Job).where(Job.regenerates == job.id).order_by(Job.id.desc()))).all()


async def _insist_on_file(session: AsyncSession, job: Job) -> None:
    """The upload must be there where its cues' looks, its bare picture or, under a sound file, its sound are needed.

    Raises UploadExpiredError.
    """
    beneath = job.kind == "audio_translation" and job.options.get("mix") not in (None, "replace")
    if job.kind != "subtitle_translation" and not job.options.get("burn_in") and not beneath:
        return
    media = await session.get_one(Media, job.media_id, with_for_update={"read": True}, populate_existing=True)
    if not media.available:
        raise UploadExpiredError(media)
