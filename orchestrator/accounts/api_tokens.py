"""API tokens: long-lived keys for programs, shown once, kept as hashes, revocable."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts.models import ApiToken, User
from orchestrator.accounts.secrets import HINT, digest, is_api_token, new_api_token
from orchestrator.errors import OctaviaError
from orchestrator.ownership import get_own, owned_by

MOST = 50
USE_NOTED_EVERY = timedelta(minutes=1)


class TooManyTokensError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("too_many_tokens", f"An account has at most {MOST} API tokens. Revoke one first.", 409)


async def create(session: AsyncSession, user: User, name: str, expires_in_days: int | None) -> tuple[ApiToken, str]:
    """A new token and its secret, which is not kept. Raises TooManyTokensError."""
    await session.execute(sa.select(User.id).where(User.id == user.id).with_for_update(key_share=True))
    if len(await listed(session, user.id)) >= MOST:
        raise TooManyTokensError
    secret = new_api_token()
    expires_at = datetime.now(UTC) + timedelta(days=expires_in_days) if expires_in_days else None
    token = ApiToken(user_id=user.id, name=name, hint=secret[:HINT], hash=digest(secret), expires_at=expires_at)
    session.add(token)
    await session.flush()
    await session.refresh(token)
    return token, secret


def _valid() -> sa.ColumnElement[bool]:
    return sa.and_(
        ApiToken.revoked_at.is_(None), sa.or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > sa.func.now())
    )


async def user_of(session: AsyncSession, secret: str) -> User | None:
    """The active user of a valid token, whose use is noted."""
    if not is_api_token(secret):
        return None
    query = sa.select(User, ApiToken).join(ApiToken).where(ApiToken.hash == digest(secret), User.status == "active")
    found = (await session.execute(query.where(_valid()))).one_or_none()
    if found is None:
        return None
    user, token = found
    now = datetime.now(UTC)
    if token.last_used_at is None or now - token.last_used_at > USE_NOTED_EVERY:
        await session.execute(sa.update(ApiToken).where(ApiToken.id == token.id).values(last_used_at=now))
    return user


async def listed(session: AsyncSession, user_id: UUID) -> list[ApiToken]:
    """The user's valid tokens, newest first."""
    query = owned_by(user_id, ApiToken).where(_valid()).order_by(ApiToken.id.desc())
    return list((await session.scalars(query)).all())


async def revoke(session: AsyncSession, user_id: UUID, token_id: UUID) -> None:
    """Raises NotFoundError, for a stranger's and a revoked one too."""
    token = await get_own(session, user_id, ApiToken, token_id, "API token", ApiToken.revoked_at.is_(None))
    token.revoked_at = datetime.now(UTC)


async def revoke_all(session: AsyncSession, user_id: UUID) -> None:
    statement = sa.update(ApiToken).where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None))
    await session.execute(statement.values(revoked_at=sa.func.now()))
