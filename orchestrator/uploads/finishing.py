"""From a whole upload to a media: its parts become one object, which is probed like any other upload."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog

from orchestrator.errors import OctaviaError
from orchestrator.media import service as media_service
from orchestrator.media.models import Media
from orchestrator.media.service import Surroundings
from orchestrator.settings import Settings
from orchestrator.storage import MissingObjectError, Storage, StorageError
from orchestrator.uploads import keys, rows
from orchestrator.uploads.errors import TakenOverError
from orchestrator.uploads.models import Upload, UploadPart

log = structlog.get_logger(__name__)


def keep(settings: Settings) -> timedelta:
    """How long an upload may wait for its next byte, and how long its outcome can be asked for."""
    return timedelta(hours=settings.upload_hours)


async def finish(around: Surroundings, upload: Upload, writer: UUID) -> Media:
    """Make a media of an upload whose bytes are all there, as its writer.

    Raises what probing raises of a file we do not take, which then is the upload's outcome; TakenOverError; and
    StorageError or StorageFullError, after which the upload waits to be finished.
    """
    key = media_service.source_key(upload.id)
    committing = False
    try:
        async with rows.kept_alive(around.sessions, upload.id, writer):
            media = await _media(around, upload, writer, key)
            async with around.sessions.begin() as session:
                await rows.complete(session, upload.id, writer, keep(around.settings))
                session.add(media)
                committing = True
    except (TakenOverError, sa.exc.SQLAlchemyError):
        # The object may be a media's by now; if it never becomes one, it goes with the upload's row.
        raise
    except BaseException:
        if not committing:  # who is cancelled in a commit cannot tell either
            await asyncio.shield(around.storage.delete(key))
        raise
    await _tidy(around.storage, upload.id)
    return media


async def _media(around: Surroundings, upload: Upload, writer: UUID, key: str) -> Media:
    async with around.sessions() as session:
        parts = await rows.parts(session, upload.id)
    try:
        stored = await around.storage.put_stream(key, _joined(around.storage, parts))
        if stored.size != upload.length:
            raise StorageError(key)
        return await media_service.examine(around, upload.id, upload.user_id, upload.filename, stored)
    except MissingObjectError as error:
        raise StorageError(key) from error
    except OctaviaError as error:
        if error.status < 500:
            async with around.sessions.begin() as session:
                await rows.refuse(session, upload.id, writer, keep(around.settings), error)
            await _tidy(around.storage, upload.id)
        raise


async def _joined(storage: Storage, parts: Sequence[UploadPart]) -> AsyncIterator[bytes]:
    for part in parts:
        async for chunk in storage.stream(part.storage_key):
            yield chunk


async def _tidy(storage: Storage, upload_id: UUID) -> None:
    """Delete the parts; what cannot be deleted now goes with the row."""
    try:
        await storage.delete_prefix(keys.everything(upload_id))
    except (OctaviaError, OSError) as error:
        log.warning("an upload's parts were not deleted", upload_id=str(upload_id), error=str(error))
