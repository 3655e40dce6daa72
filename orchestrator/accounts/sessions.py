"""Logins and their refresh tokens: each refresh token is good once, and one that comes again ends the whole login.

A refresh rotates the token under the lock of its session, so that of two uses at once one is the second.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts import audit
from orchestrator.accounts.audit import Origin
from orchestrator.accounts.models import LoginSession, RefreshToken, User
from orchestrator.accounts.secrets import digest, new_secret
from orchestrator.errors import OctaviaError
from orchestrator.ownership import get_own, owned_by
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)


class RefreshRefusedError(OctaviaError):
    """The same words for a token that is unknown, used, expired, or of a login that has ended."""

    def __init__(self) -> None:
        super().__init__(
            "refresh_refused",
            "This refresh token is not valid any more. Log in again.",
            401,
            headers={"WWW-Authenticate": 'Bearer realm="octavia", error="invalid_token"'},
        )


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """idle: a login without a refresh ends after it. longest: every login ends after it."""

    idle: timedelta
    longest: timedelta

    @classmethod
    def from_settings(cls, settings: Settings) -> "Lifetimes":
        return cls(timedelta(days=settings.session_idle_days), timedelta(days=settings.session_max_days))


@dataclass(frozen=True, slots=True)
class Entry:
    """A login that goes on: whose, which, and its next refresh token, which is kept nowhere else."""

    user: User
    session_id: UUID
    refresh_token: str


async def start(session: AsyncSession, user: User, origin: Origin, lifetimes: Lifetimes) -> Entry:
    """A new login of the user, in the caller's transaction."""
    now = datetime.now(UTC)
    login = LoginSession(
        user_id=user.id,
        idle_until=now + min(lifetimes.idle, lifetimes.longest),
        expires_at=now + lifetimes.longest,
        address=origin.address,
        user_agent=origin.user_agent,
    )
    session.add(login)
    await session.flush()
    return Entry(user, login.id, await _next_token(session, login.id))


async def refresh(make: async_sessionmaker[AsyncSession], secret: str, origin: Origin, lifetimes: Lifetimes) -> Entry:
    """The login's next tokens. Raises RefreshRefusedError, after ending the login whose used token this was."""
    async with make.begin() as session:
        entry = await _rotate(session, digest(secret), origin, lifetimes)
    if entry is None:
        raise RefreshRefusedError
    return entry


async def _rotate(session: AsyncSession, hashed: bytes, origin: Origin, lifetimes: Lifetimes) -> Entry | None:
    query = (
        sa.select(LoginSession, User)
        .join(RefreshToken, RefreshToken.session_id == LoginSession.id)
        .join(User, User.id == LoginSession.user_id)
        .where(RefreshToken.hash == hashed)
        .with_for_update(of=LoginSession)
    )
    found = (await session.execute(query)).one_or_none()
    if found is None:
        return None
    login, user = found
    token = await session.get_one(RefreshToken, hashed, populate_existing=True)
    now = datetime.now(UTC)
    if login.ended_at is not None or user.status != "active" or now >= min(login.idle_until, login.expires_at):
        return None
    if token.used_at is not None:
        login.ended_at, login.end_reason = now, "refresh token used twice"
        audit.record(session, user.id, "refresh_reused", origin, login=str(login.id))
        log.warning("a refresh token came twice; its login was ended", user_id=str(user.id), login=str(login.id))
        return None
    token.used_at = login.used_at = now
    login.idle_until = now + lifetimes.idle
    login.address, login.user_agent = origin.address, origin.user_agent
    return Entry(user, login.id, await _next_token(session, login.id))


async def _next_token(session: AsyncSession, session_id: UUID) -> str:
    secret = new_secret()
    session.add(RefreshToken(hash=digest(secret), session_id=session_id))
    await session.flush()
    return secret


def _open() -> sa.ColumnElement[bool]:
    now = sa.func.now()
    return sa.and_(
        LoginSession.ended_at.is_(None),
        LoginSession.idle_until > now,
        LoginSession.expires_at > now,
    )


async def user_of(session: AsyncSession, user_id: UUID, session_id: UUID) -> User | None:
    """The active user whose open login this is."""
    query = (
        sa.select(User)
        .join(LoginSession, LoginSession.user_id == User.id)
        .where(
            User.id == user_id,
            User.status == "active",
            LoginSession.id == session_id,
            LoginSession.ended_at.is_(None),
            LoginSession.expires_at > sa.func.now(),
        )
    )
    return await session.scalar(query)


async def listed(session: AsyncSession, user_id: UUID) -> list[LoginSession]:
    """The user's open logins, the last used first."""
    query = owned_by(user_id, LoginSession).where(_open()).order_by(LoginSession.used_at.desc(), LoginSession.id)
    return list((await session.scalars(query)).all())


async def end(session: AsyncSession, user_id: UUID, session_id: UUID, reason: str) -> None:
    """Ends one login of the user. Raises NotFoundError, for a stranger's too."""
    login = await get_own(session, user_id, LoginSession, session_id, "session", _open())
    login.ended_at, login.end_reason = datetime.now(UTC), reason


async def end_all(session: AsyncSession, user_id: UUID, reason: str, *, but: UUID | None = None) -> int:
    """Ends the user's logins, all or all but one; returns how many."""
    statement = sa.update(LoginSession).where(LoginSession.user_id == user_id, LoginSession.ended_at.is_(None))
    if but is not None:
        statement = statement.where(LoginSession.id != but)
    ended = await session.execute(
        statement.values(ended_at=sa.func.now(), end_reason=reason).returning(LoginSession.id)
    )
    return len(ended.all())
