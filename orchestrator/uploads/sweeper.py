"""The net under uploads: what nobody finishes, what nobody continues, and the rows of what is over.

Ends open uploads that have expired or whose owner's account was closed; finishes whole ones whose API process died
while it checked them; deletes what killed multipart requests have stored; deletes rows, with whatever of their objects
is still there, once nobody will ask for them. Any number of workers may sweep at once: all is guarded and repeatable.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from uuid_utils.compat import uuid7

from orchestrator.accounts.models import User
from orchestrator.database import sessions
from orchestrator.errors import OctaviaError
from orchestrator.media.models import Media
from orchestrator.media.service import Surroundings, media_prefix
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from orchestrator.sweeping import every_part, every_row, for_ever
from orchestrator.uploads import keys, rows
from orchestrator.uploads.errors import TakenOverError
from orchestrator.uploads.finishing import finish, keep
from orchestrator.uploads.models import OPEN, Upload

log = structlog.get_logger(__name__)

EVERY_S = 60
LOST = timedelta(minutes=1)
"""A checker that has not shown life for so long is dead: another one checks."""
DEAD = timedelta(minutes=10)
"""The same of a multipart request: what it stored is deleted."""
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Net:
    """A worker's part of it: one upload is probed at a time."""

    settings: Settings
    sessions: async_sessionmaker[AsyncSession]
    storage: Storage
    probes: asyncio.Semaphore


async def sweep_for_ever(settings: Settings, engine: AsyncEngine, storage: Storage) -> None:
    """Sweep every minute; what failed is tried again at the next."""
    net = Net(settings, sessions(engine), storage, asyncio.Semaphore(1))
    await for_ever(partial(sweep, net), EVERY_S)


async def sweep(net: Surroundings) -> None:
    """One look. Raises SweepError once all parts have had their turn; storage errors wait for the next look."""
    await every_part(
        {
            "uploads nobody goes on with": partial(_expire, net),
            "uploads to be finished": partial(_finish_left, net),
            "forms that broke off": partial(_clear_forms, net),
            "uploads that have ended": partial(_clear_ended, net),
        }
    )


async def _expire(net: Surroundings) -> None:
    async def expire(upload_id: UUID) -> None:
        async with net.sessions.begin() as session:
            upload = await session.get(Upload, upload_id, with_for_update=True)
            if upload is not None and upload.status in OPEN:
                await rows.end(session, upload, keep(net.settings))
        log.info("an upload has expired", upload_id=str(upload_id))
        await _delete(net, upload_id)

    closed = sa.exists().where(User.id == Upload.user_id, User.status == "deleted")
    over = (Upload.expires_at < sa.func.now()) | closed
    found = await _found(net, Upload.protocol == "tus", Upload.status.in_(OPEN), _silent(LOST), over)
    await every_row(found, expire)


async def _finish_left(net: Surroundings) -> None:
    await every_row(await _found(net, Upload.status == "checking", _silent(LOST)), partial(_finish, net))


async def _clear_forms(net: Surroundings) -> None:
    async def clear(upload_id: UUID) -> None:
        if await _take(net, upload_id, Upload.protocol == "form", _silent(DEAD)) and await _delete(net, upload_id):
            await _forget(net, upload_id)

    await every_row(await _found(net, Upload.protocol == "form", _silent(DEAD)), clear)


async def _clear_ended(net: Surroundings) -> None:
    async def clear(upload_id: UUID) -> None:
        if await _delete(net, upload_id):
            await _forget(net, upload_id)

    await every_row(await _found(net, Upload.status.not_in(OPEN), Upload.expires_at < sa.func.now()), clear)


def _silent(time: timedelta) -> sa.ColumnElement[bool]:
    return sa.func.coalesce(Upload.alive_until, Upload.created_at) < sa.func.now() - time


async def _found(net: Surroundings, *conditions: sa.ColumnElement[bool]) -> list[UUID]:
    async with net.sessions() as session:
        query = sa.select(Upload.id).where(*conditions).order_by(Upload.id).limit(AT_ONCE)
        return list((await session.scalars(query)).all())


async def _finish(net: Surroundings, upload_id: UUID) -> None:
    upload = await _take(net, upload_id, Upload.status == "checking", _silent(LOST))
    if upload is None or upload.writer is None:
        return
    try:
        await finish(net, upload, upload.writer)
        log.info("finished an upload that was left", upload_id=str(upload_id))
    except TakenOverError:
        return
    except (OctaviaError, OSError) as error:
        log.warning("an upload that was left is no media", upload_id=str(upload_id), error=str(error))
    await rows.release(net.sessions, upload_id, upload.writer)


async def _take(net: Surroundings, upload_id: UUID, *conditions: sa.ColumnElement[bool]) -> Upload | None:
    """Become the upload's writer, if it still is as it was found: who wrote before changes nothing any more."""
    values = {"writer": uuid7(), "alive_until": sa.func.now() + rows.LEASE}
    taken = sa.update(Upload).where(Upload.id == upload_id, *conditions).values(**values).returning(Upload)
    async with net.sessions.begin() as session:
        upload: Upload | None = await session.scalar(taken)
    return upload


async def _delete(net: Surroundings, upload_id: UUID) -> bool:
    """Delete the upload's objects, but not a media's; whether that is done."""
    async with net.sessions() as session:
        is_media = await session.scalar(sa.select(sa.exists().where(Media.id == upload_id)))
    try:
        await net.storage.delete_prefix(keys.everything(upload_id))
        if not is_media:
            await net.storage.delete_prefix(media_prefix(upload_id))
    except (OctaviaError, OSError) as error:
        log.warning("an upload's files were not deleted", upload_id=str(upload_id), error=str(error))
        return False
    return True


async def _forget(net: Surroundings, upload_id: UUID) -> None:
    async with net.sessions.begin() as session:
        await session.execute(sa.delete(Upload).where(Upload.id == upload_id))
