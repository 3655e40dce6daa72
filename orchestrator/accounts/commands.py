"""What the command line does with accounts, straight in the database."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from orchestrator.accounts import audit, deletion, service
from orchestrator.accounts.audit import SYSTEM
from orchestrator.accounts.models import ROLES, STATUSES, User
from orchestrator.database import make_engine, sessions
from orchestrator.errors import OctaviaError
from orchestrator.local.state import find_running
from orchestrator.settings import Settings


class NoRunningDatabaseError(OctaviaError):
    def __init__(self, settings: Settings) -> None:
        super().__init__(
            "no_database",
            f"No database runs: no `octavia up` answers on {settings.data_dir}. Start it and leave it running, or set"
            " OCTAVIA_DATABASE_URL.",
            503,
        )


class UnusableDatabaseError(OctaviaError):
    def __init__(self, error: sa.exc.DBAPIError) -> None:
        reason = str(error.orig).strip().splitlines()[0]
        super().__init__("database_unusable", f"The database refused: {reason}. Has `octavia up` run on it?", 503)


class NoSuchUserError(OctaviaError):
    def __init__(self, email: str) -> None:
        super().__init__(
            "no_such_user", f"There is no account with the address {email}. See `octavia users list`.", 404
        )


class NoSuchRoleError(OctaviaError):
    def __init__(self, role: str) -> None:
        super().__init__("no_such_role", f"There is no role '{role}'. Roles: {', '.join(ROLES)}.", 422)


class NoSuchStatusError(OctaviaError):
    def __init__(self, status: str) -> None:
        super().__init__("no_such_status", f"There is no status '{status}'. Statuses: {', '.join(STATUSES)}.", 422)


class NotSwitchableError(OctaviaError):
    """Only an active account can be disabled, and only a disabled one enabled."""

    def __init__(self, user: User) -> None:
        super().__init__("not_switchable", f"The account {user.email} is {user.status}. Nothing was changed.", 409)


def database_url(settings: Settings) -> str:
    """The database of the settings, else that of the running `octavia up`. Raises NoRunningDatabaseError."""
    if settings.database_url:
        return settings.database_url
    running = find_running(settings)
    if running is None:
        raise NoRunningDatabaseError(settings)
    return running.database_url


@asynccontextmanager
async def transaction(
    settings: Settings, *, isolation: IsolationLevel | None = None, quick: bool = True
) -> AsyncIterator[AsyncSession]:
    """A transaction in the database of the command line; one that is not quick may take its time.

    Raises NoRunningDatabaseError, UnusableDatabaseError.
    """
    async with connected(settings, quick=quick) as engine, sessions(engine).begin() as session:
        if isolation:
            await session.connection(execution_options={"isolation_level": isolation})
        yield session


@asynccontextmanager
async def connected(settings: Settings, *, quick: bool = True) -> AsyncIterator[AsyncEngine]:
    """An engine on the database of the command line. Raises NoRunningDatabaseError, UnusableDatabaseError."""
    engine = make_engine(database_url(settings), quick=quick)
    try:
        yield engine
    except sa.exc.DBAPIError as error:
        raise UnusableDatabaseError(error) from error
    finally:
        await engine.dispose()


async def create(settings: Settings, *, email: str, name: str, password: str, admin: bool = False) -> User:
    """A new active account. Raises what `service.create_user` does, and UnusableDatabaseError."""
    role = "admin" if admin else "user"
    async with transaction(settings) as session:
        user = await service.create_user(session, email=email, name=name, password=password, role=role)
        if admin:
            audit.record(session, user.id, "role_granted", SYSTEM, before=None, after=role)
        return user


async def listed(settings: Settings, status: str | None = None) -> Sequence[User]:
    """Accounts in the order they were made, all or those of a status. Raises NoSuchStatusError."""
    if status is not None and status not in STATUSES:
        raise NoSuchStatusError(status)
    query = sa.select(User).order_by(User.id)
    if status is not None:
        query = query.where(User.status == status)
    async with transaction(settings) as session:
        return (await session.scalars(query)).all()


async def show(settings: Settings, email: str) -> User:
    """Raises NoSuchUserError."""
    async with transaction(settings) as session:
        return await find(session, email)


async def grant(settings: Settings, email: str, role: str) -> User:
    """Gives an account another role. Raises NoSuchUserError, NoSuchRoleError."""
    if role not in ROLES:
        raise NoSuchRoleError(role)
    async with transaction(settings) as session:
        user = await find(session, email)
        audit.record(session, user.id, "role_granted", SYSTEM, before=user.role, after=role)
        user.role = role
        return user


async def switch(settings: Settings, email: str, *, disabled: bool) -> User:
    """Locks an account out or lets it in again. Raises NoSuchUserError, NotSwitchableError."""
    async with transaction(settings) as session:
        user = await find(session, email)
        if user.status != ("active" if disabled else "disabled"):
            raise NotSwitchableError(user)
        await deletion.disable(session, user, disabled=disabled)
        return user


async def find(session: AsyncSession, email: str) -> User:
    """Raises NoSuchUserError."""
    user = await service.find_by_email(session, email)
    if user is None:
        raise NoSuchUserError(email)
    return user
