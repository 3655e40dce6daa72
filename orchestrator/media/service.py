"""Media: taking uploads in, and finding them again for their owner."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from uuid_utils.compat import uuid7

from orchestrator.context import AppContext
from orchestrator.errors import OctaviaError
from orchestrator.media.models import Media
from orchestrator.media.probe import Probe, probe
from orchestrator.media.subtitle_file import plain_text_as_subtitles
from orchestrator.media.upload import TooLargeError, announced_size, receive
from orchestrator.ownership import get_own, newest_first, owned_by
from orchestrator.retention.rules import kept_for
from orchestrator.settings import Settings
from orchestrator.storage import Storage, Stored
from orchestrator.uploads import quotas
from orchestrator.uploads.errors import QuotaExceededError

NO_TIMES = {
    "code": "no_times",
    "message": "The text has no times. Each sentence became a cue, one after the other at a reader's pace.",
}
"""What is said of a plain text that was taken for subtitles."""


class TooLongError(OctaviaError):
    """The media lasts longer than a job may."""

    def __init__(self, duration_s: float, limit_s: float) -> None:
        message = f"The file lasts {duration_s / 3600:.1f} hours; at most {limit_s / 3600:g} are accepted. Cut it."
        super().__init__("too_long", message, 422, limit=limit_s)


class Surroundings(Protocol):
    """What taking a file in needs of the process it happens in: an API, or a worker that ends what an API left."""

    @property
    def settings(self) -> Settings: ...
    @property
    def sessions(self) -> async_sessionmaker[AsyncSession]: ...
    @property
    def storage(self) -> Storage: ...
    @property
    def probes(self) -> asyncio.Semaphore: ...


def media_prefix(media_id: UUID) -> str:
    """The prefix of all a media's objects."""
    return f"media/{media_id}"


def source_key(media_id: UUID) -> str:
    """Where a media's file lies in storage."""
    return f"media/{media_id}/source"


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A media, and the text of the other fields of the form it came in."""

    media: Media
    fields: Mapping[str, str]


async def upload(
    request: Request, context: AppContext, user_id: UUID, *, most: int | None = None, plain_text: bool = False
) -> Uploaded:
    """Store, probe and record the file of a multipart request. Of a refused or broken upload nothing stays.

    `most`: bytes it may have, where that is less than for any other file. `plain_text`: a .txt file is taken too, as
    subtitles of one sentence after the other.
    """
    announced = announced_size(request, min(context.settings.max_upload_bytes, most or sys.maxsize))
    media_id = uuid7()
    key = source_key(media_id)
    async with quotas.reserved(context.sessions, context.settings, user_id, media_id, announced) as reservation:
        try:
            received = await receive(request, context.storage, key, reservation.size)
            stored = received.stored
            sent = stored
            if plain_text and received.filename.lower().endswith(".txt"):
                stored = await _given_times(context, key, stored)
            media = await examine(context, media_id, user_id, received.filename, stored)
            if stored is not sent and media.subtitles:
                media.subtitles["remarks"] = [NO_TIMES, *media.subtitles["remarks"]]
            async with context.sessions.begin() as session:
                await reservation.settle(session)
                session.add(media)
        except sa.exc.SQLAlchemyError:
            raise  # whether the media is there is not known, so its file stays until the sweeper has looked
        except BaseException as error:
            if reservation.settling:
                raise  # for the same reason
            # Also when the client has gone: the deletion outlives the request.
            await asyncio.shield(context.storage.delete(key))
            if isinstance(error, TooLargeError) and error.limit == reservation.size < announced.most:
                raise QuotaExceededError(reservation.room.limit, reservation.room.used) from error
            raise
    return Uploaded(media, received.fields)


async def _given_times(context: AppContext, key: str, stored: Stored) -> Stored:
    """Replace a stored plain text by subtitles that say it; any other file stays what it is."""
    if stored.size > context.settings.max_subtitle_bytes:
        return stored
    data = await context.storage.read(key)
    subtitles = await asyncio.to_thread(plain_text_as_subtitles, data)
    return stored if subtitles is None else await context.storage.put_bytes(key, subtitles)


async def examine(around: Surroundings, media_id: UUID, user_id: UUID, filename: str, stored: Stored) -> Media:
    """What lies stored under `source_key`, probed and held to its kind's limits: a media that is in no session yet.

    Raises probe's errors, TooLargeError, TooLongError.
    """
    async with around.probes, around.storage.local(source_key(media_id)) as path:
        found = await probe(path, around.settings.max_subtitle_bytes)
    _check_limits(around.settings, stored, found)
    return Media(
        id=media_id,
        user_id=user_id,
        filename=filename,
        kind=found.kind,
        content_type=found.content_type,
        size=stored.size,
        sha256=stored.sha256,
        duration=found.duration,
        video=asdict(found.video) if found.video else None,
        audio=[asdict(stream) for stream in found.audio],
        subtitles=asdict(found.subtitles) if found.subtitles else None,
        storage_key=source_key(media_id),
        expires_at=datetime.now(UTC) + kept_for("upload", around.settings.retention_hours),
    )


def _check_limits(settings: Settings, stored: Stored, found: Probe) -> None:
    limits = {
        "video": settings.max_video_bytes,
        "audio": settings.max_audio_bytes,
        "subtitles": settings.max_subtitle_bytes,
    }
    limit = limits[found.kind]
    if stored.size > limit:
        raise TooLargeError(limit, f"{found.kind} file")
    if found.duration > settings.max_duration_s:
        raise TooLongError(found.duration, settings.max_duration_s)


async def get(session: AsyncSession, user_id: UUID, media_id: UUID) -> Media:
    """The user's media. Raises NotFoundError, for a stranger's too."""
    return await get_own(session, user_id, Media, media_id, "media")


async def page(session: AsyncSession, user_id: UUID, cursor: UUID | None, limit: int) -> list[Media]:
    """The user's media that are still there, newest first, from after the cursor."""
    query = newest_first(owned_by(user_id, Media).where(Media.withdrawn_at.is_(None)), Media, cursor, limit)
    return list((await session.scalars(query)).all())


async def discard(context: AppContext, media: Media) -> None:
    """Delete a media on which there is no job, and its file."""
    async with context.sessions.begin() as session:
        await session.execute(sa.delete(Media).where(Media.id == media.id))
    await context.storage.delete_prefix(media_prefix(media.id))
