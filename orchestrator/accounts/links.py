"""What the links in e-mails lead to: an address verified, a password reset. Only a POST consumes a token."""

from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts import api_tokens, audit, sessions
from orchestrator.accounts.audit import Origin
from orchestrator.accounts.models import LOCK, EmailToken, User
from orchestrator.accounts.requests import Letter, Purpose, void_links
from orchestrator.accounts.secrets import digest
from orchestrator.accounts.service import Make, WrongPasswordError
from orchestrator.accounts.sessions import Entry, Lifetimes
from orchestrator.credits import ledger
from orchestrator.errors import OctaviaError
from orchestrator.notifications import messages


class LinkRefusedError(OctaviaError):
    """The same words for a token that is unknown, expired, void, or of another purpose."""

    def __init__(self) -> None:
        super().__init__("link_refused", "This link is not valid or has expired. Ask for a new e-mail.", 400)


class AlreadyVerifiedError(OctaviaError):
    """A link that was followed before, of an account that is active: whoever has it learns nothing new."""

    def __init__(self) -> None:
        super().__init__("already_verified", "This address is verified already. Log in.", 409)


async def verify(make: Make, secret: str, origin: Origin, lifetimes: Lifetimes, *, sign_up_credits: int = 0) -> Entry:
    """Makes the account active, grants it its first credits, and logs it in.

    Raises LinkRefusedError, AlreadyVerifiedError.
    """
    async with make.begin() as session:
        token, user = await _found(session, secret, "verify")
        if user.status == "active":
            raise AlreadyVerifiedError
        if user.status != "pending":
            raise LinkRefusedError
        now = datetime.now(UTC)
        token.used_at = user.verified_at = now
        user.status = "active"
        user.name, user.password_hash = token.name or user.name, token.password_hash
        entry = await sessions.start(session, user, origin, lifetimes)
        audit.record(session, user.id, "verified", origin, login=str(entry.session_id))
        if sign_up_credits:
            await ledger.grant(session, user.id, sign_up_credits, key=f"sign_up:{user.id}", reference="sign_up")
        return entry


async def check_reset(make: Make, secret: str) -> None:
    """Raises LinkRefusedError for a token that resets nothing, before anything costly is done for it."""
    async with make.begin() as session:
        token, user = await _found(session, secret, "reset")
        if token.used_at is not None or user.status != "active":
            raise LinkRefusedError


async def reset_password(session: AsyncSession, secret: str, hashed: str, origin: Origin) -> Letter:
    """Sets the password, ends every login and revokes every API token, in the caller's transaction.

    Raises LinkRefusedError.
    """
    token, user = await _found(session, secret, "reset")
    if token.used_at is not None or user.status != "active":
        raise LinkRefusedError
    token.used_at = datetime.now(UTC)
    user.password_hash = hashed
    ended = await sessions.end_all(session, user.id, "password reset")
    await api_tokens.revoke_all(session, user.id)
    audit.record(session, user.id, "password_reset", origin, sessions_ended=ended)
    return _told(user, origin)


async def change_password(session: AsyncSession, user: User, login: UUID, hashed: str, origin: Origin) -> Letter:
    """Sets the password and ends every login but this one, in the caller's transaction.

    Raises WrongPasswordError where the password is not the one any more that was checked.
    """
    changed = await session.get_one(User, user.id, with_for_update=LOCK, populate_existing=True)
    if changed.password_hash != user.password_hash:  # reset meanwhile, by who reads the owner's e-mail
        raise WrongPasswordError
    changed.password_hash = hashed
    await void_links(session, changed, "reset")
    ended = await sessions.end_all(session, user.id, "password changed", but=login)
    audit.record(session, user.id, "password_changed", origin, sessions_ended=ended)
    return _told(changed, origin)


def _told(user: User, origin: Origin) -> Letter:
    return Letter(user.id, messages.password_changed(user.email, user.name, datetime.now(UTC), origin.address))


async def _found(session: AsyncSession, secret: str, purpose: Purpose) -> tuple[EmailToken, User]:
    """Both locked, the account first, as everywhere."""
    hashed = digest(secret)
    owner = sa.select(EmailToken.user_id).where(EmailToken.hash == hashed, EmailToken.purpose == purpose)
    user = await session.scalar(sa.select(User).where(User.id.in_(owner)).with_for_update(key_share=True))
    token = await session.get(EmailToken, hashed, with_for_update=True) if user else None
    if user is None or token is None or datetime.now(UTC) >= token.expires_at:
        raise LinkRefusedError
    return token, user
