"""What the command line does with accounts, straight in the database."""

from orchestrator.accounts import service
from orchestrator.accounts.models import User
from orchestrator.database import make_engine, sessions
from orchestrator.settings import Settings


async def create(settings: Settings, *, email: str, name: str, password: str) -> User:
    """A new account in the database of the settings. Raises what `service.create_user` does."""
    engine = make_engine(settings.database_url, quick=True)
    try:
        async with sessions(engine).begin() as session:
            return await service.create_user(session, email=email, name=name, password=password)
    finally:
        await engine.dispose()
