"""The durable workflow behind sign-up, resend and reset: finds out whether there is an account, and posts the mail."""

from functools import partial
from uuid import UUID

from dbos import DBOS

from orchestrator.accounts import requests
from orchestrator.accounts.mailing import send
from orchestrator.jobs import durable
from orchestrator.jobs.context import current
from orchestrator.jobs.heartbeat import running


@DBOS.workflow(name=durable.ACCOUNT_WORKFLOW, max_recovery_attempts=durable.MAX_RECOVERY_ATTEMPTS)
async def answer_request(request_id: str) -> None:
    """Answers an account request: the account's change, the mail and its workflow in one transaction."""
    with running():
        datasource, settings = current().datasource, current().settings
        enqueue_mail = partial(durable.enqueue_mail, current().queue)

        async def answer() -> None:
            session = datasource.sql_session()
            letter = await requests.answer(session, settings, UUID(request_id))
            if letter is not None:
                await send(session, enqueue_mail, letter)

        await datasource.run_tx_step_async({"name": "answer", "isolation_level": "READ COMMITTED"}, answer)
