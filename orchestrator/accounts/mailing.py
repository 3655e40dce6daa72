"""Letters of accounts as mails, in the transaction that gave rise to them."""

from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts.requests import Letter
from orchestrator.context import EnqueueMail
from orchestrator.notifications import service as notifications


async def send(session: AsyncSession, enqueue: EnqueueMail, letter: Letter) -> None:
    """Posts the letter: row and workflow are there with the commit, or neither is."""
    await notifications.post(session, enqueue, letter.message, letter.user_id)
