"""The durable workflow behind sign-up, resend and reset: finds out whether there is an account, and posts the mail."""

from functools import partial
from uuid import UUID

import structlog
from dbos import DBOS

from orchestrator.accounts import requests
from orchestrator.accounts.mailing import send
from orchestrator.errors import OctaviaError
from orchestrator.jobs import durable
from orchestrator.jobs.context import current
from orchestrator.jobs.heartbeat import running

log = structlog.get_logger(__name__)

PAUSES_S = (1.0, 10.0, 60.0)
"""Between attempts at what failed though the database was there."""


class UnansweredError(OctaviaError):
    def __init__(self, request_id: str) -> None:
        super().__init__("unanswered", f"The account request {request_id} could not be answered.", 500)


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

        for pause in PAUSES_S:
            try:
                await datasource.run_tx_step_async({"name": "answer", "isolation_level": "READ COMMITTED"}, answer)
            except Exception as error:  # the workflow's outermost frame: a bug or a conflict must not lose a sign-up
                log.exception("an account request was not answered", request_id=request_id, kind=type(error).__name__)
                await DBOS.sleep_async(pause)
            else:
                return
        raise UnansweredError(request_id)
