"""Endpoints as their owners see them, and what is sent to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from uuid_utils.compat import uuid7

from orchestrator.accounts.models import LOCK, User
from orchestrator.errors import NotFoundError, OctaviaError
from orchestrator.jobs import durable
from orchestrator.ownership import owned_by
from orchestrator.settings import Settings
from orchestrator.webhooks import events
from orchestrator.webhooks.destinations import Allowed, destination
from orchestrator.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from orchestrator.webhooks.signing import new_secret

KEPT = timedelta(days=30)
"""A delivery that has ended is forgotten after that."""


class TooManyEndpointsError(OctaviaError):
    def __init__(self, limit: int) -> None:
        message = f"An account can have {limit} webhook endpoints. Delete one first."
        super().__init__("too_many_webhooks", message, 409, limit=limit)


class EndpointDisabledError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("webhook_disabled", "The endpoint is disabled. Switch it on first, with enabled: true.", 409)


class StillPendingError(OctaviaError):
    """What is on its way is not sent on its way again."""

    def __init__(self) -> None:
        super().__init__("delivery_pending", "This delivery has not ended yet: it is still tried by itself.", 409)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an owner may set of an endpoint; None leaves it as it is."""

    url: str | None = None
    description: str | None = None
    events: Sequence[str] | None = None
    enabled: bool | None = None


async def create(session: AsyncSession, settings: Settings, user_id: UUID, wishes: Wishes) -> WebhookEndpoint:
    """A new endpoint, with its secret. Raises UnfitUrlError, TooManyEndpointsError."""
    to = destination(wishes.url or "", Allowed.from_settings(settings))
    await session.get_one(User, user_id, with_for_update=LOCK)  # of two at once, the second counts the first
    count = sa.select(sa.func.count()).select_from(WebhookEndpoint).where(WebhookEndpoint.user_id == user_id)
    if (await session.scalar(count) or 0) >= settings.webhooks_per_user:
        raise TooManyEndpointsError(settings.webhooks_per_user)
    endpoint = WebhookEndpoint(
        id=uuid7(),
        user_id=user_id,
        url=to.url,
        description=wishes.description or "",
        events=list(wishes.events or events.EVENTS),
        secret=new_secret(),
    )
    session.add(endpoint)
    await session.flush()
    await session.refresh(endpoint)
    return endpoint


async def listed(session: AsyncSession, user_id: UUID) -> Sequence[WebhookEndpoint]:
    """The user's endpoints, newest first."""
    return (await session.scalars(owned_by(user_id, WebhookEndpoint).order_by(WebhookEndpoint.id.desc()))).all()


async def get(session: AsyncSession, user_id: UUID, endpoint_id: UUID, *, lock: bool = False) -> WebhookEndpoint:
    """The user's endpoint. Raises NotFoundError, for a stranger's too."""
    query = owned_by(user_id, WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id)
    endpoint = await session.scalar(query.with_for_update(key_share=True) if lock else query)
    if endpoint is None:
        raise NotFoundError("webhook", endpoint_id)
    return endpoint


async def change(
    session: AsyncSession, settings: Settings, user_id: UUID, endpoint_id: UUID, wishes: Wishes
) -> WebhookEndpoint:
    """One that is switched on again has a clean sheet. Raises NotFoundError, UnfitUrlError."""
    endpoint = await get(session, user_id, endpoint_id, lock=True)
    if wishes.url is not None:
        endpoint.url = destination(wishes.url, Allowed.from_settings(settings)).url
    if wishes.description is not None:
        endpoint.description = wishes.description
    if wishes.events is not None:
        endpoint.events = list(wishes.events)
    if wishes.enabled and endpoint.disabled_at is not None:
        endpoint.disabled_at = endpoint.disabled_why = endpoint.failing_since = None
    if wishes.enabled is False and endpoint.disabled_at is None:
        endpoint.disabled_at, endpoint.disabled_why = datetime.now(UTC), "owner"
    return endpoint


async def rotate(session: AsyncSession, user_id: UUID, endpoint_id: UUID, keep: timedelta) -> WebhookEndpoint:
    """A new secret. For as long as `keep` deliveries are signed with the one before too. Raises NotFoundError."""
    endpoint = await get(session, user_id, endpoint_id, lock=True)
    endpoint.previous_secret, endpoint.previous_until = (
        (endpoint.secret, datetime.now(UTC) + keep) if keep else (None, None)
    )
    endpoint.secret = new_secret()
    return endpoint


