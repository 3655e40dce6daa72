"""One attempt at a delivery, and what is noted of it. The body of a durable step: it may run twice, even at once.

As with mails, an attempt claims the delivery for a little longer than it can last, and its number is the token with
which it notes how it ended. Whoever locks both locks the endpoint first, the delivery second.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import sqlalchemy as sa
import structlog
from opentelemetry.context import Context
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from orchestrator.accounts.models import User
from orchestrator.accounts.schemas import wants_mail
from orchestrator.database import patiently
from orchestrator.jobs import durable
from orchestrator.jobs.context import current
from orchestrator.jobs.models import Job
from orchestrator.notifications import in_app, messages
from orchestrator.notifications.service import post as post_mail
from orchestrator.observability.metrics import DELIVERIES
from orchestrator.observability.tracing import SpanKind, job_context, span
from orchestrator.retry_after import wished_s
from orchestrator.webhooks.destinations import Allowed, UnfitUrlError, destination
from orchestrator.webhooks.events import PING
from orchestrator.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from orchestrator.webhooks.posting import Answer, NotDeliveredError, post
from orchestrator.webhooks.schedule import GIVEN_UP_AFTER, GONE, pause_s
from orchestrator.webhooks.signing import signed

log = structlog.get_logger(__name__)

CLAIM_MARGIN_S = 10.0
"""From the claim to the request, and from the last timeout to the note."""

_CLAIM = sa.text(
    "update webhook_delivery set attempts = attempts + 1, tries = tries + 1, next_attempt_at = null,"
    " claimed_until = now() + make_interval(secs => :seconds)"
    " where id = :delivery_id and status = 'pending' and series = :series"
    " and (claimed_until is null or claimed_until <= now()) returning id"
)
_CLAIMED_FOR = sa.text(
    "select extract(epoch from claimed_until - now())::float from webhook_delivery"
    " where id = :delivery_id and status = 'pending' and series = :series"
)
_LOST = sa.text(
    "update webhook_delivery d set status = 'failed', ended_at = now(), claimed_until = null, next_attempt_at = null,"
    " error = 'given up: its workflow is gone'"
    " where d.status = 'pending' and d.created_at < now() - interval '1 minute'"
    " and not exists (select from dbos.workflow_status w where w.status in ('ENQUEUED', 'DELAYED', 'PENDING')"
    " and left(w.workflow_uuid, 44) = 'webhook-' || d.id::text) returning d.id, d.event"
)
"""A workflow of a delivery has an id that begins with these 44 characters."""


@dataclass(frozen=True, slots=True)
class _Ours:
    """A delivery that is ours to send, where to, and why it must not be sent after all."""

    delivery: WebhookDelivery
    endpoint: WebhookEndpoint
    hindrance: str | None
    trace: Context | None
    """Within the span of the job it tells of."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of a request: an answer, or why there was none."""

    seconds: float
    answer: Answer | None
    error: str | None

    @property
    def taken(self) -> bool:
        return self.answer is not None and self.answer.taken

    @property
    def gone(self) -> bool:
        return self.answer is not None and self.answer.status_code == GONE


async def attempt(delivery_id: str, series: int) -> float | None:
    """Send the delivery unless it has ended or is being sent. Returns the seconds until the next look; None: it ended.

    Raises what the database says when it stays away.
    """
    claimed = await patiently(current().engine, partial(_claim, delivery_id=UUID(delivery_id), series=series))
    if not isinstance(claimed, _Ours):
        return claimed
    if claimed.hindrance is not None:
        outcome = _Outcome(0.0, None, claimed.hindrance)
        return await patiently(current().engine, partial(_note, sent=claimed, outcome=outcome, final=True))
    with span(
        "deliver a webhook", {"octavia.event": claimed.delivery.event}, parent=claimed.trace, kind=SpanKind.CLIENT
    ):
        outcome = await _send(claimed)
    pause = await patiently(current().engine, partial(_note, sent=claimed, outcome=outcome))
    DELIVERIES.labels("sent" if outcome.taken else "failed" if pause is None else "delayed").inc()
    log.info(
        "webhook delivered" if outcome.taken else "webhook not delivered",
        delivery=delivery_id,
        attempt=claimed.delivery.attempts,
        status=outcome.answer.status_code if outcome.answer else None,
        again_in_s=pause and round(pause),
    )
    return pause


async def _claim(session: AsyncSession, delivery_id: UUID, series: int) -> "_Ours | float | None":
    """The delivery, or for how many seconds it is another's; None: it has ended or is gone."""
    seconds = current().settings.webhook_timeout_s + CLAIM_MARGIN_S
    values = {"delivery_id": delivery_id, "series": series}
    if await session.scalar(_CLAIM, values | {"seconds": seconds}) is None:
        taken_for_s = await session.scalar(_CLAIMED_FOR, values)
        return None if taken_for_s is None else max(taken_for_s, 1.0)
    delivery = await session.get_one(WebhookDelivery, delivery_id)
    endpoint = await session.get_one(WebhookEndpoint, delivery.endpoint_id)
    session.add(WebhookAttempt(delivery_id=delivery.id, number=delivery.attempts))
    active = await session.scalar(sa.select(User.status == "active").where(User.id == endpoint.user_id))
    hindrance = None if active else "the account is not active"
    if endpoint.disabled_at is not None:
        hindrance = "the endpoint is disabled"
    job = None if delivery.job_id is None else await session.get(Job, delivery.job_id)
    trace = None if job is None else job_context(job.traceparent, job.id, job.attempt)
    return _Ours(delivery, endpoint, hindrance, trace)


