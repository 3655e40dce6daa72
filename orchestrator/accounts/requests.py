"""What is asked about an address by whoever: sign-up, another verification e-mail, another password.

The route does the same work for every address and gives the same answer: it checks the form, makes the hash, and
leaves a row with a workflow. Whether there is an account is found out by a worker, and told by e-mail alone.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import quote
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts import audit, passwords, service
from orchestrator.accounts.addresses import parse_email, parse_name
from orchestrator.accounts.audit import Origin
from orchestrator.accounts.models import AccountRequest, EmailToken, User
from orchestrator.accounts.secrets import digest, new_secret
from orchestrator.context import EnqueueAccountRequest
from orchestrator.notifications import messages
from orchestrator.notifications.messages import Message
from orchestrator.settings import Settings

Purpose = Literal["verify", "reset"]
Kind = Literal["resend", "reset"]


@dataclass(frozen=True, slots=True)
class Letter:
    """An e-mail to a user."""

    user_id: UUID
    message: Message


async def sign_up(
    make: service.Make, enqueue: EnqueueAccountRequest, *, email: str, name: str, password: str, origin: Origin
) -> None:
    """Leaves the request. Raises InvalidAccountError, UnfitPasswordError."""
    email, name = parse_email(email), parse_name(name)
    passwords.check_password(password)
    hashed = await passwords.hash_password(password)
    asked = AccountRequest(kind="sign_up", email=email, name=name, password_hash=hashed)
    await _leave(make, enqueue, asked, origin)


async def ask(make: service.Make, enqueue: EnqueueAccountRequest, kind: Kind, *, email: str, origin: Origin) -> None:
    """Leaves a request for another e-mail. Raises InvalidAccountError."""
    await _leave(make, enqueue, AccountRequest(kind=kind, email=parse_email(email, local=True)), origin)


async def _leave(make: service.Make, enqueue: EnqueueAccountRequest, asked: AccountRequest, origin: Origin) -> None:
    asked.address, asked.user_agent = origin.address, origin.user_agent
    async with make.begin() as session:
        session.add(asked)
        await session.flush()
        await session.run_sync(enqueue, asked.id)


async def answer(session: AsyncSession, settings: Settings, request_id: UUID) -> Letter | None:
    """Does what a request asks for, once, in the caller's transaction; the e-mail to send, if there is one."""
    asked = await session.get(AccountRequest, request_id, with_for_update=True)
    if asked is None:
        return None
    await session.delete(asked)
    user = await service.find_by_email(session, asked.email, lock=True)
    if asked.kind == "sign_up":
        return await _signed_up(session, settings, asked, user)
    if user is None or user.status not in ("pending", "active"):
        return None
    if user.status == "pending":
        newest = sa.select(EmailToken).where(EmailToken.user_id == user.id).order_by(EmailToken.created_at.desc())
        last = await session.scalar(newest.limit(1))
        name, password_hash = (last.name, last.password_hash) if last else (user.name, user.password_hash)
        return await _verification(session, settings, user, name=name, password_hash=password_hash)
    if asked.kind == "resend":
        return None
    audit.record(session, user.id, "reset_requested", _origin(asked))
    await void_links(session, user, "reset")
    link = _link(session, settings, user, "reset", timedelta(minutes=settings.reset_minutes))
    return Letter(user.id, messages.reset_password(user.email, user.name, link, settings.reset_minutes))


async def _signed_up(
    session: AsyncSession, settings: Settings, asked: AccountRequest, user: User | None
) -> Letter | None:
    if user is None:
        user = await _pending(session, asked)
    if user.status == "disabled":
        return None
    if user.status == "active":
        audit.record(session, user.id, "sign_up_again", _origin(asked))
        return Letter(user.id, messages.address_known(user.email, user.name, settings.web_url))
    # Each link stands for its own sign-up: whatever others try meanwhile, who follows it gets what was given with it.
    user.name, user.password_hash = asked.name or user.name, asked.password_hash
    audit.record(session, user.id, "sign_up", _origin(asked))
    return await _verification(session, settings, user, name=asked.name, password_hash=asked.password_hash)


async def _pending(session: AsyncSession, asked: AccountRequest) -> User:
    """The new account, or the one that another request made at this moment."""
    values = {"email": asked.email, "name": asked.name, "password_hash": asked.password_hash, "status": "pending"}
    await session.execute(insert(User).values(**values).on_conflict_do_nothing())
    user = await service.find_by_email(session, asked.email, lock=True)
    if user is None:
        raise RuntimeError("an account conflicted with a row that is not there")
    return user


async def _verification(
    session: AsyncSession, settings: Settings, user: User, *, name: str | None, password_hash: str | None
) -> Letter:
    lifetime = timedelta(hours=settings.verify_hours)
    link = _link(session, settings, user, "verify", lifetime, name=name, password_hash=password_hash)
    return Letter(user.id, messages.verify_address(user.email, name or user.name, link, settings.verify_hours))


PAGES: dict[Purpose, str] = {"verify": "verify-email", "reset": "reset-password"}


def _link(
    session: AsyncSession,
    settings: Settings,
    user: User,
    purpose: Purpose,
    lifetime: timedelta,
    *,
    name: str | None = None,
    password_hash: str | None = None,
) -> str:
    """A link to the web page that does it."""
    secret = new_secret()
    token = EmailToken(hash=digest(secret), user_id=user.id, purpose=purpose, expires_at=datetime.now(UTC) + lifetime)
    token.name, token.password_hash = name, password_hash
    session.add(token)
    return f"{settings.web_url.rstrip('/')}/{PAGES[purpose]}?token={quote(secret)}"


async def void_links(session: AsyncSession, user: User, purpose: Purpose) -> None:
    """Links of that purpose sent before open nothing any more."""
    earlier = EmailToken.user_id == user.id, EmailToken.purpose == purpose, EmailToken.used_at.is_(None)
    await session.execute(sa.delete(EmailToken).where(*earlier))


def _origin(asked: AccountRequest) -> Origin:
    return Origin(asked.address, asked.user_agent)
