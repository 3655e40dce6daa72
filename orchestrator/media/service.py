"""Media: taking uploads in, and finding them again for their owner."""

import asyncio
from dataclasses import asdict
from uuid import UUID

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from orchestrator.context import AppContext
from orchestrator.errors import OctaviaError
from orchestrator.media.models import Media
from orchestrator.media.probe import Probe, probe
from orchestrator.media.upload import Received, TooLargeError, receive
from orchestrator.ownership import get_own, newest_first, owned_by


class TooLongError(OctaviaError):
    """The media lasts longer than a job may."""

    def __init__(self, duration_s: float, limit_s: float) -> None:
        message = f"The file lasts {duration_s / 3600:.1f} hours; at most {limit_s / 3600:g} are accepted. Cut it."
        super().__init__("too_long", message, 422, limit=limit_s)


async def upload(request: Request, context: AppContext, user_id: UUID) -> Media:
    """Store, probe and record the file of a multipart request. Of a refused or broken upload nothing stays."""
    media_id = uuid7()
    key = f"media/{media_id}/source"
    try:
        received = await receive(request, context.storage, key, context.settings.max_upload_bytes)
        async with context.probes, context.storage.local(key) as path:
            found = await probe(path)
        _check_limits(context, received, found)
        media = _row(media_id, user_id, key, received, found)
        async with context.sessions.begin() as session:
            session.add(media)
    except BaseException:
        # Also when the client has gone: the deletion outlives the request.
        await asyncio.shield(context.storage.delete(key))
        raise
    return media


def _check_limits(context: AppContext, received: Received, found: Probe) -> None:
    settings = context.settings
    limit = settings.max_video_bytes if found.kind == "video" else settings.max_audio_bytes
    if received.stored.size > limit:
        raise TooLargeError(limit, f"{found.kind} file")
    if found.duration > settings.max_duration_s:
        raise TooLongError(found.duration, settings.max_duration_s)


def _row(media_id: UUID, user_id: UUID, key: str, received: Received, found: Probe) -> Media:
    return Media(
        id=media_id,
        user_id=user_id,
        filename=received.filename,
        kind=found.kind,
        content_type=found.content_type,
        size=received.stored.size,
        sha256=received.stored.sha256,
        duration=found.duration,
        video=asdict(found.video) if found.video else None,
        audio=[asdict(stream) for stream in found.audio],
        storage_key=key,
    )


async def get(session: AsyncSession, user_id: UUID, media_id: UUID) -> Media:
    """The user's media. Raises NotFoundError, for a stranger's too."""
    return await get_own(session, user_id, Media, media_id, "media")


async def page(session: AsyncSession, user_id: UUID, cursor: UUID | None, limit: int) -> list[Media]:
    """The user's media, newest first, from after the cursor."""
    query = newest_first(owned_by(user_id, Media), Media, cursor, limit)
    return list((await session.scalars(query)).all())
