"""What the command line does with accounts, straight in the database."""

import sqlalchemy as sa

from orchestrator.accounts import service
from orchestrator.accounts.models import User
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


def database_url(settings: Settings) -> str:
    """The database of the settings, else that of the running `octavia up`. Raises NoRunningDatabaseError."""
    if settings.database_url:
        return settings.database_url
    running = find_running(settings)
    if running is None:
        raise NoRunningDatabaseError(settings)
    return running.database_url


async def create(settings: Settings, *, email: str, name: str, password: str) -> User:
    """A new account in `database_url`. Raises what that and `service.create_user` do, and UnusableDatabaseError."""
    engine = make_engine(database_url(settings), quick=True)
    try:
        async with sessions(engine).begin() as session:
            return await service.create_user(session, email=email, name=name, password=password)
    except sa.exc.DBAPIError as error:
        raise UnusableDatabaseError(error) from error
    finally:
        await engine.dispose()
