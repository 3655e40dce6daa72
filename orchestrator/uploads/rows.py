"""What happens to an upload's row: one writer at a time, and nothing counts that is not written here.

A writer is a request, in whatever API process. It shows life while bytes arrive; when it has been silent for LEASE, the
next one may take over, and the first finds at its next write that it is not the writer any more.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.database import is_outage
from orchestrator.errors import NotFoundError, OctaviaError
from orchestrator.ownership import owned_by
from orchestrator.uploads.errors import TakenOverError, UploadGoneError, UploadLockedError, WrongOffsetError
from orchestrator.uploads.models import OPEN, Upload, UploadPart

log = structlog.get_logger(__name__)

Make = async_sessionmaker[AsyncSession]

LEASE = timedelta(seconds=6)
"""Short, for tus clients come back after a broken connection within seconds."""
BEAT_S = LEASE.total_seconds() / 3


async def find(session: AsyncSession, user_id: UUID, upload_id: UUID, *, lock: bool = False) -> Upload:
    """The user's upload. Raises NotFoundError, for a stranger's too, and UploadGoneError."""
    query = owned_by(user_id, Upload).where(Upload.id == upload_id, Upload.protocol == "tus")
    upload = await session.scalar(query.with_for_update() if lock else query)
    if upload is None:
        raise NotFoundError("upload", upload_id)
    if upload.status == "ended" or (upload.status == "receiving" and upload.expires_at <= await _now(session)):
        raise UploadGoneError(upload)
    return upload


async def claim(session: AsyncSession, user_id: UUID, upload_id: UUID, offset: int, writer: UUID) -> Upload:
    """Make the request the writer of an open upload at that offset; one that is not open is returned as it is.

    Raises NotFoundError, UploadGoneError, UploadLockedError, WrongOffsetError, or the refusal of a refused upload.
    """
    upload = await find(session, user_id, upload_id, lock=True)
    if upload.problem is not None:
        raise refusal(upload.problem)
    now = await _now(session)
    if upload.writer is not None and upload.alive_until is not None and upload.alive_until > now:
        raise UploadLockedError(1 + int((upload.alive_until - now).total_seconds()))
    if offset != upload.received:
        raise WrongOffsetError(upload, offset)
    if upload.status in OPEN:
        upload.writer, upload.alive_until = writer, now + LEASE
    return upload


async def release(make: Make, upload_id: UUID, writer: UUID) -> None:
    """Let the next one write."""
    async with make.begin() as session:
        mine = _of(upload_id, writer)
        await session.execute(sa.update(Upload).where(*mine).values(writer=None, alive_until=None))


async def last_part(session: AsyncSession, upload_id: UUID) -> UploadPart | None:
    query = sa.select(UploadPart).where(UploadPart.upload_id == upload_id).order_by(UploadPart.start.desc()).limit(1)
    found: UploadPart | None = await session.scalar(query)
    return found


async def parts(session: AsyncSession, upload_id: UUID) -> list[UploadPart]:
    """All of them in order."""
    query = sa.select(UploadPart).where(UploadPart.upload_id == upload_id).order_by(UploadPart.start)
    return list((await session.scalars(query)).all())


async def add_part(session: AsyncSession, writer: UUID, before: int, part: UploadPart, keep: timedelta) -> bool:
    """Count a stored part, which may begin before the `before` bytes that were there; whether they are all there now.

    Raises TakenOverError.
    """
    received = part.start + part.size
    status = sa.case((Upload.length == received, "checking"), else_="receiving")
    counted = (
        sa.update(Upload)
        .where(*_of(part.upload_id, writer), Upload.status == "receiving", Upload.received == before)
        .values(received=received, status=status, alive_until=sa.func.now() + LEASE, expires_at=sa.func.now() + keep)
        .returning(Upload.status)
    )
    now = await session.scalar(counted)
    if now is None:
        raise TakenOverError
    values = {"size": part.size, "storage_key": part.storage_key}
    statement = insert(UploadPart).values(upload_id=part.upload_id, start=part.start, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=["upload_id", "start"], set_=values))
    return bool(now == "checking")


async def complete(session: AsyncSession, upload_id: UUID, writer: UUID, keep: timedelta) -> None:
    """The upload has become a media, in the caller's transaction. Raises TakenOverError."""
    await _settle(session, upload_id, writer, keep, status="completed")


async def refuse(session: AsyncSession, upload_id: UUID, writer: UUID, keep: timedelta, error: OctaviaError) -> None:
    """The upload is whole and cannot become a media. Raises TakenOverError."""
    problem = {"code": error.code, "message": error.message, "status": error.status, "detail": error.detail}
    await _settle(session, upload_id, writer, keep, status="refused", problem=problem)


async def _settle(session: AsyncSession, upload_id: UUID, writer: UUID, keep: timedelta, **values: Any) -> None:
    settled = (
        sa.update(Upload)
        .where(*_of(upload_id, writer), Upload.status == "checking")
        .values(writer=None, alive_until=None, expires_at=sa.func.now() + keep, **values)
        .returning(Upload.id)
    )
    if await session.scalar(settled) is None:
        raise TakenOverError
    await session.execute(sa.delete(UploadPart).where(UploadPart.upload_id == upload_id))


async def end(session: AsyncSession, upload: Upload, keep: timedelta) -> None:
    """Close an upload, whoever writes to it; its row says so for a while."""
    values = {"status": "ended", "problem": None, "writer": None, "alive_until": None}
    await session.execute(
        sa.update(Upload).where(Upload.id == upload.id).values(**values, expires_at=sa.func.now() + keep)
    )
    await session.execute(sa.delete(UploadPart).where(UploadPart.upload_id == upload.id))


def refusal(problem: dict[str, Any]) -> OctaviaError:
    """The error that refused the upload, once more."""
    return OctaviaError(problem["code"], problem["message"], problem["status"], **problem["detail"])


@asynccontextmanager
async def kept_alive(
    make: Make, upload_id: UUID, writer: UUID, alive: Callable[[], bool] = lambda: True
) -> AsyncIterator[None]:
    """While the body runs, the writer shows life every BEAT_S, or only if `alive` says that there was some."""
    beating = asyncio.create_task(_beat(make, upload_id, writer, alive), name=f"upload {upload_id}")
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _beat(make: Make, upload_id: UUID, writer: UUID, alive: Callable[[], bool]) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        if not alive():
            continue
        try:
            async with make.begin() as session:
                longer = sa.update(Upload).where(*_of(upload_id, writer)).values(alive_until=sa.func.now() + LEASE)
                await session.execute(longer)
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            if not is_outage(error):
                raise
            log.warning("an upload could not show life", upload_id=str(upload_id), error=type(error).__name__)


def _of(upload_id: UUID, writer: UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return Upload.id == upload_id, Upload.writer == writer


async def _now(session: AsyncSession) -> datetime:
    """By the database's clock, which all processes share."""
    now: datetime = (await session.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    return now
