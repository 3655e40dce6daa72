"""Jobs as their owners see them: created, listed, looked into, cancelled."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from orchestrator.accounts import audit
from orchestrator.accounts.audit import SYSTEM, Origin
from orchestrator.accounts.models import User
from orchestrator.accounts.tokens import InvalidTokenError
from orchestrator.capabilities import Capabilities
from orchestrator.context import AppContext
from orchestrator.credits import spending
from orchestrator.credits.ledger import balance
from orchestrator.credits.prices import Quote, quote
from orchestrator.errors import NotFoundError, OctaviaError
from orchestrator.glossaries.service import frozen
from orchestrator.idempotency import KeyReusedError
from orchestrator.jobs import progress
from orchestrator.jobs.checks import Way, check_languages, check_media, check_mix, check_voices, languages_of, notices
from orchestrator.jobs.kinds import OF_SUBTITLES
from orchestrator.jobs.models import Artifact, Job, JobEvent, Rendition, SegmentRow
from orchestrator.jobs.schemas import JobRequest, LineView, Notice, QuoteView, RenditionView, SegmentView
from orchestrator.media.models import Media
from orchestrator.observability.tracing import traceparent
from orchestrator.ownership import get_own, newest_first, owned_by
from orchestrator.retention.errors import DeletedJobError, ResultsExpiredError, UploadExpiredError
from orchestrator.retention.rules import kept_for
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)


class AlreadyEndedError(OctaviaError):
    def __init__(self, job: Job) -> None:
        super().__init__("job_ended", f"Job {job.id} is {job.status} already; only an open job can be cancelled.", 409)


@dataclass(frozen=True, slots=True)
class Created:
    """A job, and whether this request made it or an earlier one with the same key."""

    job: Job
    new: bool


async def create(
    context: AppContext,
    user_id: UUID,
    request: JobRequest,
    key: str | None,
    *,
    fingerprint: str | None = None,
    origin: Origin = SYSTEM,
) -> Created:
    """Check the request and, in one transaction, insert the job, hold its credits, and enqueue its workflow.

    `fingerprint` says what is the same request, where the media's id does not: it came with the request.
    Raises NotFoundError for the media, UploadExpiredError, UnfitMediaError, SourceLanguageNeededError,
    UnavailableLanguageError, NoSeparationError, NoCloningError, NoDiarizationError, KeyReusedError, DeletedJobError,
    InsufficientCreditsError.
    """
    known = await context.backends.capabilities()
    async with context.sessions.begin() as session:
        same = fingerprint or _hash(request)
        earlier = await by_key(session, user_id, key, same)
        if earlier is None:
            created = await _insert(session, context, user_id, request, key, same, known)
            if created is not None:
                if request.options.clone_voices:
                    audit.record(session, user_id, "cloning_consent", origin, job=str(created.id))
                return Created(created, new=True)
            # Another request with the key committed while ours waited for it.
            earlier = await by_key(session, user_id, key, same)
        if earlier is None:
            raise RuntimeError("a job conflicted with a row that is not there")
        return Created(earlier, new=False)


async def _insert(
    session: AsyncSession,
    context: AppContext,
    user_id: UUID,
    request: JobRequest,
    key: str | None,
    request_hash: str,
    known: Capabilities | None,
) -> Job | None:
    """The new job; None where another transaction has taken the key. The account cannot be closed meanwhile."""
    await insist_on_active(session, user_id)
    media = await _media(session, user_id, request.media_id, lock=True)
    way = _checked(request, media, known)
    price = _price(context.settings, request, media, way).credits
    values = request.model_dump(mode="json") | {"media_id": request.media_id, "target_languages": way.targets}
    if request.kind in OF_SUBTITLES and request.source_language is None:
        values["detected_language"] = way.source
    identity = {
        "id": uuid7(),
        "user_id": user_id,
        "idempotency_key": key,
        "request_hash": request_hash,
        "credits": price,
        "traceparent": traceparent(),
        "glossary": await frozen(session, user_id, way.targets),
        "kept_for": kept_for(request.kind, context.settings.retention_hours),
    }
    statement = insert(Job).values(**values, **identity)
    statement = statement.on_conflict_do_nothing(index_elements=["user_id", "idempotency_key"])
    job: Job | None = await session.scalar(statement.returning(Job))
    if job is None:
        return None
    await spending.hold(session, user_id, job.id, price)
    await progress.announce(session, job.id, "progress", {"status": "pending", "progress": 0})
    await session.run_sync(partial(context.backends.enqueue, paid=price > 0), job.id, user_id)
    return job


async def insist_on_active(session: AsyncSession, user_id: UUID) -> None:
    """The account cannot be closed until the transaction ends. Raises InvalidTokenError where it is closed already."""
    active = sa.select(User.id).where(User.id == user_id, User.status == "active").with_for_update(read=True)
    if await session.scalar(active) is None:
        raise InvalidTokenError(given=True)


def _checked(request: JobRequest, media: Media, known: Capabilities | None) -> Way:
    """The languages of a job that can be done.

    Raises UnfitMediaError, SourceLanguageNeededError, UnavailableLanguageError, NoSeparationError, NoCloningError,
    NoDiarizationError.
    """
    check_media(request, media)
    way = languages_of(request, media)
    if known is not None:
        check_languages(request, way, known)
        check_mix(request.options.mix, known)
        check_voices(request.options, way, known)
    return way


def _price(settings: Settings, request: JobRequest, media: Media, way: Way) -> Quote:
    """What a job costs; nothing while there is no billing."""
    asked = quote(request.kind, way.targets, media.duration, settings.prices)
    return asked if settings.billing else asked.free()


async def quoted(context: AppContext, user_id: UUID, request: JobRequest) -> QuoteView:
    """What the request would cost, after the same checks as `create`; nothing is held.

    Raises NotFoundError for the media, UploadExpiredError, UnfitMediaError, SourceLanguageNeededError,
    UnavailableLanguageError, NoSeparationError, NoCloningError, NoDiarizationError.
    """
    known = await context.backends.capabilities()
    async with context.sessions.begin() as session:
        media = await _media(session, user_id, request.media_id)
        there = (await balance(session, user_id)).available
    way = _checked(request, media, known)
    price = _price(context.settings, request, media, way)
    told = notices(request.kind, way, request.options, known) if known else []
    return QuoteView(
        credits=price.credits,
        lines=[LineView(language=line.language, credits=line.credits) for line in price.lines],
        available=there,
        enough=price.credits == 0 or there >= price.credits,
        notices=[Notice(code=code, message=message) for code, message in told],
    )


async def _media(session: AsyncSession, user_id: UUID, media_id: UUID, *, lock: bool = False) -> Media:
    """The user's media, which cannot be withdrawn until the transaction ends, with `lock`.

    Raises NotFoundError, UploadExpiredError.
    """
    query = owned_by(user_id, Media).where(Media.id == media_id)
    media = await session.scalar(query.with_for_update(read=True) if lock else query)
    if media is None:
        raise NotFoundError("media", media_id)
    if not media.available:
        raise UploadExpiredError(media)
    return media


async def by_key(session: AsyncSession, user_id: UUID, key: str | None, request_hash: str) -> Job | None:
    """What an earlier request with the key made. Raises KeyReusedError, DeletedJobError."""
    if key is None:
        return None
    job = await session.scalar(sa.select(Job).where(Job.user_id == user_id, Job.idempotency_key == key))
    if job is not None and job.request_hash != request_hash:
        raise KeyReusedError(f"job {job.id}")
    if job is not None and job.deleted_at is not None:
        raise DeletedJobError(job.id)
    return job


def _hash(request: JobRequest) -> str:
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()


async def get(session: AsyncSession, user_id: UUID, job_id: UUID) -> Job:
    """The user's job. Raises NotFoundError, for a stranger's too."""
    return await get_own(session, user_id, Job, job_id, "job")


def page(user_id: UUID, *, cursor: UUID | None, limit: int, status: str | None) -> sa.Select[Job]:
    """The user's jobs, newest first, from after the cursor."""
    query = owned_by(user_id, Job).where(Job.regenerates.is_(None))
    if status is not None:
        query = query.where(Job.status == status)
    return newest_first(query, Job, cursor, limit)


