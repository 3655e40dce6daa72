"""Leaving: an account is closed at once, and 30 days later its files and personal data are deleted for good."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts import api_tokens, audit, sessions
from orchestrator.accounts.audit import SYSTEM, Origin
from orchestrator.accounts.models import LOCK, ApiToken, EmailToken, LoginSession, SecurityEvent, User
from orchestrator.accounts.requests import Letter
from orchestrator.accounts.service import Make
from orchestrator.accounts.tokens import InvalidTokenError
from orchestrator.billing import inbox
from orchestrator.errors import OctaviaError
from orchestrator.glossaries.models import GlossaryEntry
from orchestrator.jobs import keys, progress
from orchestrator.jobs.models import Job
from orchestrator.media.models import Media
from orchestrator.notifications import messages
from orchestrator.notifications.models import Mail, Notification
from orchestrator.storage import Storage
from orchestrator.uploads import keys as upload_keys
from orchestrator.uploads.models import Upload
from orchestrator.voices.models import PreviewRequestKey
from orchestrator.webhooks.models import WebhookEndpoint

log = structlog.get_logger(__name__)

KEPT = timedelta(days=30)
OPEN = ("pending", "processing")
NOBODY = "Deleted user"
PERSONAL = (
    *(Notification, WebhookEndpoint, PreviewRequestKey, GlossaryEntry, Job, Media, Upload),
    *(LoginSession, ApiToken, EmailToken, SecurityEvent, Mail),
)
"""Rows that go with the account, in this order."""


async def close(session: AsyncSession, user_id: UUID, origin: Origin) -> tuple[Letter, list[tuple[UUID, int]]]:
    """Closes the account in the caller's transaction; the farewell e-mail, and the jobs, each with the attempt it is
    at, whose workflows are to stop.

    Raises InvalidTokenError where another request has closed it.
    """
    user = await session.get_one(User, user_id, with_for_update=LOCK, populate_existing=True)
    if user.status == "deleted":
        raise InvalidTokenError(given=True)
    now = datetime.now(UTC)
    user.status, user.deleted_at = "deleted", now
    await sessions.end_all(session, user.id, "account deleted")
    await api_tokens.revoke_all(session, user.id)
    query = sa.select(Job.id, Job.attempt).where(Job.user_id == user.id, Job.status.in_(OPEN))
    running = [(row.id, row.attempt) for row in await session.execute(query)]
    cancelled = [each for each in running if await progress.cancel(session, each[0])]
    audit.record(session, user.id, "deleted", origin, jobs_cancelled=len(cancelled))
    return Letter(user.id, messages.account_deleted(user.email, user.name, (now + KEPT).date())), cancelled


async def purge(make: Make, storage: Storage) -> int:
    """Purges the accounts that were closed 30 days ago; returns how many. Safe to repeat, and to run many times.

    Where files cannot be deleted now, that account waits for the next time and keeps no other from its turn.
    """
    async with make() as session:
        due = (User.status == "deleted", User.purged_at.is_(None), User.deleted_at < datetime.now(UTC) - KEPT)
        found = (await session.scalars(sa.select(User.id).where(*due).order_by(User.deleted_at))).all()
    purged = 0
    for user_id in found:
        try:
            await _purge(make, storage, user_id)
        except (OctaviaError, OSError) as error:
            log.warning("a closed account was not purged; tried again later", user_id=str(user_id), error=str(error))
            continue
        log.info("a closed account was purged", user_id=str(user_id))
        purged += 1
    return purged


async def _purge(make: Make, storage: Storage, user_id: UUID) -> None:
    """Files first: a purge that is broken off is begun again, and finds what it has not deleted yet.

    The ledger stays, of an account that is nobody's any more: money must add up, and it holds no personal data.
    """
    async with make() as session:
        jobs = (await session.scalars(sa.select(Job.id).where(Job.user_id == user_id, Job.purged_at.is_(None)))).all()
        there = (Media.user_id == user_id, Media.purged_at.is_(None))
        files = (await session.scalars(sa.select(Media.storage_key).where(*there))).all()
        uploads = (await session.scalars(sa.select(Upload.id).where(Upload.user_id == user_id))).all()
    for job_id in jobs:
        await storage.delete_prefix(keys.everything(str(job_id)))
    for key in files:
        await storage.delete(key)
    for upload_id in uploads:
        await storage.delete_prefix(upload_keys.everything(upload_id))
    async with make.begin() as session:
        for table in PERSONAL:
            await session.execute(sa.delete(table).where(table.user_id == user_id))
        await inbox.forget_user(session, user_id)  # purchases and orders stay, as the books must
        await session.execute(
            sa.update(User)
            .where(User.id == user_id)
            .values(
                email=f"{user_id}@deleted.invalid",
                name=NOBODY,
                password_hash=None,
                notifications={},
                language="en",
                time_zone="UTC",
                purged_at=sa.func.now(),
            )
        )


async def disable(session: AsyncSession, user: User, *, disabled: bool) -> None:
    """Locks an account out, or lets it in again; its data stay."""
    user.status = "disabled" if disabled else "active"
    if disabled:
        await sessions.end_all(session, user.id, "account disabled")
    audit.record(session, user.id, "disabled" if disabled else "enabled", SYSTEM)
