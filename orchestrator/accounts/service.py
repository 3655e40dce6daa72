"""Accounts: creating and finding users, login, passwords, profile."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts import audit, passwords, sessions
from orchestrator.accounts.addresses import lookup_form, parse_email, parse_name
from orchestrator.accounts.audit import Origin
from orchestrator.accounts.models import LOCK, User
from orchestrator.accounts.sessions import Entry, Lifetimes
from orchestrator.errors import OctaviaError

Make = async_sessionmaker[AsyncSession]


class EmailTakenError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("email_taken", "An account with this e-mail address exists already.", 409)


class LoginRefusedError(OctaviaError):
    """The same words whether the address is unknown or the password is wrong."""

    def __init__(self) -> None:
        super().__init__(
            "login_refused",
            "E-mail address or password is wrong.",
            401,
            headers={"WWW-Authenticate": 'Bearer realm="octavia"'},
        )


class NotVerifiedError(OctaviaError):
    """Said only to whoever knows the password."""

    def __init__(self) -> None:
        super().__init__(
            "not_verified",
            "Please verify your e-mail address first: follow the link in the e-mail we sent, or ask for a new one.",
            403,
        )


class AccountDisabledError(OctaviaError):
    """Said only to whoever knows the password."""

    def __init__(self) -> None:
        super().__init__("account_disabled", "This account is disabled. Write to the support.", 403)


class WrongPasswordError(OctaviaError):
    """A logged-in user gave a wrong current password."""

    def __init__(self) -> None:
        super().__init__("wrong_password", "The current password is wrong. Nothing was changed.", 403)


async def create_user(session: AsyncSession, *, email: str, name: str, password: str, role: str = "user") -> User:
    """A new active account, in the caller's transaction: the operator vouches for its address.

    Raises InvalidAccountError, UnfitPasswordError, EmailTakenError.
    """
    email, name = parse_email(email, local=True), parse_name(name)
    passwords.check_password(password)
    user = User(email=email, name=name, role=role, password_hash=await passwords.hash_password(password))
    user.verified_at = datetime.now(UTC)
    try:
        async with session.begin_nested():
            session.add(user)
    except sa.exc.IntegrityError as error:
        raise EmailTakenError from error
    await session.refresh(user)
    return user


async def find_by_email(session: AsyncSession, email: str, *, lock: bool = False) -> User | None:
    """The account of an address, whatever the case it is written in, unless it is deleted."""
    address = lookup_form(email)
    if address is None:
        return None
    query = sa.select(User).where(sa.func.lower(User.email) == sa.func.lower(address), User.status != "deleted")
    return await session.scalar(query.with_for_update(key_share=True) if lock else query)


async def log_in(make: Make, *, email: str, password: str, origin: Origin, lifetimes: Lifetimes) -> Entry:
    """A new login. Raises LoginRefusedError, after the same work for an unknown address as for a wrong password, and
    only for the right password NotVerifiedError and AccountDisabledError.

    No connection is held while the password is hashed.
    """
    async with make() as session:
        user = await find_by_email(session, email)
    right = await passwords.matches(password, user.password_hash if user else None)
    outcome = await _decide(make, user, right, origin, lifetimes)
    if isinstance(outcome, OctaviaError):
        raise outcome
    if outcome.user.password_hash and passwords.is_outdated(outcome.user.password_hash):
        await _rehash(make, outcome.user, password)
    return outcome


async def _decide(
    make: Make, seen: User | None, right: bool, origin: Origin, lifetimes: Lifetimes
) -> Entry | OctaviaError:
    async with make.begin() as session:
        if seen is None or not right:
            audit.record(session, seen.id if seen else None, "login_failed", origin)
            return LoginRefusedError()
        # Again and under a lock: the password or the account may have changed while it was checked.
        current = sa.select(User).where(User.id == seen.id, User.password_hash == seen.password_hash)
        user = await session.scalar(current.with_for_update(key_share=True))
        if user is None or user.status == "deleted":
            return LoginRefusedError()
        if user.status != "active":
            audit.record(session, user.id, "login_refused", origin, status=user.status)
            return NotVerifiedError() if user.status == "pending" else AccountDisabledError()
        entry = await sessions.start(session, user, origin, lifetimes)
        audit.record(session, user.id, "login", origin, login=str(entry.session_id))
        return entry


async def _rehash(make: Make, user: User, password: str) -> None:
    stronger = await passwords.hash_password(password)
    same = sa.update(User).where(User.id == user.id, User.password_hash == user.password_hash)
    async with make.begin() as session:
        await session.execute(same.values(password_hash=stronger))


async def check_current_password(user: User, password: str) -> None:
    """Raises WrongPasswordError."""
    if not await passwords.matches(password, user.password_hash):
        raise WrongPasswordError


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a user may set; None leaves it as it is."""

    language: str | None = None
    time_zone: str | None = None
    notifications: dict[str, bool] | None = None


async def change_preferences(session: AsyncSession, user_id: UUID, change: Preferences) -> User:
    """In the caller's transaction. Kinds of notification that are not named stay as they are."""
    user = await session.get_one(User, user_id, with_for_update=LOCK)
    if change.language is not None:
        user.language = change.language
    if change.time_zone is not None:
        user.time_zone = change.time_zone
    if change.notifications is not None:
        user.notifications = {**user.notifications, **change.notifications}
    return user


async def rename(session: AsyncSession, user_id: UUID, name: str, origin: Origin) -> User:
    """Raises InvalidAccountError."""
    user = await session.get_one(User, user_id, with_for_update=LOCK)
    user.name = parse_name(name)
    audit.record(session, user.id, "profile_changed", origin)
    return user