async def _send(ours: _Ours) -> _Outcome:
    settings, allowed = current().settings, Allowed.from_settings(current().settings)
    delivery, endpoint = ours.delivery, ours.endpoint
    now = datetime.now(UTC)
    keys = [endpoint.secret]
    if endpoint.previous_secret and endpoint.previous_until and endpoint.previous_until > now:
        keys.append(endpoint.previous_secret)
    began = time.monotonic()
    try:
        to = destination(endpoint.url, allowed)
        headers = signed(delivery.id, now, delivery.body, keys)
        answer = await post(to, delivery.body.encode(), headers, allowed=allowed, timeout_s=settings.webhook_timeout_s)
    except (NotDeliveredError, UnfitUrlError) as error:
        return _Outcome(time.monotonic() - began, None, error.message)
    error_text = None if answer.taken else f"the endpoint answered {answer.status_code}"
    return _Outcome(time.monotonic() - began, answer, error_text)


async def _note(session: AsyncSession, sent: _Ours, outcome: _Outcome, *, final: bool = False) -> float | None:
    """Note what came of the attempt; the pause before the next one, None where there is none."""
    endpoint = await session.get(WebhookEndpoint, sent.endpoint.id, with_for_update={"key_share": True})
    if endpoint is None:
        return None
    answer = outcome.answer
    log_entry = await session.get_one(WebhookAttempt, (sent.delivery.id, sent.delivery.attempts))
    log_entry.seconds, log_entry.error = outcome.seconds, outcome.error
    log_entry.status_code = answer.status_code if answer else None
    log_entry.excerpt = answer.excerpt if answer else None
    if not final:
        await _judge(session, endpoint, outcome)
    delivery = await session.get_one(WebhookDelivery, sent.delivery.id, with_for_update=True)
    if delivery.attempts != sent.delivery.attempts or delivery.status != "pending":
        return None  # a newer attempt looks after it
    delivery.claimed_until, delivery.error = None, outcome.error
    if outcome.taken:
        delivery.status, delivery.ended_at = "delivered", sa.func.now()
        return None
    once = final or outcome.gone or endpoint.disabled_at is not None or delivery.event == PING
    wished = wished_s(answer.retry_after, datetime.now(UTC)) if answer else None
    pause = None if once else pause_s(delivery.tries, wished)
    if pause is None:
        delivery.status, delivery.ended_at = "failed", sa.func.now()
    else:
        delivery.next_attempt_at = datetime.now(UTC) + timedelta(seconds=pause)
    return pause


async def _judge(session: AsyncSession, endpoint: WebhookEndpoint, outcome: _Outcome) -> None:
    """What the attempt says about the endpoint, which is disabled when it wants nothing or has long taken nothing."""
    if outcome.taken:
        endpoint.failing_since = None
        return
    now = datetime.now(UTC)
    endpoint.failing_since = endpoint.failing_since or now
    if endpoint.disabled_at is not None:
        return
    if outcome.gone or endpoint.failing_since < now - GIVEN_UP_AFTER:
        endpoint.disabled_at, endpoint.disabled_why = now, "gone" if outcome.gone else "failing"
        log.warning("a webhook endpoint is disabled", endpoint=str(endpoint.id), why=endpoint.disabled_why)
        await _tell(session, endpoint)


async def _tell(session: AsyncSession, endpoint: WebhookEndpoint) -> None:
    """Tell the owner that nothing is sent there any more."""
    user = await session.get_one(User, endpoint.user_id)
    host = destination_host(endpoint.url)
    in_app.add(session, user, in_app.webhook_disabled(host, endpoint.disabled_why or ""))
    if user.status == "active" and wants_mail(user.notifications, "webhook_disabled"):
        mail = messages.webhook_disabled(user.email, user.name, host, endpoint.disabled_why or "")
        await post_mail(session, partial(durable.enqueue_mail, current().queue), mail, user.id)


def destination_host(url: str) -> str:
    """Of a URL that was checked when it was kept, the part that says whose it is."""
    return url.partition("://")[2].partition("/")[0].partition("?")[0]


async def give_up_lost(engine: AsyncEngine) -> None:
    """Note as failed every open delivery that no workflow looks after any more."""
    async with engine.begin() as connection:
        lost = (await connection.execute(_LOST)).all()
    for each in lost:
        log.error("a webhook was given up: its workflow is gone", delivery=str(each.id), type=each.event)