async def cancel(context: AppContext, user_id: UUID, job_id: UUID) -> Job:
    """Decide an open job as cancelled, then stop its workflow. Raises NotFoundError, AlreadyEndedError."""
    async with context.sessions.begin() as session:
        won = await progress.cancel(session, (await get(session, user_id, job_id)).id)
        job = await session.get_one(Job, job_id, populate_existing=True)
        if not won:
            raise AlreadyEndedError(job)
    await stop(context, job_id, job.attempt)
    return job


async def log_of(session: AsyncSession, job_id: UUID, after: int, limit: int) -> Sequence[JobEvent]:
    """A job's events beyond the one with the number `after`, in order."""
    query = sa.select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.id > after).order_by(JobEvent.id)
    return (await session.scalars(query.limit(limit))).all()


async def stop(context: AppContext, job_id: UUID, attempt: int) -> None:
    """Stop what still runs of an attempt that was decided. Where that fails, the sweeper does it."""
    try:
        await context.backends.cancel(job_id, attempt)
    except sa.exc.SQLAlchemyError as error:
        log.warning("could not stop a job's workflow", job_id=str(job_id), error=type(error).__name__)


async def artifacts(session: AsyncSession, job_id: UUID) -> Sequence[Artifact]:
    """A job's finished files by name."""
    return (await session.scalars(sa.select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name))).all()


async def artifact(session: AsyncSession, job_id: UUID, name: str) -> Artifact:
    """One finished file. Raises NotFoundError, ResultsExpiredError."""
    found = await session.scalar(sa.select(Artifact).where(Artifact.job_id == job_id, Artifact.name == name))
    if found is None:
        raise NotFoundError("artifact", name)
    insist_on_results(await session.get_one(Job, job_id))
    return found


def insist_on_results(job: Job) -> None:
    """Raises ResultsExpiredError where what the job made was withdrawn."""
    if not job.available:
        raise ResultsExpiredError(job)


async def segments(session: AsyncSession, job_id: UUID, after: int, limit: int) -> list[SegmentView]:
    """Segments with an index beyond `after`, in order, each with its renditions by language."""
    query = (
        sa.select(SegmentRow)
        .where(SegmentRow.job_id == job_id, SegmentRow.index > after)
        .order_by(SegmentRow.index)
        .limit(limit)
    )
    rows = (await session.scalars(query)).all()
    if not rows:
        return []
    spoken: dict[int, list[RenditionView]] = defaultdict(list)
    renditions = (
        sa.select(Rendition)
        .where(Rendition.job_id == job_id, Rendition.segment.between(rows[0].index, rows[-1].index))
        .order_by(Rendition.language)
    )
    for rendition in await session.scalars(renditions):
        spoken[rendition.segment].append(RenditionView.model_validate(rendition))
    return [_segment(row, spoken[row.index]) for row in rows]


def _segment(row: SegmentRow, renditions: list[RenditionView]) -> SegmentView:
    return SegmentView(
        index=row.index,
        passage=row.passage,
        start=row.start,
        end=row.end,
        language=row.language,
        speaker=row.speaker,
        text=row.text,
        words=row.words,
        renditions=renditions,
    )
