"""What users do to their own accounts, the same way for every surface: change the password, leave."""

import sqlalchemy as sa
import structlog

from orchestrator.accounts import deletion, links, passwords, service
from orchestrator.accounts.audit import Origin
from orchestrator.accounts.authentication import LoggedIn
from orchestrator.accounts.mailing import send
from orchestrator.context import AppContext

log = structlog.get_logger(__name__)


async def change_password(context: AppContext, login: LoggedIn, current: str, new: str, origin: Origin) -> None:
    """Every other login ends, and the owner is told. Raises InvalidAccountError, WrongPasswordError."""
    passwords.check_password(new)
    await service.check_current_password(login.user, current)
    hashed = await passwords.hash_password(new)
    async with context.sessions.begin() as session:
        letter = await links.change_password(session, login.user, login.session_id, hashed, origin)
        await send(session, context.backends.enqueue_mail, letter)


async def leave(context: AppContext, login: LoggedIn, origin: Origin) -> None:
    """The account is shut at once and its jobs are cancelled; files and personal data go later (see `deletion`)."""
    async with context.sessions.begin() as session:
        letter, jobs = await deletion.close(session, login.user.id, origin)
        await send(session, context.backends.enqueue_mail, letter)
    for job_id, attempt in jobs:
        try:
            await context.backends.cancel(job_id, attempt)
        except sa.exc.SQLAlchemyError as error:
            # The decision stands; the sweeper finds the workflow and stops it.
            log.warning("could not stop a cancelled job's workflow", job_id=str(job_id), error=type(error).__name__)
