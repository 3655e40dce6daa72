"""Withdrawing files and deleting them, when their time is over and when their owner wants it.

Always in this order: the row is marked as withdrawn, in a transaction that knows nobody uses it; from then on nobody
begins to. Then the files are deleted, then the row is marked as purged. Whatever breaks off in between, the sweeper
takes up again. A download that has begun ends in peace: its file is open, or its object store serves it to the end.

A job holds its media by a lock on the row while it is inserted, and afterwards by being there: a media is withdrawn
under the lock of its row alone, and jobs are looked for when that is held.
"""

from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.database import sessions
from orchestrator.editing.models import SupersededFile, TranscriptRevision, TranscriptSegment
from orchestrator.errors import NotFoundError, OctaviaError
from orchestrator.jobs import keys, progress
from orchestrator.jobs.models import DiarizedPiece, HeardWindow, Job, JobSpeaker, Rendition, SegmentRow
from orchestrator.media.models import Media
from orchestrator.ownership import owned_by
from orchestrator.retention.errors import AdoptedError, JobOpenError, MediaInUseError
from orchestrator.storage import Storage

log = structlog.get_logger(__name__)

Make = async_sessionmaker[AsyncSession]

AT_ONCE = 500
"""Of each kind, in one sweep."""
TEXTS = (
    Rendition,
    SegmentRow,
    HeardWindow,
    DiarizedPiece,
    JobSpeaker,
    TranscriptSegment,
    TranscriptRevision,
)
"""What was said and how it was translated: deleted with the files."""


async def delete_media(make: Make, storage: Storage, user_id: UUID, media_id: UUID) -> bool:
    """Delete the user's media now; False where the storage failed, and the sweeper will do it.

    Raises NotFoundError, for one that is deleted already too; MediaInUseError while a job on it is open.
    """
    async with make.begin() as session:
        query = owned_by(user_id, Media).where(Media.id == media_id).with_for_update(key_share=True)
        media = await session.scalar(query)
        if media is None:
            raise NotFoundError("media", media_id)
        open_ = sa.select(Job.id).where(Job.media_id == media.id, Job.status.in_(progress.OPEN)).limit(1)
        job_id = await session.scalar(open_)
        if job_id is not None:
            raise MediaInUseError(media.id, job_id)
        media.deleted_at = sa.func.now()
        media.withdrawn_at = sa.func.coalesce(Media.withdrawn_at, sa.func.now())
    return await _purged(make, storage, Media, media_id)


async def delete_job(make: Make, storage: Storage, user_id: UUID, job_id: UUID) -> bool:
    """Delete the user's job now, with its results and texts; False where the storage failed: the sweeper will do it.

    Raises NotFoundError, for one that is deleted already too; JobOpenError; AdoptedError.
    """
    async with make.begin() as session:
        query = owned_by(user_id, Job).where(Job.id == job_id).with_for_update(key_share=True)
        job = await session.scalar(query)
        if job is None:
            raise NotFoundError("job", job_id)
        if job.regenerates is not None and job.status == "completed":
            raise AdoptedError(job, job.regenerates)
        regenerations = sa.select(Job).where(Job.regenerates == job.id)
        parts = [job, *(await session.scalars(regenerations)).all()]
        for each in parts:
            if each.status in progress.OPEN:
                raise JobOpenError(each)
        for each in parts:
            each.deleted_at = sa.func.now()
            each.withdrawn_at = sa.func.coalesce(Job.withdrawn_at, sa.func.now())
    return all([await _purged(make, storage, Job, each.id) for each in parts])


async def sweep(engine: AsyncEngine, storage: Storage) -> None:
    """Withdraw what is due and delete what is withdrawn. Safe to repeat, and to run many times at once.

    Where the storage fails, that file waits for the next time and keeps no other from its turn.
    """
    make = sessions(engine)
    await _withdraw_results(make)
    await _delete_superseded(make, storage)
    for media_id in await _found(make, Media, Media.expires_at < sa.func.now(), ~_needed(), withdrawn=False):
        await _withdraw_media(make, media_id)
    for table in (Job, Media):
        for id_ in await _found(make, table, table.purged_at.is_(None), withdrawn=True):
            await _purged(make, storage, table, id_)