async def delete(session: AsyncSession, user_id: UUID, endpoint_id: UUID) -> None:
    """With all its deliveries: what is on its way is not sent any more. Raises NotFoundError."""
    await session.delete(await get(session, user_id, endpoint_id))


async def send(
    session: AsyncSession, endpoint_id: UUID, user_id: UUID, event: str, body: str, job_id: UUID | None = None
) -> WebhookDelivery:
    """Keep a delivery and enqueue its workflow, both in the caller's transaction."""
    delivery = WebhookDelivery(id=uuid7(), endpoint_id=endpoint_id, event=event, body=body, job_id=job_id)
    session.add(delivery)
    await session.flush()
    await session.run_sync(durable.enqueue_webhook, delivery.id, user_id, 1)
    return delivery


async def ping(session: AsyncSession, user_id: UUID, endpoint_id: UUID) -> WebhookDelivery:
    """Send something harmless, to see whether it arrives; it is tried once.

    Raises NotFoundError, EndpointDisabledError.
    """
    endpoint = await get(session, user_id, endpoint_id, lock=True)
    if endpoint.disabled_at is not None:
        raise EndpointDisabledError
    body = events.body(events.PING, datetime.now(UTC), {"endpoint_id": str(endpoint.id)})
    delivery = await send(session, endpoint.id, user_id, events.PING, body)
    await session.refresh(delivery)
    return delivery


async def redeliver(session: AsyncSession, user_id: UUID, endpoint_id: UUID, delivery_id: UUID) -> WebhookDelivery:
    """Send a delivery that has ended once more, from the first attempt on, under the same id.

    Raises NotFoundError, EndpointDisabledError, StillPendingError.
    """
    endpoint = await get(session, user_id, endpoint_id, lock=True)
    delivery = await _delivery(session, endpoint, delivery_id, lock=True)
    if endpoint.disabled_at is not None:
        raise EndpointDisabledError
    if delivery.status == "pending":
        raise StillPendingError
    delivery.status, delivery.ended_at, delivery.error = "pending", None, None
    delivery.series, delivery.tries = delivery.series + 1, 0
    await session.flush()
    await session.run_sync(durable.enqueue_webhook, delivery.id, user_id, delivery.series)
    return delivery


async def deliveries(
    session: AsyncSession, endpoint_id: UUID, cursor: UUID | None, limit: int
) -> list[WebhookDelivery]:
    """What was sent to an endpoint, newest first, from after the cursor."""
    query = sa.select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id)
    if cursor is not None:
        query = query.where(WebhookDelivery.id < cursor)
    return list((await session.scalars(query.order_by(WebhookDelivery.id.desc()).limit(limit))).all())


async def delivery(session: AsyncSession, user_id: UUID, endpoint_id: UUID, delivery_id: UUID) -> WebhookDelivery:
    """Raises NotFoundError."""
    return await _delivery(session, await get(session, user_id, endpoint_id), delivery_id)


async def _delivery(
    session: AsyncSession, endpoint: WebhookEndpoint, delivery_id: UUID, *, lock: bool = False
) -> WebhookDelivery:
    query = sa.select(WebhookDelivery).where(
        WebhookDelivery.id == delivery_id, WebhookDelivery.endpoint_id == endpoint.id
    )
    found = await session.scalar(query.with_for_update() if lock else query)
    if found is None:
        raise NotFoundError("delivery", delivery_id)
    return found


async def attempts(session: AsyncSession, delivery_ids: Sequence[UUID]) -> Sequence[WebhookAttempt]:
    """The attempts at these deliveries, each delivery's in order."""
    query = sa.select(WebhookAttempt).where(WebhookAttempt.delivery_id.in_(delivery_ids))
    return (await session.scalars(query.order_by(WebhookAttempt.delivery_id, WebhookAttempt.number))).all()


async def forget_old(make: async_sessionmaker[AsyncSession]) -> None:
    """Delete the deliveries that ended long ago, and secrets that sign no more. Safe to repeat."""
    now = datetime.now(UTC)
    over = (WebhookDelivery.status != "pending", WebhookDelivery.ended_at < now - KEPT)
    async with make.begin() as session:
        await session.execute(sa.delete(WebhookDelivery).where(*over))
        await session.execute(
            sa.update(WebhookEndpoint)
            .where(WebhookEndpoint.previous_until < now)
            .values(previous_secret=None, previous_until=None)
        )
