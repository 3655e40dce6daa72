"""Accounts: creating, finding and logging in users."""

import unicodedata
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts import passwords
from orchestrator.accounts.models import User
from orchestrator.errors import OctaviaError

PASSWORD_LENGTH = range(8, 129)
"""Characters (NIST SP 800-63B: at least 8, no rule about their kind); the upper bound keeps hashing cheap."""

LONGEST_EMAIL = 254
LONGEST_NAME = 200


class InvalidAccountError(OctaviaError):
    """What was given cannot make an account."""

    def __init__(self, message: str) -> None:
        super().__init__("invalid_account", message, 422)


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


async def create_user(session: AsyncSession, *, email: str, name: str, password: str) -> User:
    """A new active account, in the caller's transaction. Raises InvalidAccountError, EmailTakenError."""
    email, name = _email(email), _name(name)
    if len(password) not in PASSWORD_LENGTH:
        raise InvalidAccountError(f"A password has {PASSWORD_LENGTH.start} to {PASSWORD_LENGTH.stop - 1} characters.")
    user = User(email=email, name=name, password_hash=await passwords.hash_password(password))
    try:
        async with session.begin_nested():
            session.add(user)
    except sa.exc.IntegrityError as error:
        raise EmailTakenError from error
    return user


async def find_by_email(session: AsyncSession, email: str) -> User | None:
    """The account of an address, whatever the case it is written in."""
    email = unicodedata.normalize("NFC", email.strip())
    return await session.scalar(sa.select(User).where(sa.func.lower(User.email) == sa.func.lower(email)))


async def find(session: AsyncSession, user_id: UUID) -> User | None:
    """The account of an id, if it is active."""
    return await session.scalar(sa.select(User).where(User.id == user_id, User.status == "active"))


async def log_in(session: AsyncSession, *, email: str, password: str) -> User:
    """The account whose address and password these are. Raises LoginRefusedError, after the same work in every case."""
    user = None if "\0" in email else await find_by_email(session, email)
    if not await passwords.matches(password, user.password_hash if user else None) or user is None:
        raise LoginRefusedError
    return user


def _email(text: str) -> str:
    email = unicodedata.normalize("NFC", text.strip())
    local, at, domain = email.rpartition("@")
    if not (local and at and domain) or len(email) > LONGEST_EMAIL or not email.isprintable() or " " in email:
        raise InvalidAccountError("This is not an e-mail address. It has the form name@example.org.")
    return email


def _name(text: str) -> str:
    name = unicodedata.normalize("NFC", text.strip())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidAccountError(f"A name has 1 to {LONGEST_NAME} printable characters.")
    return name