async def _withdraw_results(make: Make) -> None:
    """What is due, but while it is being regenerated; what regenerations have made goes with it."""
    due = (Job.status == "completed", Job.expires_at < sa.func.now(), Job.withdrawn_at.is_(None))
    made, other = sa.orm.aliased(Job), {"synchronize_session": False}
    idle = ~sa.exists().where(made.regenerates == Job.id, made.status.in_(progress.OPEN))
    whole = sa.select(made.id).where(made.withdrawn_at.is_not(None))
    parts = (Job.regenerates.in_(whole), Job.withdrawn_at.is_(None), Job.status.not_in(progress.OPEN))
    async with make.begin() as session:
        for conditions in ((*due, idle), parts):
            withdrawn = sa.update(Job).where(*conditions).values(withdrawn_at=sa.func.now())
            await session.execute(withdrawn.execution_options(**other))


async def _withdraw_media(make: Make, media_id: UUID) -> None:
    """Again and under the lock: a job may have come meanwhile. It shows in a statement after the lock is held."""
    async with make.begin() as session:
        locked = sa.select(Media.id).where(Media.id == media_id).with_for_update(key_share=True, skip_locked=True)
        if await session.scalar(locked) is None:
            return
        free = (Media.id == media_id, Media.withdrawn_at.is_(None), ~_needed())
        await session.execute(
            sa.update(Media)
            .where(*free)
            .values(withdrawn_at=sa.func.now())
            .execution_options(synchronize_session=False)
        )


def _needed() -> sa.ColumnElement[bool]:
    """Whether a job on the media is open, or has ended but may still be asked for what it needs the media for."""
    return sa.exists().where(Job.media_id == Media.id, Job.swept_at.is_(None))


async def _delete_superseded(make: Make, storage: Storage) -> None:
    """Files that a regeneration has put others in the place of; downloads that had begun have had a minute."""
    file = SupersededFile
    async with make() as session:
        due = file.at < sa.func.now() - timedelta(minutes=1)
        query = sa.select(file.storage_key).where(due).order_by(sa.func.random()).limit(AT_ONCE)
        keys_ = (await session.scalars(query)).all()
    for key in keys_:
        try:
            await storage.delete(key)
        except (OctaviaError, OSError) as error:
            log.warning("a superseded file was not deleted; tried again later", error=str(error))
            continue
        async with make.begin() as session:
            await session.execute(sa.delete(file).where(file.storage_key == key))


async def _found(
    make: Make, table: type[Job] | type[Media], *conditions: sa.ColumnElement[bool], withdrawn: bool
) -> list[UUID]:
    is_withdrawn = table.withdrawn_at.is_not(None) if withdrawn else table.withdrawn_at.is_(None)
    # What cannot be deleted for long must not stand before the rest for ever.
    order = sa.func.random() if withdrawn else table.expires_at
    async with make() as session:
        query = sa.select(table.id).where(is_withdrawn, *conditions).order_by(order).limit(AT_ONCE)
        return list((await session.scalars(query)).all())


async def _purged(make: Make, storage: Storage, table: type[Job] | type[Media], id_: UUID) -> bool:
    """Delete the files of something withdrawn, and a job's texts; whether that is done."""
    try:
        if table is Job:
            await storage.delete_prefix(keys.everything(str(id_)))
            await _forget_texts(make, id_)
        else:
            await _delete_source(make, storage, id_)
    except (OctaviaError, OSError) as error:
        log.warning(
            "files were not deleted; tried again later", kind=table.__tablename__, id=str(id_), error=str(error)
        )
        return False
    return True


async def _forget_texts(make: Make, job_id: UUID) -> None:
    """A job that was not swept yet may still have steps that write: it is purged again until it was."""
    async with make.begin() as session:
        for text in TEXTS:
            await session.execute(sa.delete(text).where(text.job_id == job_id))
        still = sa.update(Job).where(Job.id == job_id, Job.swept_at.is_not(None), Job.purged_at.is_(None))
        await session.execute(still.values(purged_at=sa.func.now()).execution_options(synchronize_session=False))


async def _delete_source(make: Make, storage: Storage, media_id: UUID) -> None:
    async with make() as session:
        key = await session.scalar(sa.select(Media.storage_key).where(Media.id == media_id))
    if key is None:
        return
    await storage.delete(key)
    async with make.begin() as session:
        still = sa.update(Media).where(Media.id == media_id, Media.purged_at.is_(None))
        await session.execute(still.values(purged_at=sa.func.now()).execution_options(synchronize_session=False))
