"""One attempt to send a mail, and what is noted of it. The body of a durable step: it may run twice, even at once.

An attempt claims the mail for a little longer than it can last, so that of two executions at once one sends; its
number is the token with which it notes its failure, so that a late one cannot undo what a newer one noted.
"""

import random
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from orchestrator.database import patiently
from orchestrator.jobs.context import current
from orchestrator.notifications.errors import PermanentMailError, TransientMailError
from orchestrator.notifications.messages import Message, message_id, mime
from orchestrator.notifications.models import Mail
from orchestrator.observability.metrics import MAILS
from orchestrator.observability.tracing import SpanKind, parent_of, span

log = structlog.get_logger(__name__)

GIVE_UP_AFTER_S = 24 * 3600.0
"""RFC 5321, 4.5.4.1 keeps trying for 4 to 5 days; the links in our mails are useless after one."""

LONGEST_PAUSE_S = 2 * 3600.0
CLAIM_MARGIN_S = 10.0
"""From the claim to the connection, and from the last timeout to the note."""

_OPEN = "id = :mail_id and sent_at is null and failed_at is null"
_CLAIM = sa.text(
    "update mail set attempts = attempts + 1, claimed_until = now() + make_interval(secs => :seconds)"  # noqa: S608
    f" where {_OPEN} and (claimed_until is null or claimed_until <= now()) returning id"
)
_CLAIMED_FOR = sa.text(
    f"select extract(epoch from claimed_until - now())::float from mail where {_OPEN}"  # noqa: S608
)
_AGE = sa.text("select extract(epoch from now() - created_at)::float from mail where id = :mail_id")
_SENT = sa.text(
    "update mail set sent_at = now(), failed_at = null, claimed_until = null, last_error = null, text = '', html = ''"
    " where id = :mail_id and sent_at is null"
)
_DELAYED = sa.text(
    f"update mail set last_error = :error, claimed_until = null where {_OPEN} and attempts = :attempt"  # noqa: S608
)
_FAILED = sa.text(
    "update mail set failed_at = now(), last_error = :error, claimed_until = null, text = '', html = ''"  # noqa: S608
    f" where {_OPEN} and attempts = :attempt"
)
_LOST = sa.text(
    "update mail m set failed_at = now(), claimed_until = null, text = '', html = '',"
    " last_error = concat_ws('; ', m.last_error, 'given up: its workflow is gone')"
    " where m.sent_at is null and m.failed_at is null and m.created_at < now() - interval '1 minute'"
    " and not exists (select from dbos.workflow_status w where w.status in ('ENQUEUED', 'DELAYED', 'PENDING')"
    " and left(w.workflow_uuid, 41) = 'mail-' || m.id::text) returning m.id, m.kind"
)
"""A workflow of a mail has an id that begins with these 41 characters."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """A mail that is ours to send, or (`mail` is None) for how many seconds it is another's; 0.0: it has ended."""

    mail: Mail | None
    age_s: float
    taken_for_s: float


async def attempt(mail_id: str) -> float | None:
    """Send the mail unless it has ended or is being sent. Returns the seconds until the next look; None: it has ended.

    Raises what the database says when it stays away.
    """
    claim = await _claim(UUID(mail_id))
    if claim.mail is None:
        return max(claim.taken_for_s, 1.0) if claim.taken_for_s else None
    if claim.mail.attempts > 1 and claim.age_s > GIVE_UP_AFTER_S:
        await _note_failure(claim.mail, f"given up after {claim.mail.attempts - 1} attempts: {claim.mail.last_error}")
        return None
    return await _send(claim.mail)


async def _send(mail: Mail) -> float | None:
    context = current()
    sender = context.settings.mail_from
    try:
        message = Message(mail.kind, mail.recipient, mail.subject, mail.text, mail.html)
        with span(
            "send an e-mail", {"octavia.mail": mail.kind}, parent=parent_of(mail.traceparent), kind=SpanKind.CLIENT
        ):
            await context.mailer.send(mime(message, sender, message_id(mail.id, sender), mail.created_at))
    except TransientMailError as error:
        MAILS.labels("delayed").inc()
        await _note(_DELAYED, mail, error.message)
        log.warning("mail delayed", mail_id=str(mail.id), kind=mail.kind, attempt=mail.attempts, error=error.message)
        return pause_s(mail.attempts)
    except PermanentMailError as error:
        MAILS.labels("failed").inc()
        await _note_failure(mail, error.message)
        return None
    await _note(_SENT, mail)
    MAILS.labels("sent").inc()
    log.info("mail sent", mail_id=str(mail.id), kind=mail.kind, attempt=mail.attempts)
    return None


def pause_s(attempt: int) -> float:
    """Seconds to wait after that many attempts: 2, doubling to two hours, a quarter more or less."""
    return min(2.0 ** min(attempt, 30), LONGEST_PAUSE_S) * random.uniform(0.75, 1.25)  # noqa: S311


async def give_up_lost(engine: AsyncEngine) -> None:
    """Note as failed every open mail that no workflow looks after any more: the queue gave it up or somebody did."""
    async with engine.begin() as connection:
        lost = (await connection.execute(_LOST)).all()
    for mail in lost:
        log.error("mail given up: its workflow is gone", mail_id=str(mail.id), kind=mail.kind)


async def _claim(mail_id: UUID) -> _Claim:
    async def claim(session: AsyncSession) -> _Claim:
        seconds = current().settings.smtp_timeout_s + CLAIM_MARGIN_S
        if await session.scalar(_CLAIM, {"mail_id": mail_id, "seconds": seconds}) is None:
            return _Claim(None, 0.0, await session.scalar(_CLAIMED_FOR, {"mail_id": mail_id}) or 0.0)
        age_s = await session.scalar(_AGE, {"mail_id": mail_id})
        return _Claim(await session.get_one(Mail, mail_id), age_s, 0.0)

    return await patiently(current().engine, claim)


async def _note_failure(mail: Mail, error: str) -> None:
    await _note(_FAILED, mail, error)
    log.error("mail failed", mail_id=str(mail.id), kind=mail.kind, attempt=mail.attempts, error=error)


async def _note(statement: sa.TextClause, mail: Mail, error: str | None = None) -> None:
    async def note(session: AsyncSession) -> None:
        await session.execute(statement, {"mail_id": mail.id, "attempt": mail.attempts, "error": error})

    await patiently(current().engine, note)
