"""The user of this machine: an active account of its own, and the token of the command line."""

import secrets
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts import service, sessions
from orchestrator.accounts.audit import Origin
from orchestrator.accounts.sessions import Lifetimes
from orchestrator.accounts.tokens import AccessTokens, InvalidTokenError
from orchestrator.settings import Settings

EMAIL = "local@localhost"
LIFETIME = timedelta(days=365)
COMMAND_LINE = Origin(user_agent="octavia command line")


async def access_token(session: AsyncSession, settings: Settings, kept: str | None) -> str:
    """A token that is good for a year: the kept one while it opens the account, else one of a new login."""
    tokens = AccessTokens.from_settings(settings)
    if kept and await _opens(session, tokens, kept):
        return kept
    user = await service.find_by_email(session, EMAIL)
    if user is None:
        password = secrets.token_urlsafe(24)
        user = await service.create_user(session, email=EMAIL, name="Local user", password=password)
        user.notifications = {"job_completed": False, "job_failed": False}  # nobody reads the mails of this address
    entry = await sessions.start(session, user, COMMAND_LINE, Lifetimes(LIFETIME, LIFETIME))
    return tokens.issue(user.id, entry.session_id, LIFETIME)


async def _opens(session: AsyncSession, tokens: AccessTokens, token: str) -> bool:
    try:
        claims = tokens.read(token)
    except InvalidTokenError:
        return False
    return await sessions.user_of(session, claims.user_id, claims.session_id) is not None
