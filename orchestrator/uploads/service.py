"""Resumable uploads as their owners see them: begun, continued, looked into, ended."""

import asyncio
from uuid import UUID

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from orchestrator.context import AppContext
from orchestrator.media.upload import NoFileError, TooLargeError
from orchestrator.ownership import get_own, newest_first, owned_by
from orchestrator.uploads import keys, quotas, rows, tus
from orchestrator.uploads.errors import AlreadyMediaError, BeyondLengthError
from orchestrator.uploads.finishing import finish, keep
from orchestrator.uploads.models import Upload
from orchestrator.uploads.receiving import Receiver


async def begin(context: AppContext, user_id: UUID, length: int, metadata: str | None) -> Upload:
    """A new upload of that many bytes. Nothing is stored for one that is refused.

    Raises NoFileError, TooLargeError, InvalidHeaderError, TooManyUploadsError, QuotaExceededError.
    """
    if length == 0:
        raise NoFileError("The file is empty (0 bytes). Upload one that is not.")
    if length > context.settings.max_upload_bytes:
        raise TooLargeError(context.settings.max_upload_bytes)
    upload = Upload(
        user_id=user_id,
        filename=tus.filename(tus.metadata(metadata)),
        upload_metadata=metadata or None,
        length=length,
        expires_at=sa.func.now() + keep(context.settings),
    )
    async with context.sessions.begin() as session:
        (await quotas.lock_room(session, context.settings, user_id)).insist(length)
        session.add(upload)
        await session.flush()
        await session.refresh(upload)
    return upload


async def append(request: Request, context: AppContext, user_id: UUID, upload_id: UUID, offset: int) -> Upload:
    """Store the request's body at the end of the upload; of the last byte the upload becomes a media.

    Raises as `rows.claim`, `Receiver.receive` and `finish`.
    """
    writer = uuid7()
    async with context.sessions.begin() as session:
        upload = await rows.claim(session, user_id, upload_id, offset, writer)
    if upload.writer != writer:
        return upload
    try:
        if upload.status == "receiving":
            announced = request.headers.get("content-length", "")
            if announced.isdecimal() and upload.received + int(announced) > upload.length:
                raise BeyondLengthError(upload.length)
            receiver = Receiver(context.sessions, context.storage, upload, writer, keep(context.settings))
            await receiver.receive(request.stream())
            if not receiver.whole:
                return await reread(context, upload_id)
        await finish(context, upload, writer)
    finally:
        await asyncio.shield(rows.release(context.sessions, upload_id, writer))
    return await reread(context, upload_id)


async def reread(context: AppContext, upload_id: UUID) -> Upload:
    """The upload as it is now."""
    async with context.sessions() as session:
        return await session.get_one(Upload, upload_id)


async def terminate(context: AppContext, user_id: UUID, upload_id: UUID) -> None:
    """End an upload and delete what was sent. Raises NotFoundError, UploadGoneError, AlreadyMediaError."""
    async with context.sessions.begin() as session:
        upload = await rows.find(session, user_id, upload_id, lock=True)
        if upload.status == "completed":
            raise AlreadyMediaError(upload)
        await rows.end(session, upload, keep(context.settings))
    await context.storage.delete_prefix(keys.everything(upload_id))


async def get(session: AsyncSession, user_id: UUID, upload_id: UUID) -> Upload:
    """The user's upload, also one that has ended. Raises NotFoundError, for a stranger's too."""
    return await get_own(session, user_id, Upload, upload_id, "upload", Upload.protocol == "tus")


async def page(session: AsyncSession, user_id: UUID, cursor: UUID | None, limit: int) -> list[Upload]:
    """The user's uploads, newest first, from after the cursor."""
    query = owned_by(user_id, Upload).where(Upload.protocol == "tus")
    return list((await session.scalars(newest_first(query, Upload, cursor, limit))).all())
