"""Notifications that the pages show: written in the transaction of what they tell of, then their user's."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from orchestrator.accounts.models import User
from orchestrator.accounts.schemas import Notification as Kind
from orchestrator.accounts.schemas import wants
from orchestrator.notifications.messages import WEBHOOK_REASONS, file_name
from orchestrator.notifications.models import Notification
from orchestrator.ownership import get_own, newest_first, owned_by

PAGES: Mapping[str, str] = {"video_translation": "/dashboard/video/progress?jobId={id}"}
"""Pages of the web frontend that show a job, by its kind."""
ALL_JOBS = "/dashboard/history"
WEBHOOKS_PAGE = "/dashboard"


def page_of_job(kind: str, job_id: UUID) -> str:
    """The page of the web frontend where a job is to be seen: a path."""
    return PAGES.get(kind, ALL_JOBS).format(id=job_id)


@dataclass(frozen=True, slots=True)
class Note:
    """What a notification says, and where in the web frontend more is to be seen."""

    kind: Kind
    title: str
    message: str
    page: str
    job_id: UUID | None = None


def job_completed(job_id: UUID, kind: str, filename: str) -> Note:
    return Note(
        "job_completed",
        f"Ready: {file_name(filename)}",
        f"Your job on “{file_name(filename)}” is completed.",
        page_of_job(kind, job_id),
        job_id,
    )


def job_failed(job_id: UUID, kind: str, filename: str, reason: str) -> Note:
    """`reason`: in the words of the job's error."""
    return Note(
        "job_failed",
        f"Failed: {file_name(filename)}",
        f"Your job on “{file_name(filename)}” could not be finished: {reason}",
        page_of_job(kind, job_id),
        job_id,
    )


def webhook_disabled(host: str, why: str) -> Note:
    """`why` as the endpoint's row has it."""
    return Note(
        "webhook_disabled",
        "A webhook was switched off",
        f"Nothing is sent any more to your webhook endpoint at {host}. {WEBHOOK_REASONS[why]}",
        WEBHOOKS_PAGE,
    )


def add(session: AsyncSession, user: User, note: Note) -> None:
    """Notify the user in the caller's transaction, unless he wants none such in the pages or his account is closed."""
    chosen = user.notifications
    if user.status == "active" and wants(chosen, "in_app") and wants(chosen, note.kind):
        said = {"kind": note.kind, "title": note.title, "message": note.message, "page": note.page}
        session.add(Notification(id=uuid7(), user_id=user.id, job_id=note.job_id, **said))


async def page(
    session: AsyncSession, user_id: UUID, *, cursor: UUID | None, limit: int, unread: bool
) -> list[Notification]:
    """The user's notifications, newest first, from after the cursor; `unread`: only those."""
    query = owned_by(user_id, Notification)
    if unread:
        query = query.where(Notification.read_at.is_(None))
    return list((await session.scalars(newest_first(query, Notification, cursor, limit))).all())


async def count_unread(session: AsyncSession, user_id: UUID) -> int:
    unread = (Notification.user_id == user_id, Notification.read_at.is_(None))
    return await session.scalar(sa.select(sa.func.count()).select_from(Notification).where(*unread)) or 0


async def mark_read(session: AsyncSession, user_id: UUID, notification_id: UUID) -> Notification:
    """Once read, it keeps the time of the first reading. Raises NotFoundError."""
    await _read(session, user_id, Notification.id == notification_id)
    return await get_own(session, user_id, Notification, notification_id, "notification")


async def mark_all_read(session: AsyncSession, user_id: UUID, newest: UUID | None) -> None:
    """All, or those up to the newest one that was seen: what has come since stays unread."""
    await _read(session, user_id, *([Notification.id <= newest] if newest is not None else []))


async def delete(session: AsyncSession, user_id: UUID, notification_id: UUID) -> None:
    """Raises NotFoundError."""
    await session.delete(await get_own(session, user_id, Notification, notification_id, "notification"))


async def _read(session: AsyncSession, user_id: UUID, *those: sa.ColumnElement[bool]) -> None:
    unread = (Notification.user_id == user_id, Notification.read_at.is_(None), *those)
    await session.execute(sa.update(Notification).where(*unread).values(read_at=sa.func.now()))
