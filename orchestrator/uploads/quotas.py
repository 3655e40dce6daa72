"""What each user may have stored and open: decided under the account's lock before a byte is read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from orchestrator.accounts.models import User
from orchestrator.accounts.tokens import InvalidTokenError
from orchestrator.media.models import Media
from orchestrator.settings import Settings
from orchestrator.storage import StorageError
from orchestrator.uploads import rows
from orchestrator.uploads.errors import QuotaExceededError, TakenOverError, TooManyUploadsError
from orchestrator.uploads.models import OPEN, Upload
from orchestrator.uploads.rows import Make


@dataclass(frozen=True, slots=True)
class Room:
    """What a user has stored, with what open uploads have announced, and may store."""

    used: int
    limit: int

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used)

    def insist(self, size: int) -> None:
        """Raises QuotaExceededError where a file of that size has no room."""
        if size > self.left:
            raise QuotaExceededError(self.limit, self.used)


async def lock_room(session: AsyncSession, settings: Settings, user_id: UUID) -> Room:
    """The user's room, which nobody else takes before the transaction ends.

    Raises TooManyUploadsError, and InvalidTokenError for an account that was closed meanwhile.
    """
    active = sa.select(User.id).where(User.id == user_id, User.status == "active").with_for_update(key_share=True)
    if await session.scalar(active) is None:
        raise InvalidTokenError(given=True)
    lives = (Upload.protocol == "tus") | (Upload.alive_until > sa.func.now())  # a form dies with its process
    announced = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(Upload.length), 0))
    coming = await session.execute(announced.where(Upload.user_id == user_id, Upload.status.in_(OPEN), lives))
    count, size = coming.one()
    if count >= settings.open_uploads_per_user:
        raise TooManyUploadsError(settings.open_uploads_per_user)
    stored = await session.scalar(
        sa.select(sa.func.coalesce(sa.func.sum(Media.size), 0)).where(
            Media.user_id == user_id, Media.purged_at.is_(None)
        )
    )
    return Room(int(stored or 0) + int(size), settings.user_storage_bytes)


@dataclass(frozen=True, slots=True)
class Size:
    """The fewest and the most bytes a file can have before it is read."""

    least: int
    most: int


@dataclass(slots=True)
class Reservation:
    """Room kept for a multipart request while it runs: `size` bytes of the user's `room`."""

    id: UUID
    writer: UUID
    size: int
    room: Room
    settling: bool = False
    """From here on the database alone knows whether there is a media: whoever is cancelled in a commit cannot tell."""

    async def settle(self, session: AsyncSession) -> None:
        """Give the room back, in the transaction that inserts the media. Raises TakenOverError."""
        mine = sa.delete(Upload).where(Upload.id == self.id, Upload.writer == self.writer).returning(Upload.id)
        if await session.scalar(mine) is None:
            raise TakenOverError
        self.settling = True


@asynccontextmanager
async def reserved(
    make: Make, settings: Settings, user_id: UUID, media_id: UUID, announced: Size
) -> AsyncIterator[Reservation]:
    """Room for the file, or as much of it as there is where its size is not known, until the body ends or settles it.

    The row also leads the sweeper to what a killed process has stored of the media. Raises as `lock_room`,
    QuotaExceededError.
    """
    writer = uuid7()
    async with make.begin() as session:
        room = await lock_room(session, settings, user_id)
        room.insist(max(1, announced.least))
        size = max(1, min(announced.most, room.left))
        kept = {"alive_until": sa.func.now() + rows.LEASE, "expires_at": sa.func.now() + timedelta(days=1)}
        session.add(
            Upload(id=media_id, user_id=user_id, protocol="form", filename="", length=size, writer=writer, **kept)
        )
    reservation = Reservation(media_id, writer, size, room)
    try:
        async with rows.kept_alive(make, media_id, writer):
            yield reservation
    except (sa.exc.SQLAlchemyError, StorageError):
        raise  # whether there is a media or an object is not known, so the sweeper finds out
    except BaseException:
        if not reservation.settling:
            await asyncio.shield(_drop(make, media_id))
        raise


async def _drop(make: Make, upload_id: UUID) -> None:
    async with make.begin() as session:
        await session.execute(sa.delete(Upload).where(Upload.id == upload_id, Upload.protocol == "form"))
