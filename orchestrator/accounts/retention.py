"""How long is kept what has done its work: ended logins, used links, requests nobody answered, the audit trail."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts.models import AccountRequest, ApiToken, EmailToken, LoginSession, SecurityEvent, User
from orchestrator.accounts.service import Make
from orchestrator.database import Base
from orchestrator.notifications.models import Mail, Notification

log = structlog.get_logger(__name__)

ENDED_LOGIN = timedelta(days=90)
DEAD_LINK = timedelta(days=7)
EVENT = timedelta(days=365)
FAILED_STRANGER = timedelta(days=30)
"""Of attempts on addresses without an account."""
MAIL = timedelta(days=90)
NOTIFICATION = timedelta(days=90)
UNANSWERED = timedelta(days=1)
"""A request whose workflow was lost; it holds a password's hash."""
UNVERIFIED = timedelta(days=7)
"""An account whose address nobody verified; whoever wants it can sign up again."""


async def forget_stale(make: Make) -> None:
    """Deletes what is older than it need be. Safe to repeat, and to run many times."""
    now = datetime.now(UTC)
    ended = sa.func.coalesce(LoginSession.ended_at, sa.func.least(LoginSession.idle_until, LoginSession.expires_at))
    rules: list[tuple[type[Base], sa.ColumnElement[bool]]] = [
        (LoginSession, ended < now - ENDED_LOGIN),
        (EmailToken, EmailToken.expires_at < now - DEAD_LINK),
        (ApiToken, sa.func.coalesce(ApiToken.revoked_at, ApiToken.expires_at) < now - ENDED_LOGIN),
        (SecurityEvent, SecurityEvent.created_at < now - EVENT),
        (SecurityEvent, SecurityEvent.user_id.is_(None) & (SecurityEvent.created_at < now - FAILED_STRANGER)),
        (Mail, sa.func.coalesce(Mail.sent_at, Mail.failed_at) < now - MAIL),
        (Notification, Notification.created_at < now - NOTIFICATION),
    ]
    async with make.begin() as session:
        for table, stale in rules:
            await session.execute(sa.delete(table).where(stale))
        await _forget_unverified(session, now)
        lost = await session.execute(
            sa.delete(AccountRequest).where(AccountRequest.created_at < now - UNANSWERED).returning(AccountRequest.id)
        )
        for (request_id,) in lost:
            log.error("an account request was never answered", request_id=str(request_id))


async def _forget_unverified(session: AsyncSession, now: datetime) -> None:
    """First locked, then looked at again: of those for which a link is being made right now, none is deleted."""
    waiting = (User.status == "pending", User.created_at < now - UNVERIFIED)
    locked = (await session.scalars(sa.select(User.id).where(*waiting).with_for_update(skip_locked=True))).all()
    await session.execute(sa.delete(User).where(User.id.in_(locked), *waiting, ~_link_still_good(now)))


def _link_still_good(now: datetime) -> sa.ColumnElement[bool]:
    return sa.exists().where(EmailToken.user_id == User.id, EmailToken.expires_at > now)
