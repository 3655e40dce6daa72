"""/v1/webhooks: endpoints that hear of one's jobs, what was sent to them, and sending it again."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.accounts import audit
from orchestrator.accounts.authentication import CallerOrigin, CurrentLogin, CurrentUser
from orchestrator.context import Context, DbSession
from orchestrator.problems import documented
from orchestrator.rate_limits.dependencies import within
from orchestrator.webhooks import service
from orchestrator.webhooks.models import WebhookDelivery, WebhookEndpoint
from orchestrator.webhooks.schemas import (
    AttemptView,
    DeliveryDetail,
    DeliveryLog,
    DeliveryPage,
    DeliveryView,
    NewSecret,
    RotationRequest,
    WebhookChange,
    WebhookList,
    WebhookRequest,
    WebhookView,
)

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

DEFAULT = within("default")


@router.post(
    "",
    status_code=201,
    response_model=NewSecret,
    responses=documented(400, 401, 403, 409, 413, 422, 429, 503),
    dependencies=within("webhook_change"),
)
async def create_webhook(
    request: WebhookRequest, context: Context, login: CurrentLogin, session: DbSession, origin: CallerOrigin
) -> WebhookEndpoint:
    """Have events of one's jobs sent to a URL. The secret that signs them is in this answer and nowhere else."""
    wishes = service.Wishes(request.url, request.description, request.events)
    endpoint = await service.create(session, context.settings, login.user.id, wishes)
    audit.record(session, login.user.id, "webhook_created", origin, webhook=str(endpoint.id))
    return endpoint


@router.get("", responses=documented(401, 429, 503), dependencies=DEFAULT)
async def list_webhooks(user: CurrentUser, session: DbSession) -> WebhookList:
    """One's endpoints, newest first."""
    return WebhookList(items=[WebhookView.model_validate(each) for each in await service.listed(session, user.id)])


@router.get(
    "/{webhook_id}", response_model=WebhookView, responses=documented(401, 404, 422, 429, 503), dependencies=DEFAULT
)
async def get_webhook(webhook_id: UUID, user: CurrentUser, session: DbSession) -> WebhookEndpoint:
    """One endpoint."""
    return await service.get(session, user.id, webhook_id)


@router.patch(
    "/{webhook_id}",
    response_model=WebhookView,
    responses=documented(400, 401, 403, 404, 413, 422, 429, 503),
    dependencies=within("webhook_change"),
)
async def change_webhook(
    webhook_id: UUID,
    change: WebhookChange,
    context: Context,
    login: CurrentLogin,
    session: DbSession,
    origin: CallerOrigin,
) -> WebhookEndpoint:
    """Change what is named; the rest stays."""
    wishes = service.Wishes(change.url, change.description, change.events, change.enabled)
    endpoint = await service.change(session, context.settings, login.user.id, webhook_id, wishes)
    audit.record(session, login.user.id, "webhook_changed", origin, webhook=str(webhook_id))
    return endpoint


@router.delete(
    "/{webhook_id}", status_code=204, responses=documented(401, 403, 404, 422, 429, 503), dependencies=DEFAULT
)
async def delete_webhook(webhook_id: UUID, login: CurrentLogin, session: DbSession, origin: CallerOrigin) -> None:
    """Delete an endpoint with all its deliveries: nothing is sent to it any more."""
    await service.delete(session, login.user.id, webhook_id)
    audit.record(session, login.user.id, "webhook_deleted", origin, webhook=str(webhook_id))


@router.post(
    "/{webhook_id}/rotate-secret",
    response_model=NewSecret,
    responses=documented(400, 401, 403, 404, 413, 422, 429, 503),
    dependencies=within("webhook_change"),
)
async def rotate_secret(
    webhook_id: UUID,
    login: CurrentLogin,
    session: DbSession,
    origin: CallerOrigin,
    request: RotationRequest | None = None,
) -> WebhookEndpoint:
    """Make a new secret; for a day, or as asked, deliveries are signed with the one before too."""
    keep = timedelta(hours=(request or RotationRequest()).keep_hours)
    endpoint = await service.rotate(session, login.user.id, webhook_id, keep)
    audit.record(session, login.user.id, "webhook_secret_rotated", origin, webhook=str(webhook_id))
    return endpoint


@router.post(
    "/{webhook_id}/ping",
    status_code=202,
    response_model=DeliveryView,
    responses=documented(401, 404, 409, 422, 429, 503),
    dependencies=within("webhook_send"),
)
async def ping_webhook(webhook_id: UUID, user: CurrentUser, session: DbSession) -> WebhookDelivery:
    """Send an event `webhook.ping`, once, to see whether it arrives; what came of it is in the deliveries."""
    return await service.ping(session, user.id, webhook_id)


@router.get("/{webhook_id}/deliveries", responses=documented(401, 404, 422, 429, 503), dependencies=DEFAULT)
async def list_deliveries(
    webhook_id: UUID,
    user: CurrentUser,
    session: DbSession,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> DeliveryPage:
    """What was sent to an endpoint, with every attempt, newest first."""
    endpoint = await service.get(session, user.id, webhook_id)
    found = await service.deliveries(session, endpoint.id, cursor, limit + 1)
    items = await _logs(session, found[:limit])
    return DeliveryPage(items=items, next_cursor=items[-1].id if len(found) > limit else None)


@router.get(
    "/{webhook_id}/deliveries/{delivery_id}",
    responses=documented(401, 404, 422, 429, 503),
    dependencies=DEFAULT,
)
async def get_delivery(webhook_id: UUID, delivery_id: UUID, user: CurrentUser, session: DbSession) -> DeliveryDetail:
    """One delivery, with what is sent."""
    delivery = await service.delivery(session, user.id, webhook_id, delivery_id)
    [log] = await _logs(session, [delivery])
    return DeliveryDetail(**log.model_dump(), body=delivery.body)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    response_model=DeliveryView,
    responses=documented(401, 404, 409, 422, 429, 503),
    dependencies=within("webhook_send"),
)
async def redeliver(webhook_id: UUID, delivery_id: UUID, user: CurrentUser, session: DbSession) -> WebhookDelivery:
    """Send a delivery that has ended again, under the same id."""
    return await service.redeliver(session, user.id, webhook_id, delivery_id)


async def _logs(session: AsyncSession, deliveries: Sequence[WebhookDelivery]) -> list[DeliveryLog]:
    attempts: dict[UUID, list[AttemptView]] = defaultdict(list)
    for attempt in await service.attempts(session, [each.id for each in deliveries]):
        attempts[attempt.delivery_id].append(AttemptView.model_validate(attempt))
    return [
        DeliveryLog(**DeliveryView.model_validate(each).model_dump(), attempts=attempts[each.id]) for each in deliveries
    ]
